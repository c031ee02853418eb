"""What stands below the tables of a layer: which variants ran, and rates that were not reached."""

from collections.abc import Iterable, Sequence

from gpuprune.analysis import is_missed, median_s, sparse_contenders
from gpuprune.records import Result
from gpuprune.report.layout import printable
from gpuprune.units import format_rate


def variants(results: Sequence[Result]) -> str:
    """Name the variant of each sparse contender; with group sizes where there are several."""
    lines = []
    for name in sparse_contenders(results):
        groups: dict[str, set[int]] = {}
        for one in results:
            if one.contender == name and one.variant and median_s(one) is not None:
                groups.setdefault(one.variant, set()).add(one.case.group)
        if len(groups) == 1:
            lines.append(f"Variant of {name}: {printable(*groups)}.")
        elif groups:
            named = (f"{printable(one)} (g={_listed(groups[one])})" for one in sorted(groups))
            lines.append(f"Variants of {name}: {'; '.join(named)}.")
    return "\n".join(lines)


def rates_not_reached(results: Iterable[Result]) -> str:
    """Tell by group size the share of weights removed that is furthest from its rate.

    Groups at the end of a row may be shorter, and some must stay: their count meets the rate, the
    weights in them need not. Empty where all are met.
    """
    furthest: dict[int, tuple[float, float, float]] = {}  # by group: difference, rate, share
    for one in results:
        rate, share = one.case.rate, one.achieved_rate
        if share is not None and is_missed(rate, share):
            furthest[one.case.group] = max(
                furthest.get(one.case.group, (0.0, 0.0, 0.0)), (abs(share - rate), rate, share)
            )
    if not furthest:
        return ""
    told = (
        f"g={group} {format_rate(round(share, 4))} at {format_rate(rate)}"
        for group, (_, rate, share) in sorted(furthest.items())
    )
    return (
        "Rates are those asked. Share of the weights removed where it is furthest from the rate: "
        f"{', '.join(told)}."
    )


def _listed(groups: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(groups)))
