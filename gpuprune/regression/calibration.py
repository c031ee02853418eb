"""What two sides of the same code tell of a runner: its noise, its drift, what can be seen."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from math import ceil
from statistics import median
from typing import Any

from gpuprune.regression.rule import DRIFT_FACTOR
from gpuprune.regression.verdict import Verdict


def rows(verdicts: Iterable[Verdict]) -> list[dict[str, Any]]:
    """Return a row a level and contender, in shares of a time; none where nothing was compared."""
    alike = groupby(verdicts, key=lambda one: (one.level, one.contender))
    return [row for key, own in alike if (row := _row(*key, list(own)))]


def drift_to_cover(found: Iterable[Mapping[str, Any]]) -> float:
    """Return the smallest floor above all drifts of `rows`, with the rule's margin, as a share."""
    return DRIFT_FACTOR * max((row["drift_max"] for row in found), default=0.0)


def floor_to_take(drift: float) -> float | None:
    """Return a floor in whole percents that covers a drift, None where no share of a time does."""
    # Rounded down it would not cover the drift; 100 * 0.07 is a little over 7.
    share = ceil(round(100 * drift, 9)) / 100
    return share if share <= 1 else None


def _row(level: str, contender: str, own: Sequence[Verdict]) -> dict[str, Any] | None:
    drifts = [abs(one.change) for one in own if one.change is not None]
    noises = [one.noise for one in own if one.noise is not None]
    visible = [one.visible for one in own if one.visible is not None]
    if not drifts or not noises or not visible:
        return None
    return {
        "level": level,
        "contender": contender,
        "verdicts": len(own),
        "noise": median(noises),
        "drift": median(drifts),
        "drift_max": max(drifts),
        "threshold": max(one.threshold or 0.0 for one in own),
        "visible": median(visible),
        "visible_max": max(visible),
    }
