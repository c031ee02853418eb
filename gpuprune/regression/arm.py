"""The runs of one side of a comparison: a median time for every cell and run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Self

from gpuprune.contenders import BASELINE
from gpuprune.errors import GpupruneError
from gpuprune.records import Case, Result

Cell = tuple[Case, str]  # a case and a contender


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

        Raises GpupruneError for a time that is not above zero.
        """
        # Every run has its own order; a file that is committed and a table have one.
        cells = sorted({(one.case, one.contender) for run in runs for one in run}, key=_place)
        times: dict[Cell, list[float | None]] = {cell: [None] * len(runs) for cell in cells}
        faults: dict[Cell, str] = {}
        wrong, patterns = set(), {}
        counted = ("ok", "disturbed") if disturbed_too else ("ok",)
        for number, run in enumerate(runs):
            for one in run:
                cell = (one.case, one.contender)
                if one.pattern is not None:
                    patterns[cell] = one.pattern
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


def _place(cell: Cell) -> tuple[Any, ...]:
    case, contender = cell
    layer = (case.weights or "", case.rows, case.cols, case.batch)
    return (*layer, case.group, case.rate, contender != BASELINE, contender)


def require_time(seconds: float, cell: Cell) -> float:
    """Return a time that is one; raises GpupruneError for zero, a negative one, NaN."""
    if not (isfinite(seconds) and seconds > 0):
        case, contender = cell
        raise GpupruneError(
            f"{contender} at rate {case.rate:g}, group {case.group} has a time of {seconds} s",
            hint="measure it again; no product takes that",
        )
    return seconds
