"""A candidate's runs held against a base's: what is comparable, judged, and confirmed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gpuprune.fresh import Measured
from gpuprune.regression import MeasurementFailed
from gpuprune.regression.arm import Arm
from gpuprune.regression.baseline import Baseline, Conditions
from gpuprune.regression.comparability import (
    require_comparable,
    require_same_patterns,
    suspects,
)
from gpuprune.regression.efficiency import judge_efficiency
from gpuprune.regression.rule import Terms, floor_of, judge, told_first
from gpuprune.regression.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two sides, and what is held of the second."""

    base: Arm
    candidate: Arm
    terms: Terms
    verdicts: list[Verdict]
    suspects: list[str]  # versions and the like that changed
    strict: bool = False  # what is unsure fails as well

    def fails(self, verdict: Verdict) -> bool:
        """Whether a job with this verdict fails."""
        return verdict.fails or (self.strict and verdict.verdict == "UNSURE")

    @property
    def holes(self) -> list[str]:
        """Which contenders have no time in some of the runs of a side, and why."""
        sides = (("baseline", self.base), ("candidate", self.candidate))
        return [f"{name}: {hole}" for name, arm in sides for hole in arm.holes()]

    @property
    def is_slow(self) -> bool:
        """Whether there is something to confirm before a job fails."""
        return any(one.verdict == "SLOW" for one in self.verdicts)


def against_baseline(
    baseline: Baseline, runs: Sequence[Measured], *, floor: float | None = None
) -> Comparison:
    """Hold runs against a stored baseline; raises Incomparable where that says nothing."""
    conditions = [Conditions.of(run) for run, _ in runs]
    for one in conditions:
        require_comparable(baseline.conditions, one)
    return _compare(baseline.conditions, baseline.arm, conditions[0], runs, floor, paired=False)


def against_base(
    base: Sequence[Measured], head: Sequence[Measured], *, floor: float | None = None
) -> Comparison:
    """Hold the head's runs against those of the base, measured in turns."""
    was, now = Conditions.of(base[0][0]), Conditions.of(head[0][0])
    require_comparable(was, now)
    arm = Arm.of([results for _, results in base])
    if not arm.timed():
        raise MeasurementFailed(
            "the base has no time for any cell", hint="see what `gpuprune bench` says there"
        )
    return _compare(was, arm, now, head, floor, paired=True)


def without_times(baseline: Baseline) -> Comparison:
    """Return a comparison with no verdict yet, where no time is asked for."""
    device = baseline.conditions.environment["device"]
    return Comparison(
        base=baseline.arm,
        candidate=Arm.of([]),
        terms=Terms(floor=floor_of(device)),
        verdicts=[],
        suspects=[],
    )


def with_profile(
    comparison: Comparison,
    baseline: Baseline,
    rows: Sequence[Mapping[str, Any]] | None,
    most_points: float,
) -> Comparison:
    """Add the verdicts on load efficiencies, if there are any to judge."""
    if rows is None:
        return comparison
    found = judge_efficiency(baseline.profile, rows, most_points)
    return replace(comparison, verdicts=[*comparison.verdicts, *found])


def confirm(first: Comparison, again: Comparison) -> Comparison:
    """Keep a SLOW of the first only where fresh runs say it again; the rest stays."""
    slow = {one.key: one for one in again.verdicts}
    kept = [
        _unconfirmed(one, slow.get(one.key))
        if one.verdict == "SLOW" and not _is_slow(slow.get(one.key))
        else one
        for one in first.verdicts
    ]
    return replace(first, verdicts=kept)


def require_alike(runs: Sequence[Measured]) -> None:
    """Raise Incomparable where runs of one side differ in what makes a time another."""
    conditions = [Conditions.of(run) for run, _ in runs]
    for other in conditions[1:]:
        require_comparable(conditions[0], other)


def _compare(
    was: Conditions,
    base: Arm,
    now: Conditions,
    runs: Sequence[Measured],
    floor: float | None,
    *,
    paired: bool,
) -> Comparison:
    candidate = Arm.of([results for _, results in runs])
    candidate.require_times()
    _require_some_peace(base, candidate)
    require_same_patterns(base, candidate)
    terms = Terms(
        floor=floor_of(now.environment["device"]) if floor is None else floor,
        resolution_s=max(was.resolution_s, now.resolution_s),
        paired=paired,
    )
    return Comparison(
        base=base,
        candidate=candidate,
        terms=terms,
        verdicts=judge(base, candidate, terms),
        suspects=suspects(was, now),
    )


def _require_some_peace(base: Arm, candidate: Arm) -> None:
    """Raise MeasurementFailed where a cell lacks a time only because others disturbed it."""
    timed = set(candidate.timed())
    for cell in base.timed():
        fault = candidate.faults.get(cell, "")
        if cell not in timed and fault.startswith("disturbed"):
            raise MeasurementFailed(
                f"others compute on this device: {fault}", hint="stop them, and check again"
            )


def _is_slow(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.verdict == "SLOW"


def _unconfirmed(verdict: Verdict, again: Verdict | None) -> Verdict:
    change = again.change if again else None
    there = "no time" if change is None else f"{100 * change:+.1f} %"
    reason = f"slow at first, but not in fresh runs ({there} there)"
    unsure = replace(verdict, verdict="UNSURE", flipped=False, reason=reason)
    return told_first(unsure) if again and again.flipped else unsure
