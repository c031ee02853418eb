"""What to do with a layer, or with several, in a sentence or two."""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, floor, log10

import numpy as np

from gpuprune.analysis import (
    BreakEven,
    best_speedups,
    break_evens,
    by_product,
    fastest,
    is_missed,
    median_s,
    sparse_contenders,
    speedups,
    unsteady_products,
)
from gpuprune.config import PAPER_RATE
from gpuprune.contenders import BASELINE
from gpuprune.records import Case, Result
from gpuprune.units import format_seconds

_NEARLY_ALL = 0.9  # of the best speedup, from which on a smaller group is the better choice
_AS_GOOD = 0.02  # difference in rate below which the smaller group is the better choice


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
            f"{name_groups(case.group)} at {case.rate:g}"
            f"{_reached(results, case.group, case.rate)}."
        )
    group = _choose(reached)
    lowest = ", the lowest rate measured," if found[group].is_bound else ""
    more = f"{lowest} or more" if reached[group] < max(case.rate for case in best) else ""
    return (
        f"For this layer on this machine: prune {name_groups(group)} to "
        f"{_round_up(reached[group])}{_reached(results, group, reached[group])}{more}, or stay "
        "dense. "
        + _single_weights(group, found)
        + _at_told_rate(results, best)
        + _headline(results)
        + doubt(results)
    )


def doubt(results: Iterable[Result]) -> str:
    """Warn, in a sentence that goes on from another, where most of what was measured is noise."""
    results = list(results)
    found, shaky = by_product(results), unsteady_products(results)
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


def _headline(results: Sequence[Result]) -> str:
    """Name the fastest product; as the steady one where another was faster in its noise."""
    top = fastest(results)
    if top is None:
        return ""
    which = "The fastest measured"
    if top.is_beaten:
        which = "The fastest beyond noise" if top.is_unsteady else "The fastest steady one"
    case = top.case
    return (
        f"{which} is {top.speedup:.2f}x, {name_groups(case.group)} at {case.rate:g}"
        f"{_reached(results, case.group, case.rate)}."
    )


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


def _at_told_rate(results: Sequence[Result], best: dict[Case, float]) -> str:
    """Say what grouping gains over the smallest group, at the rate nearest to the paper's."""
    rate = min((case.rate for case in best), key=lambda rate: abs(rate - PAPER_RATE))
    gains = {case.group: speedup for case, speedup in best.items() if case.rate == rate}
    smallest = min(gains)
    enough = min(g for g, gain in gains.items() if gain >= _NEARLY_ALL * max(gains.values()))
    if enough == smallest:
        return ""
    return (
        f"At {rate:g}, {name_groups(enough)}{_reached(results, enough, rate)} are "
        f"{gains[enough]:.2f}x as fast as dense, {name_groups(smallest)} {gains[smallest]:.2f}x. "
    )


def _reached(results: Iterable[Result], group: int, rate: float) -> str:
    """Name the share of the weights that a group size removes at a rate, where it is another."""
    shares = {
        one.case.rate: one.achieved_rate
        for one in results
        if one.case.group == group and one.achieved_rate is not None
    }
    asked = sorted(shares)
    share = float(np.interp(rate, asked, [shares[one] for one in asked])) if asked else None
    return f" ({share:.3g} of the weights)" if is_missed(rate, share) else ""


def _round_up(rate: float) -> str:
    """Round a rate up to hundredths, or finer where that would tell to remove all."""
    digits = 2 if rate >= 1 else max(2, -floor(log10(1 - rate)))
    return f"{ceil(round(rate * 10**digits, 6)) / 10**digits:.{digits}f}"
