"""The runs of one side of a comparison: a median time for every cell and run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from gpuprune.contenders import BASELINE
from gpuprune.errors import GpupruneError
from gpuprune.records import Case, Result
from gpuprune.regression import MeasurementFailed
from gpuprune.soundness import is_time
from gpuprune.units import format_count

Cell = tuple[Case, str]  # a case and a contender

_LONGEST_TOLD = 10**18


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What several fresh processes measured of the same sweep."""

    runs: int
    times: Mapping[Cell, tuple[float | None, ...]]  # median seconds, one a run
    faults: Mapping[Cell, str]  # why a cell lacks a time: the worst of its runs
    wrong: frozenset[Cell]  # of which at least one product was wrong
    patterns: Mapping[Cell, str]  # CRC-32 of each mask

    @classmethod
    def of(cls, runs: Sequence[Sequence[Result]], *, disturbed_too: bool = False) -> Self:
        """Collect results; a time that was disturbed counts only if asked for.

        Raises GpupruneError for a time that is none, a cell that a run has twice, and runs that
        pruned a case in different ways.
        """
        # Every run has its own order; a file that is committed and a table have one.
        cells = sorted({(one.case, one.contender) for run in runs for one in run}, key=_place)
        times: dict[Cell, list[float | None]] = {cell: [None] * len(runs) for cell in cells}
        faults: dict[Cell, str] = {}
        wrong: set[Cell] = set()
        patterns: dict[Cell, str] = {}
        counted = ("ok", "disturbed") if disturbed_too else ("ok",)
        for number, run in enumerate(runs):
            _refuse_repeated(run)
            for one in run:
                cell = (one.case, one.contender)
                if one.pattern is not None:
                    _require_one_pattern(cell, patterns.setdefault(cell, one.pattern), one.pattern)
                if one.status == "wrong":
                    wrong.add(cell)
                if one.status in counted and one.timing is not None:
                    times[cell][number] = require_time(one.timing.median_s, cell)
                elif cell not in faults or one.status == "wrong":
                    faults[cell] = f"{one.status}: {one.reason or 'no reason given'}"
        return cls(
            runs=len(runs),
            times={cell: tuple(seconds) for cell, seconds in times.items()},
            faults=faults,
            wrong=frozenset(wrong),
            patterns=patterns,
        )

    def timed(self) -> list[Cell]:
        """List the cells that have a time in at least one run."""
        return [cell for cell, seconds in self.times.items() if any(seconds)]

    def require_times(self) -> None:
        """Raise MeasurementFailed where no cell was timed."""
        if not self.timed():
            reasons = "; ".join(dict.fromkeys(self.faults.values()))
            raise MeasurementFailed(
                f"no cell was timed: {reasons or 'the runs are empty'}",
                hint="see what `gpuprune bench` says with the same options",
            )

    def holes(self) -> list[str]:
        """Say which contenders lack a time in some of the runs, and why."""
        found: dict[str, list[Cell]] = {}
        for cell in self.timed():
            if not all(self.times[cell]):
                found.setdefault(cell[1], []).append(cell)
        return [self._hole(name, cells) for name, cells in found.items()]

    def _hole(self, name: str, cells: Sequence[Cell]) -> str:
        runs = sum(any(self.times[cell][i] is None for cell in cells) for i in range(self.runs))
        reasons = dict.fromkeys(self.faults.get(cell, "the run lacks it") for cell in cells)
        return (
            f"{name} has no time in {runs} of {format_count(self.runs, 'run')} at "
            f"{format_count(len(cells), 'cell')} ({'; '.join(reasons)})"
        )


def _place(cell: Cell) -> tuple[Any, ...]:
    case, contender = cell
    layer = (case.weights or "", case.rows, case.cols, case.batch)
    return (*layer, case.group, case.rate, contender != BASELINE, contender)


def require_time(seconds: float, cell: Cell) -> float:
    """Return a time that is one; raises GpupruneError for zero, NaN, a text."""
    if not is_time(seconds):
        raise GpupruneError(
            f"{name_of(cell)} has a time of {_told(seconds)} s",
            hint="measure it again; no product takes that",
        )
    return seconds


def name_of(cell: Cell) -> str:
    """Name a cell in a sentence."""
    case, contender = cell
    return f"{contender} at rate {case.rate:g}, group {case.group}"


def _told(value: object) -> str:
    # Python refuses to write an integer of thousands of digits.
    return "many" if isinstance(value, int) and abs(value) > _LONGEST_TOLD else str(value)


def _refuse_repeated(run: Sequence[Result]) -> None:
    seen: set[Cell] = set()
    for one in run:
        cell = (one.case, one.contender)
        if cell in seen:
            raise GpupruneError(
                f"a run has {name_of(cell)} twice", hint="give a file as `gpuprune bench` wrote it"
            )
        seen.add(cell)


def _require_one_pattern(cell: Cell, first: str, other: str) -> None:
    if first != other:
        raise GpupruneError(
            f"the runs kept other weights of {name_of(cell)}: patterns {first} and {other}",
            hint="give runs of one sweep by one gpuprune",
        )
