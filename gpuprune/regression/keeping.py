"""Which measurements may stand in for a baseline that is there."""

from gpuprune.errors import GpupruneError
from gpuprune.regression.arm import name_of
from gpuprune.regression.baseline import Baseline
from gpuprune.regression.rule import FEWEST_RUNS
from gpuprune.units import format_count


def runs_needed(older: Baseline) -> int:
    """Return how many runs may stand in for a baseline: as many as it has, or as any needs."""
    return max(FEWEST_RUNS["baseline"], older.arm.runs)


def require_runs(runs: int, older: Baseline) -> None:
    """Raise GpupruneError where there are too few runs to stand in for a baseline."""
    if runs < (needed := runs_needed(older)):
        raise _too_few(format_count(runs, "run"), needed)


def require_all_runs(newer: Baseline, older: Baseline) -> None:
    """Raise GpupruneError for a cell that was timed in too few of the runs."""
    needed = runs_needed(older)
    for cell in newer.arm.timed():
        count = sum(one is not None for one in newer.arm.times[cell])
        if count < needed:
            raise _too_few(f"{format_count(count, 'time')} of {name_of(cell)}", needed)


def _too_few(what: str, needed: int) -> GpupruneError:
    return GpupruneError(
        f"{what} cannot replace this baseline: {needed} are needed",
        hint=f"take --runs {needed} or more, or record another file",
    )
