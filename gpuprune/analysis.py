"""What results mean: speedups, break-even rates, and the advice that follows."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, floor, log10
from typing import TypeVar

from gpuprune.config import PAPER_RATE
from gpuprune.contenders import BASELINE
from gpuprune.records import Case, Result
from gpuprune.stats import quartiles, relative_spread
from gpuprune.units import format_crossing, format_rate, format_seconds

DENSE = (BASELINE, "dense_tf32")  # what a layer that is not pruned can use
WIDE_SPREAD = 0.10  # inter-quartile range over the median, from which on a cell is unsteady
_Key = TypeVar("_Key")
LOST = "lost again"  # a break-even rate that a higher rate does not keep
_NEARLY_ALL = 0.9  # of the best speedup, from which on a smaller group is the better choice
_AS_GOOD = 0.02  # difference in rate below which the smaller group is the better choice


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEven:
    """The pruning rate from which on sparse is at least as fast as dense, as far as measured."""

    rate: float | None  # None: not reached
    is_bound: bool = False  # already the lowest rate measured broke even: it is this or less
    is_lost: bool = False  # some rate broke even, and a higher one did not

    def __str__(self) -> str:
        if self.rate is None:
            return LOST if self.is_lost else "not reached"
        return f"≤ {format_rate(self.rate)}" if self.is_bound else format_crossing(self.rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fastest:
    """The sparse product with the highest speedup, of the steady ones where there are any."""

    case: Case
    contender: str
    speedup: float
    is_unsteady: bool = False  # and so are all others
    is_beaten: bool = False  # by one that is unsteady


def layer_of(case: Case) -> Case:
    """Return what the cases of one table share: the case without rate and group."""
    return replace(case, rate=0.0, group=1)


def by_layer(results: Iterable[Result]) -> dict[Case, list[Result]]:
    """Group results by layer, in the order of their first case."""
    layers: dict[Case, list[Result]] = {}
    for result in results:
        # What was pruned elsewhere has its own rate and group, and is a layer by itself.
        layers.setdefault(layer_of(result.case), []).append(result)
    return layers


def median_s(result: Result | None) -> float | None:
    """Return the median time of a result that counts, None where there is none."""
    if result is None or result.status != "ok" or result.timing is None:
        return None
    return result.timing.median_s


def speedups(results: Iterable[Result], contender: str, over: str = BASELINE) -> dict[Case, float]:
    """Return by case how much faster a contender is than another one on the same case."""
    results = list(results)
    times = {(one.case, one.contender): median_s(one) for one in results}
    found = {}
    for case, name in times:
        own, other = times[case, name], times.get((case, over))
        if name == contender and own is not None and other is not None:
            found[case] = other / own
    return found


def speedup_interval(own: Result, dense: Result) -> tuple[float, float] | None:
    """Return the speedups between which the middle halves of both products' samples put it.

    From the first quartile of dense over the third of the own to the third over the first: at
    least as wide as either product's own spread. None where one of them has no time.
    """
    if median_s(own) is None or median_s(dense) is None or not (own.timing and dense.timing):
        return None
    own_low, own_high = quartiles(own.timing.samples_s)
    dense_low, dense_high = quartiles(dense.timing.samples_s)
    return dense_low / own_high, dense_high / own_low


def is_gain(own: Result, dense: Result) -> bool:
    """Whether a product is faster than dense by more than the spread of both's samples."""
    interval = speedup_interval(own, dense)
    return interval is not None and interval[0] > 1


def pays_after(own: Result, dense: Result | None) -> int | None:
    """Return after how many products the packing of a format has paid.

    None where a product saves nothing, or no more than the spread of its and dense's samples.
    """
    own_s, dense_s = median_s(own), median_s(dense)
    if dense is None or own_s is None or dense_s is None or own.prepare_s is None:
        return None
    if not is_gain(own, dense):
        return None
    return ceil(own.prepare_s / (dense_s - own_s))


def best_speedups(results: Iterable[Result], over: str = BASELINE) -> dict[Case, float]:
    """Return by case the speedup of the fastest sparse contender."""
    best: dict[Case, float] = {}
    for (case, _), speedup in _by_product(results, over).items():
        best[case] = max(speedup, best.get(case, 0.0))
    return best


def fastest(results: Iterable[Result]) -> Fastest | None:
    """Choose the best of all sparse products of a layer, None without any beside a dense one."""
    results = list(results)
    found, shaky = _by_product(results), _unsteady_products(results)
    if not found:
        return None
    product, speedup = max(steady(found, shaky).items(), key=lambda item: item[1])
    return Fastest(
        case=product[0],
        contender=product[1],
        speedup=speedup,
        is_unsteady=product in shaky,
        is_beaten=speedup < max(found.values()),
    )


def sparse_contenders(results: Iterable[Result]) -> list[str]:
    """List the contenders that use the zeros, in the order of their results."""
    names = dict.fromkeys(one.contender for one in results)
    return [name for name in names if name not in DENSE]


def unsteady(results: Iterable[Result], *names: str) -> set[Case]:
    """Return the cases on which samples of one of these contenders spread over more than 10 %."""
    return {
        one.case
        for one in results
        if one.contender in names
        and one.timing is not None
        and relative_spread(one.timing.samples_s) > WIDE_SPREAD
    }


def steady(found: Mapping[_Key, float], shaky: Container[_Key]) -> dict[_Key, float]:
    """Leave out what is unsteady, unless all is."""
    kept = {key: value for key, value in found.items() if key not in shaky}
    return kept or dict(found)


def break_even(points: Iterable[tuple[float, float]]) -> BreakEven:
    """Interpolate where the speedup rises to 1 and stays there, from (rate, speedup) pairs.

    Linear between the neighbouring rates measured; never extrapolates.
    """
    ordered = sorted(points)
    if not ordered or not ordered[-1][1] >= 1:
        return BreakEven(rate=None, is_lost=any(speedup >= 1 for _, speedup in ordered))
    for (low, slow), (high, fast) in reversed(list(pairwise(ordered))):
        if slow < 1 <= fast:
            return BreakEven(rate=low + (high - low) * (1 - slow) / (fast - slow))
    return BreakEven(rate=ordered[0][0], is_bound=True)


def break_evens(speedup_of: dict[Case, float]) -> dict[int, BreakEven]:
    """Return the break-even rate of each group size of one layer."""
    groups = sorted({case.group for case in speedup_of})
    return {
        group: break_even(
            (case.rate, speedup) for case, speedup in speedup_of.items() if case.group == group
        )
        for group in groups
    }


def advice(results: Sequence[Result]) -> str:
    """Say in a sentence or two what to do with one layer on this machine."""
    best = best_speedups(results)
    if not best:
        return "No sparse product was measured beside a dense one, so there is no advice."
    if all(case.as_is for case in best):
        return _advice_as_it_is(results) + doubt(results)
    found = break_evens(best)
    reached = {group: at.rate for group, at in found.items() if at.rate is not None}
    if not reached:
        case, speedup = max(best.items(), key=lambda item: item[1])
        highest = f"{max(case.rate for case in best):g}"
        verdict = (
            f"No group size broke even up to a rate of {highest}; the nearest"
            if speedup < 1
            else f"No group size is still faster at a rate of {highest}; the best"
        )
        return (
            f"For this layer on this machine: stay dense. {verdict} was {speedup:.2f}x with "
            f"{name_groups(case.group)} at {case.rate:g}."
        )
    group = _choose(reached)
    lowest = ", the lowest rate measured," if found[group].is_bound else ""
    more = f"{lowest} or more" if reached[group] < max(case.rate for case in best) else ""
    return (
        f"For this layer on this machine: prune {name_groups(group)} to "
        f"{_round_up(reached[group])}{more}, or stay dense. "
        + _single_weights(group, found)
        + _at_told_rate(best)
        + _headline(results)
        + doubt(results)
    )


def doubt(results: Iterable[Result]) -> str:
    """Warn, in a sentence that goes on from another, where most of what was measured is noise."""
    results = list(results)
    found, shaky = _by_product(results), _unsteady_products(results)
    # The last that is set for a case is its fastest.
    winners = {product[0]: product for product in sorted(found, key=found.__getitem__)}
    if 2 * sum(product in shaky for product in winners.values()) <= len(winners):
        return ""
    return (
        " But in most cells the samples spread over more than 10 %: measure again when the "
        "machine is quiet."
    )


def advice_for_all(layers: Mapping[Case, Sequence[Result]]) -> str:
    """Say what pruning gives several layers together, each left dense where it loses.

    Told at the rate nearest to the paper's 0.90, for the group size that gains most there; layers
    that were pruned elsewhere are told as they are.
    """
    choices: dict[tuple[float, int] | None, list[tuple[float, float]]] = {}
    for results in layers.values():
        dense = {one.case: median_s(one) for one in results if one.contender == BASELINE}
        for case, speedup in best_speedups(results).items():
            key = None if case.as_is else (case.rate, case.group)
            seconds = dense[case] or 0.0
            choices.setdefault(key, []).append((seconds, seconds / max(speedup, 1.0)))
    nearest = min((abs(key[0] - PAPER_RATE) for key in choices if key), default=0.0)
    gains = {
        key: (sum(dense for dense, _ in times), sum(best for _, best in times))
        for key, times in choices.items()
        if len(times) == len(layers) and (not key or abs(key[0] - PAPER_RATE) == nearest)
    }
    if not gains:
        return ""
    key, (dense_s, best_s) = max(gains.items(), key=lambda item: item[1][0] / item[1][1])
    how = f"{name_groups(key[1])} pruned to {key[0]:g}" if key else "pruned as they are"
    return (
        f"All {len(layers)} layers together take {format_seconds(dense_s)} dense; {how}, and "
        f"dense where that is faster, {format_seconds(best_s)} ({dense_s / best_s:.2f}x)."
        + doubt(one for results in layers.values() for one in results)
    )


def name_groups(group: int) -> str:
    """Name a group size in a sentence."""
    return "single weights" if group == 1 else f"groups of {group}"


def _advice_as_it_is(results: Sequence[Result]) -> str:
    """Say what to do with a layer that was pruned elsewhere, and has one rate and group size."""
    best = {
        name: max(found.values())
        for name in sparse_contenders(results)
        if (found := speedups(results, name))
    }
    name, speedup = max(best.items(), key=lambda item: item[1])
    choice = f"multiply it by {name}" if speedup > 1 else f"stay dense; the nearest was {name}"
    return f"For this layer as it is, on this machine: {choice}, {speedup:.2f}x as fast as dense."


def _by_product(results: Iterable[Result], over: str = BASELINE) -> dict[tuple[Case, str], float]:
    """Return the speedup of each sparse contender on each case."""
    results = list(results)
    return {
        (case, name): speedup
        for name in sparse_contenders(results)
        for case, speedup in speedups(results, name, over).items()
    }


def _unsteady_products(results: Sequence[Result]) -> set[tuple[Case, str]]:
    """Return the sparse products whose samples, or those of dense beside them, spread widely."""
    return {
        (case, name)
        for name in sparse_contenders(results)
        for case in unsteady(results, name, BASELINE)
    }


def _headline(results: Sequence[Result]) -> str:
    """Name the fastest product; as the steady one where another was faster in its noise."""
    top = fastest(results)
    if top is None:
        return ""
    which = "The fastest steady one" if top.is_beaten else "The fastest measured"
    return f"{which} is {top.speedup:.2f}x, {name_groups(top.case.group)} at {top.case.rate:g}."


def _choose(reached: dict[int, float]) -> int:
    """Take the smallest group that breaks even about as early as any: it costs least accuracy."""
    earliest = min(reached.values())
    return min(group for group, rate in reached.items() if rate <= earliest + _AS_GOOD)


def _single_weights(group: int, found: dict[int, BreakEven]) -> str:
    """Compare with single weights, which keep the most accuracy at a rate."""
    single = found.get(1)
    if group == 1 or single is None:
        return ""
    if single.rate is None:
        return "Single weights do not break even at any rate measured. "
    return f"Single weights break even at {single}. "


def _at_told_rate(best: dict[Case, float]) -> str:
    """Say what grouping gains over the smallest group, at the rate nearest to the paper's."""
    rate = min((case.rate for case in best), key=lambda rate: abs(rate - PAPER_RATE))
    gains = {case.group: speedup for case, speedup in best.items() if case.rate == rate}
    smallest = min(gains)
    enough = min(g for g, gain in gains.items() if gain >= _NEARLY_ALL * max(gains.values()))
    if enough == smallest:
        return ""
    return (
        f"At {rate:g}, {name_groups(enough)} are {gains[enough]:.2f}x as fast as dense, "
        f"{name_groups(smallest)} {gains[smallest]:.2f}x. "
    )


def _round_up(rate: float) -> str:
    """Round a rate up to hundredths, or finer where that would tell to remove all."""
    digits = 2 if rate >= 1 else max(2, -floor(log10(1 - rate)))
    return f"{ceil(round(rate * 10**digits, 6)) / 10**digits:.{digits}f}"
