"""When a change is a regression: the median times of fresh runs in, verdicts out.

A time is compared as its logarithm, so that a change is a difference. What is repeated is the
run, a fresh process: samples of one process agree far better than processes do. The derivation
stands in docs/regression-rule.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from gpuprune.contenders import BASELINE
from gpuprune.records import Case
from gpuprune.regression.arm import Arm, Cell
from gpuprune.regression.estimate import Estimates, Floats, estimate, medians, medians_of_others
from gpuprune.regression.verdict import Level, Verdict, Word
from gpuprune.units import format_percent

FLOORS = {"cuda": 0.03}  # smallest change that counts, by device
OTHER_FLOOR = 0.10
FEWEST_RUNS = {"baseline": 5, "candidate": 3}
DRIFT_FACTOR = 1.5  # of a drift, up to which no change counts

_LEAST_CHANGE_S = 2e-6  # what no user notices, and a clock hardly shows
_CONTROLS = 3  # other cells that a cell needs to be told apart from its contender
_MOST_RUNS = 30  # more are not worth proposing


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a change is held against."""

    floor: float  # share of a time up to which no change counts
    resolution_s: float = 0.0  # smallest difference that the clock shows
    paired: bool = False  # both sides took turns in one job


def floor_of(device: str) -> float:
    """Return the smallest change that counts on a device, as a share of the time."""
    return FLOORS.get(device, OTHER_FLOOR)


def judge(base: Arm, candidate: Arm, terms: Terms) -> list[Verdict]:
    """Compare a candidate's runs with a baseline's: the device, the contenders, then every cell.

    A cell is held against the other cells of its contender, a contender against dense, and dense
    against itself, so that nothing is its own control.
    """
    both = [cell for cell in base.timed() if any(candidate.times.get(cell, ()))]
    names = dict.fromkeys(name for _, name in both)
    grids = {name: [cell for cell in both if cell[1] == name] for name in names}
    shifts = {name: _shifts(cells, base, candidate) for name, cells in grids.items()}
    verdicts = _judge_contenders(shifts, terms)
    for name, cells in grids.items():
        verdicts += _judge_cells(name, cells, shifts, base, terms)
    flipped = {cell for cell in both if _beats(cell, base) and _loses(cell, candidate)}
    verdicts = [
        told_first(one) if (one.case, one.contender) in flipped else one for one in verdicts
    ]
    return _without_wrong(verdicts, candidate) + _unpaired(base, candidate)


def told_first(verdict: Verdict) -> Verdict:
    """Mark a decision that flipped: sparse won in every run of the base, and in none since."""
    return replace(verdict, flipped=True, reason=f"no longer beats dense; {verdict.reason}")


def _shifts(cells: Sequence[Cell], base: Arm, candidate: Arm) -> tuple[Floats, Floats]:
    """Return log times less each cell's median in the baseline: (runs, cells) on both sides."""
    sides = [
        np.log(np.array([arm.times[cell] for cell in cells], dtype=float).T)
        for arm in (base, candidate)
    ]
    middle = medians(sides[0].T)
    return sides[0] - middle, sides[1] - middle


def _judge_contenders(shifts: Mapping[str, tuple[Floats, Floats]], terms: Terms) -> list[Verdict]:
    if BASELINE not in shifts:
        return []
    dense = [medians(side) for side in shifts[BASELINE]]
    itself = estimate(dense[0][:, None], dense[1][:, None], alike=False)
    about = [(None, BASELINE)]
    (device,) = _verdicts(itself, _thresholds(itself, terms), "device", about, None)
    verdicts = [device if terms.paired else _at_most_unsure(device)]
    others = [name for name in shifts if name != BASELINE]
    if others:
        # Run by run: what a run does to everybody is no change of a contender.
        sides = [
            np.column_stack([medians(shifts[name][i]) - dense[i] for name in others])
            for i in (0, 1)
        ]
        found = estimate(*sides, alike=False)
        about = [(None, name) for name in others]
        verdicts += _verdicts(found, _thresholds(found, terms), "contender", about, "dense")
    return verdicts


def _judge_cells(
    name: str,
    cells: Sequence[Cell],
    shifts: Mapping[str, tuple[Floats, Floats]],
    base: Arm,
    terms: Terms,
) -> list[Verdict]:
    if len(cells) > _CONTROLS:
        controls = [medians_of_others(side) for side in shifts[name]]
        control = "its contender's other cells"
    elif name != BASELINE and BASELINE in shifts:
        controls = [medians(side)[:, None] for side in shifts[BASELINE]]
        control = "dense"
    else:
        return []  # nothing to tell them apart from
    found = estimate(
        *(side - control for side, control in zip(shifts[name], controls, strict=True)),
        alike=True,
    )
    seconds = np.array([median(filter(None, base.times[cell])) for cell in cells])
    least_s = max(_LEAST_CHANGE_S, 2 * terms.resolution_s)
    thresholds = np.maximum(_thresholds(found, terms), np.log1p(least_s / seconds))
    return _verdicts(found, thresholds, "cell", cells, control)


def _thresholds(found: Estimates, terms: Terms) -> Floats:
    drift = DRIFT_FACTOR * np.nan_to_num(found.drift)
    thresholds: Floats = np.maximum(np.log1p(terms.floor), drift)
    return thresholds


def _verdicts(
    found: Estimates,
    thresholds: Floats,
    level: Level,
    about: Sequence[tuple[Case | None, str]],
    control: str | None,
) -> list[Verdict]:
    shared = {"level": level, "control": control}
    return [
        _verdict(found, i, float(thresholds[i]), {**shared, "case": case, "contender": name})
        for i, (case, name) in enumerate(about)
    ]


def _verdict(found: Estimates, i: int, threshold: float, about: dict[str, Any]) -> Verdict:
    runs = {"baseline": int(found.base_runs[i]), "candidate": int(found.candidate_runs[i])}
    if few := [side for side, count in runs.items() if count < 2]:
        # More runs of the candidate tell nothing of a baseline's noise.
        more = None if "baseline" in few else FEWEST_RUNS["candidate"] - 1
        reason = f"the {few[0]} has fewer than two runs, and one says nothing of the next"
        return Verdict(**about, verdict="UNSURE", reason=reason, more_runs=more)
    change, half = float(found.change[i]), float(found.half_width(i))
    # Of hundreds of cells whose code is the same none may stand out by chance.
    joint = float(found.half_width(i, among=found.change.size))
    stands_out = abs(change) > max(threshold, joint)
    low, high = float(np.expm1(change - half)), float(np.expm1(change + half))
    relative = f" relative to {about['control']}" if about["control"] else ""
    more_runs = None
    word: Word
    if stands_out and change > 0:
        word, reason = "SLOW", f"slower by at least {format_percent(low)}{relative}"
    elif stands_out and change < 0:
        word, reason = "FAST", f"faster by at least {format_percent(-high)}{relative}"
    elif abs(change) + half < threshold:
        word, reason = "SAME", f"too small a change{relative} to count"
    else:
        word, more_runs = "UNSURE", _more_runs(found, i, abs(change), threshold)
        reason = _doubt(change, threshold, joint, relative, found.change.size)
        reason += f"; further runs that would settle it: {more_runs or f'over {_MOST_RUNS}'}"
    return Verdict(
        **about,
        verdict=word,
        change=float(np.expm1(change)),
        low=low,
        high=high,
        reason=f"{reason}; the threshold is {format_percent(np.expm1(threshold))}",
        threshold=float(np.expm1(threshold)),
        noise=float(found.noise[i]),
        visible=float(np.expm1(found.visible(i, threshold))),
        more_runs=more_runs,
    )


def _doubt(change: float, threshold: float, joint: float, relative: str, among: int) -> str:
    """Say what keeps a change from being SLOW or FAST, or from being the same."""
    if abs(change) <= threshold:
        return f"noise hides whether it changed{relative}"
    word = "slower" if change > 0 else "faster"
    bound = np.expm1(change - joint if change > 0 else change + joint)
    together = f" for {among} together" if among > 1 else ""
    return (
        f"{word}{relative}, but perhaps by chance: the 99 % bound{together} is "
        f"{100 * bound:+.1f} %, on the other side of zero"
    )


def _more_runs(found: Estimates, i: int, change: float, threshold: float) -> int | None:
    """Return how many more runs of the candidate would decide, None if more than a few dozen."""
    more = np.arange(1, _MOST_RUNS + 1)
    if change > threshold:
        decides = found.half_width(i, more, among=found.change.size) < change
    else:
        decides = found.half_width(i, more) < threshold - change
    (deciding,) = np.nonzero(decides)
    return int(more[deciding[0]]) if deciding.size else None


def _at_most_unsure(device: Verdict) -> Verdict:
    """Take back a verdict on dense, which a device's mood moves from day to day."""
    if device.verdict not in ("SLOW", "FAST"):
        return device
    return replace(
        device,
        verdict="UNSURE",
        reason="dense itself moved: a drift of the device or a change of its library, which only "
        "--base can tell apart",
    )


def _without_wrong(verdicts: Iterable[Verdict], candidate: Arm) -> list[Verdict]:
    return [one for one in verdicts if (one.case, one.contender) not in candidate.wrong]


def _unpaired(base: Arm, candidate: Arm) -> list[Verdict]:
    """Judge what cannot be compared: wrong, or with a time on one side only."""
    verdicts = []
    for cell in dict.fromkeys([*base.times, *candidate.times]):
        was, now = any(base.times.get(cell, ())), any(candidate.times.get(cell, ()))
        word: Word = "MISSING"
        if cell in candidate.wrong:
            reason = candidate.faults[cell]
        elif was and not now:
            reason = candidate.faults.get(cell, "the candidate lacks it")
        elif now and not was:
            word, reason = "NEW", base.faults.get(cell, "the baseline lacks it")
        else:
            continue
        case, contender = cell
        verdicts.append(
            Verdict(level="cell", case=case, contender=contender, verdict=word, reason=reason)
        )
    return verdicts


def _beats(cell: Cell, arm: Arm) -> bool:
    """Say whether a cell is faster than dense in every run."""
    pairs = _beside_dense(cell, arm)
    return bool(pairs) and all(own < dense for own, dense in pairs)


def _loses(cell: Cell, arm: Arm) -> bool:
    """Say whether a cell is slower than dense in every run."""
    pairs = _beside_dense(cell, arm)
    return bool(pairs) and all(own > dense for own, dense in pairs)


def _beside_dense(cell: Cell, arm: Arm) -> list[tuple[float, float]]:
    own, dense = arm.times[cell], arm.times.get((cell[0], BASELINE), ())
    return [(a, b) for a, b in zip(own, dense, strict=False) if a and b]
