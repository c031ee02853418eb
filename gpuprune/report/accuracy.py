"""Accuracy records as the table of the paper's Figure 4, and what has to be said beside it."""

from collections.abc import Sequence
from statistics import mean, stdev

from gpuprune.accuracy.records import Outcome, by_group, drops
from gpuprune.report.layout import Format, Row, listing
from gpuprune.units import format_percent

_MISSED = 0.005  # of the rate; less comes from the short groups at the ends of rows


def accuracy_table(outcomes: Sequence[Outcome], output_format: Format) -> str:
    """Lay out a row a group size, the mean over the seeds and its spread."""
    return listing([_row(own, outcomes) for own in by_group(outcomes)], output_format)


def accuracy_remarks(outcomes: Sequence[Outcome], held_out: int) -> list[str]:
    """Say how sure the figures are, and warn of classes that cannot be told any more."""
    lines = []
    if outcomes:
        share = max(one.accuracy for one in outcomes)
        error = (share * (1 - share) / held_out) ** 0.5
        lines.append(
            f"Counted on {held_out:,} held-out images a seed: standard error about "
            f"{100 * error:.2f} points at {format_percent(share)}."
        )
    for own in by_group(outcomes):
        dead = max(one.dead_classes for one in own)
        if dead:
            last = own[0].matrices[-1]
            lines.append(
                f"Groups of {own[0].group}: {dead} of {last.rows} classes are dead, the output "
                f"matrix lost all of their weights. Take --min-groups-per-row 1 or --skip-last."
            )
    return lines + rates_missed(outcomes)


def rates_missed(outcomes: Sequence[Outcome]) -> list[str]:
    """Warn where much less was removed than was asked for."""
    lines = []
    for own in by_group(outcomes):
        asked, achieved = own[0].rate, mean(one.achieved_rate for one in own)
        if asked - achieved > _MISSED:
            lines.append(
                f"Groups of {own[0].group}: {format_percent(achieved)} of the weights are "
                f"removed, not {format_percent(asked)}: what is kept of each row, or of the last "
                "matrix, leaves too few groups to remove. A speedup measured at the rate asked "
                "for is too high for this network."
            )
    return lines


def _row(own: Sequence[Outcome], everyone: Sequence[Outcome]) -> Row:
    first, lost = own[0], drops(own, everyone)
    return {
        "group": first.group if first.group is not None else "unpruned",
        "seeds": len(own),
        "accuracy": _percent([one.accuracy for one in own]),
        "test": _percent([one.test_accuracy for one in own if one.test_accuracy is not None]),
        "lost": f"{100 * mean(lost):.2f}" if first.group and lost else None,
        "one_shot": _percent(
            [one.one_shot_accuracy for one in own if one.one_shot_accuracy is not None]
        ),
        "removed": format_percent(mean(one.achieved_rate for one in own)),
        "energy": format_percent(_energy(own)),
        "empty": max(one.empty_rows for one in own),
        "dead": max(one.dead_classes for one in own),
    }


def _percent(shares: Sequence[float]) -> str | None:
    if not shares:
        return None
    if len(shares) == 1:
        return format_percent(shares[0], 2)
    return f"{100 * mean(shares):.2f} ± {100 * stdev(shares):.2f} %"


def _energy(own: Sequence[Outcome]) -> float:
    """Average over the matrices, each counted as one: the layers scale weights differently."""
    return mean(facts.energy_kept for one in own for facts in one.matrices)
