"""What results mean: speedups, the fastest product, break-even rates."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import TypeVar

from gpuprune.contenders import BASELINE
from gpuprune.records import Case, Result, layer_of
from gpuprune.stats import quartiles, relative_spread
from gpuprune.units import format_crossing, format_rate

DENSE = (BASELINE, "dense_tf32")  # what a layer that is not pruned can use
WIDE_SPREAD = 0.10  # inter-quartile range over the median, from which on a cell is unsteady
_Key = TypeVar("_Key")
LOST = "lost again"  # a break-even rate that a higher rate does not keep
_MISSED = 0.005  # between a rate and the share removed, of which a table shows two digits


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
    """The sparse product with the highest speedup, steady ones first."""

    case: Case
    contender: str
    speedup: float
    is_unsteady: bool = False  # all others too, or slower than the least that it may be
    is_beaten: bool = False  # by one that is unsteady


def is_missed(rate: float, share: float | None) -> bool:
    """Whether a share of the weights removed is another one than the rate that was asked."""
    return share is not None and abs(share - rate) > _MISSED


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
    for (case, _), speedup in by_product(results, over).items():
        best[case] = max(speedup, best.get(case, 0.0))
    return best


def fastest(results: Iterable[Result]) -> Fastest | None:
    """Choose the best of all sparse products of a layer, None without any beside a dense one."""
    results = list(results)
    found, shaky = by_product(results), unsteady_products(results)
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


def steady(found: Mapping[_Key, float], shaky: Mapping[_Key, float]) -> dict[_Key, float]:
    """Leave out what is unsteady, unless even the least of it is more than any steady one has.

    `found` has speedups, `shaky` the least of those that are unsteady.
    """
    best = max((speedup for key, speedup in found.items() if key not in shaky), default=0.0)
    return {key: own for key, own in found.items() if key not in shaky or shaky[key] > best}


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


def by_product(results: Iterable[Result], over: str = BASELINE) -> dict[tuple[Case, str], float]:
    """Return the speedup of each sparse contender on each case."""
    results = list(results)
    return {
        (case, name): speedup
        for name in sparse_contenders(results)
        for case, speedup in speedups(results, name, over).items()
    }


def unsteady_products(results: Iterable[Result]) -> dict[tuple[Case, str], float]:
    """Return the sparse products whose samples, or those of dense beside them, spread widely.

    Each with the least speedup that the middle halves of the samples leave it.
    """
    at = {(one.case, one.contender): one for one in results}
    found = {}
    for name in sparse_contenders(at.values()):
        for case in unsteady(at.values(), name, BASELINE):
            own, dense = at.get((case, name)), at.get((case, BASELINE))
            if own and dense and (interval := speedup_interval(own, dense)):
                found[case, name] = interval[0]
    return found
