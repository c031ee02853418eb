"""Accuracy against speedup, group by group: the paper's Figure 5, and the group to choose."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from gpuprune import analysis
from gpuprune.accuracy.records import Outcome, by_group, drops
from gpuprune.contenders import BASELINE
from gpuprune.errors import GpupruneError
from gpuprune.records import Case, Header, Result
from gpuprune.units import format_percent, format_rate

_DIGITS = 9  # of shares that are compared: beyond the last image, before the last bit


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One group size, or the unpruned network: how fast, and how often right."""

    group: int | None  # None for the unpruned network
    rate: float
    speedup: float  # of all layers together, over dense
    accuracy: float  # share, the mean over the seeds
    accuracy_sd: float | None  # over the seeds, None for a single one
    seeds: int
    drop: float | None  # in accuracy, of the same seeds' unpruned networks

    def __str__(self) -> str:
        told = f"{format_percent(self.accuracy)} and {self.speedup:.2f}x"
        if self.group is None:
            return f"the unpruned network: {told}"
        return f"group {self.group} at {format_rate(self.rate)}: {told}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a user must have; None is no demand."""

    min_accuracy: float | None = None  # share
    max_drop: float | None = None  # share
    min_speedup: float | None = None

    def is_met(self, point: Point) -> bool:
        """Whether a point has all that is demanded."""
        return all(
            asked is None or (value is not None and round(value - asked, _DIGITS) * sign >= 0)
            for value, asked, sign in (
                (point.accuracy, self.min_accuracy, 1),
                (point.drop, self.max_drop, -1),
                (point.speedup, self.min_speedup, 1),
            )
        )


def points(results: Sequence[Result], header: Header, outcomes: Sequence[Outcome]) -> list[Point]:
    """Bring a run of `bench` and one of `accuracy` together; the unpruned network comes first.

    The speedup is that of the fastest sparse contender; of several layers it is that of the sum
    of their times. The accuracies are those of the seeds that all group sizes have. Raises
    GpupruneError where the runs have no rate, orientation or group in common.
    """
    asked = header.configuration
    rate, orientation = asked["rate"], asked["orientation"]
    speedups = _speedups(results, rate, orientation)
    if not any(one.group for one in outcomes):
        raise GpupruneError(
            "the accuracy run has no pruned network yet",
            hint="finish it: the same gpuprune accuracy command with --resume",
        )
    seeds = common_seeds(outcomes)
    outcomes = [one for one in outcomes if not seeds or one.seed in seeds]
    found = []
    for own in by_group(outcomes):
        group = own[0].group
        if group is None:
            found.append(_point(own, outcomes, 1.0, 0.0))
        elif group in speedups:
            found.append(_point(own, outcomes, speedups[group], rate))
    if not any(point.group for point in found):
        tested = sorted({one.group for one in outcomes if one.group is not None})
        raise GpupruneError(
            f"the runs share no group: accuracy has {_listed(tested)}, "
            f"bench {_listed(sorted(speedups))}",
            hint="give both commands the same --groups",
        )
    return found


def common_seeds(outcomes: Sequence[Outcome]) -> set[int]:
    """Return the seeds that every group size has, and the unpruned network."""
    return set.intersection(*({one.seed for one in own} for own in by_group(outcomes)))


def front(found: Sequence[Point]) -> list[Point]:
    """Return the points that no other one equals in both and beats in one."""

    def is_beaten(point: Point) -> bool:
        return any(
            (one.speedup >= point.speedup and one.accuracy >= point.accuracy)
            and (one.speedup > point.speedup or one.accuracy > point.accuracy)
            for one in found
        )

    return [point for point in found if not is_beaten(point)]


def recommend(found: Sequence[Point], demand: Demand) -> Point | None:
    """Choose among the points that meet a demand, None if none does.

    The fastest where accuracy is demanded, otherwise the most accurate; of equal ones the smaller
    group. "Do not prune" is a choice like the others.
    """
    meeting = [point for point in front(found) if demand.is_met(point)]
    if demand.min_accuracy is None and demand.max_drop is None:
        return max(meeting, key=lambda point: (point.accuracy, point.speedup), default=None)
    return max(meeting, key=lambda point: (point.speedup, point.accuracy), default=None)


def row(point: Point, found: Sequence[Point], chosen: Point | None) -> dict[str, Any]:
    """Return what tables and JSON show of a point."""
    return {
        "group": point.group,
        "rate": point.rate,
        "speedup": point.speedup,
        "accuracy": point.accuracy,
        "accuracy_sd": point.accuracy_sd,
        "seeds": point.seeds,
        "drop": point.drop,
        "front": point in front(found),
        "recommended": point == chosen,
    }


def _speedups(results: Sequence[Result], rate: float, orientation: str) -> dict[int, float]:
    """Return by group how much faster all layers together are at a rate."""
    cases = [one.case for one in results if not one.case.as_is]
    _require_same(
        "orientation", orientation, sorted({case.orientation for case in cases}), "--orientation"
    )
    _require_same("rate", rate, sorted({case.rate for case in cases}), "--rates")
    here = [one for one in results if one.case.rate == rate and not one.case.as_is]
    layers = analysis.by_layer(here)
    dense = {
        one.case: seconds
        for one in here
        if one.contender == BASELINE and (seconds := analysis.median_s(one)) is not None
    }
    best = analysis.best_speedups(here)
    found: dict[int, float] = {}
    for group in sorted({case.group for case in best}):
        own: list[Case] = [case for case in best if case.group == group]
        if len(own) == len(layers):
            sparse_s = sum(dense[case] / best[case] for case in own)
            found[group] = sum(dense[case] for case in own) / sparse_s
    return found


def _require_same(what: str, asked: object, there: Sequence[object], option: str) -> None:
    if asked not in there:
        raise GpupruneError(
            f"the runs do not belong together: accuracy was told at {what} {asked}, "
            f"and bench has {_listed(there)}",
            hint=f"run gpuprune bench with {option} {asked}",
        )


def _point(
    own: Sequence[Outcome], everyone: Sequence[Outcome], speedup: float, rate: float
) -> Point:
    shares = [one.accuracy for one in own]
    lost = drops(own, everyone)
    return Point(
        group=own[0].group,
        rate=rate,
        speedup=speedup,
        accuracy=mean(shares),
        accuracy_sd=stdev(shares) if len(shares) > 1 else None,
        seeds=len(shares),
        drop=mean(lost) if lost else None,
    )


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values)) or "none"
