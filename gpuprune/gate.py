"""Fresh runs of a sweep, each a process of its own, and what they say about a candidate."""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gpuprune
from gpuprune import session
from gpuprune.config import Sweep
from gpuprune.errors import GpupruneError
from gpuprune.records import Result, Run
from gpuprune.regression import MeasurementFailed
from gpuprune.regression.arm import Arm
from gpuprune.regression.baseline import Baseline, Conditions
from gpuprune.regression.comparability import (
    require_comparable,
    require_same_patterns,
    suspects,
)
from gpuprune.regression.rule import Terms, floor_of, judge
from gpuprune.regression.verdict import Verdict
from gpuprune.units import format_minutes

Measured = tuple[Run, list[Result]]
Say = Callable[[str], None]

_MUCH_LOAD = 0.5  # cores that others use, from which on times are doubtful
_STARTING_S = 60
_DONE = (0, 1)  # 1: a contender was wrong, which is a finding and not a failure
_USAGE = 2
_INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class Side:
    """A version of gpuprune: the interpreter that has it installed, or this one."""

    name: str
    interpreter: str | None = None  # None: this process's, with this process's gpuprune

    def command(self) -> list[str]:
        """Return how it is started; -P keeps the current folder's gpuprune out."""
        return [self.interpreter or sys.executable, "-P", "-m", "gpuprune"]

    def environment(self) -> dict[str, str]:
        """Return its environment, without options: those stand on the command line."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("GPUPRUNE_")}
        kept.pop("PYTHONPATH", None)
        if self.interpreter is None:
            kept["PYTHONPATH"] = str(Path(gpuprune.__file__).parents[1])
        return kept


HEAD = Side(name="head")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two sides, and what is held of the second."""

    base: Arm
    candidate: Arm
    terms: Terms
    verdicts: list[Verdict]
    suspects: list[str]  # versions and the like that changed

    @property
    def is_slow(self) -> bool:
        """Whether there is something to confirm before a job fails."""
        return any(one.verdict == "SLOW" for one in self.verdicts)


def fresh_runs(
    sweep: Sweep,
    sides: Sequence[Side],
    runs: int,
    say: Say,
    *,
    seed: int = 0,
    each: Callable[[Sequence[Result]], None] = lambda results: None,
) -> dict[str, list[Measured]]:
    """Run a sweep so many times a side, the sides in turns, every run with another order of cells.

    `each` looks at the results of a run before the next one begins. Raises MeasurementFailed
    where a run ends without times, GpupruneError where it refuses.
    """
    found: dict[str, list[Measured]] = {side.name: [] for side in sides}
    for number in range(runs):
        order = random.Random(f"{seed}, {number}")  # noqa: S311
        arguments = bench_arguments(sweep, order)
        # There and back again: neither side is always the first.
        for side in sides if number % 2 == 0 else reversed(sides):
            start = time.monotonic()
            run, results = _run(side, arguments)
            each(results)
            found[side.name].append((run, results))
            if number == 0 and side is sides[0] and (warning := _busy_warning(run)):
                say(warning)
            whose = f" of {side.name}" if len(sides) > 1 else ""
            took = format_minutes(time.monotonic() - start)
            say(f"Run {number + 1} of {runs}{whose} took {took}.")
    return found


def bench_arguments(sweep: Sweep, order: random.Random) -> list[str]:
    """Write a sweep as options of `bench`, with rates, groups and shapes in a random order.

    The order of groups and rates is the order of cells, and groups are still ranked once each.
    """
    options: dict[str, Any] = {
        "dtype": sweep.dtype,
        "score": sweep.score,
        "orientation": sweep.orientation,
        "min-groups-per-row": sweep.min_groups_per_row,
        "seed": sweep.seed,
        "device": sweep.device,
        "threads": sweep.threads,
        "contenders": ",".join(sweep.contenders) or None,
        "cache": sweep.cache,
        "samples": sweep.samples,
        "budget": sweep.budget,
        **_layers(sweep, order),
    }
    if not sweep.as_is:
        options["rates"] = ",".join(_shuffled(map(repr, sweep.rates), order))
        options["groups"] = ",".join(_shuffled(map(str, sweep.groups), order))
    flags = ["--as-is"] if sweep.as_is else []
    given = ((name, value) for name, value in options.items() if value is not None)
    return [*flags, *(text for name, value in given for text in (f"--{name}", str(value)))]


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


def require_undisturbed(results: Sequence[Result]) -> None:
    """Raise GpupruneError where others computed on the device while it was measured."""
    for one in results:
        if one.status == "disturbed":
            raise GpupruneError(
                f"others compute on this device: {one.reason}",
                hint="stop them, or take --force to record nevertheless",
            )


def version_of(side: Side) -> str:
    """Ask an interpreter for its gpuprune; raises GpupruneError where it has none."""
    try:
        done = subprocess.run(
            [*side.command(), "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=side.environment(),
            text=True,
            timeout=_STARTING_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise GpupruneError(
            f"{side.interpreter} runs no gpuprune: {error}",
            hint="give the Python of an environment with gpuprune installed, "
            "such as ../main/.venv/bin/python",
        ) from None
    return done.stdout.rpartition(" ")[2].strip()


def load_runs(paths: Sequence[Path]) -> tuple[list[Measured], list[str]]:
    """Read run files, and the warnings that go with them."""
    loaded = [session.load(path) for path in paths]
    warnings = [warning for _, _, warning in loaded if warning]
    return [(run, results) for run, results, _ in loaded], warnings


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
    if not candidate.timed():
        reasons = dict.fromkeys(candidate.faults.values())
        raise MeasurementFailed(
            f"no cell was timed: {'; '.join(reasons) or 'the runs are empty'}",
            hint="see what `gpuprune bench` says with the same options",
        )
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
    return replace(verdict, verdict="UNSURE", reason=reason)


def _busy_warning(run: Run) -> str | None:
    busy = run.environment.get("busy_cores")
    if busy is None or busy < _MUCH_LOAD:
        return None
    return f"Warning: {busy:.1f} cores were busy when measuring began; the times are doubtful."


def _run(side: Side, arguments: Sequence[str]) -> Measured:
    with tempfile.TemporaryDirectory(prefix="gpuprune-") as folder:
        output = Path(folder) / "run.jsonl"
        done = subprocess.run(
            [*side.command(), "bench", *arguments, "--format", "csv", "-q", "--output", output],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=side.environment(),
            text=True,
            errors="replace",
        )
        if done.returncode not in _DONE:
            raise _failure(side, done.returncode, done.stderr)
        run, results, _ = session.load(output)
        return run, results


def _failure(side: Side, code: int, stderr: str) -> BaseException:
    if code == _INTERRUPTED:
        return KeyboardInterrupt()
    lines = [line for line in stderr.splitlines() if line.strip()]
    said = {line.partition(": ")[0]: line.partition(": ")[2] for line in lines}
    if code == _USAGE and "Error" in said:
        return GpupruneError(said["Error"], hint=said.get("Hint", "see gpuprune bench --help"))
    told = f": {lines[-1]}" if lines else ""
    return MeasurementFailed(
        f"a run of {side.name} ended with exit code {code}{told}",
        hint=f"see what it says by itself: {' '.join(side.command())} bench",
    )


def _layers(sweep: Sweep, order: random.Random) -> Mapping[str, Any]:
    if sweep.weights is not None:
        return {"weights": sweep.weights, "tensor": sweep.tensor, "batch": sweep.batch}
    shapes = ("x".join(map(str, shape)) for shape in sweep.shape)
    return {"shape": ",".join(_shuffled(shapes, order))}


def _shuffled(items: Iterable[str], order: random.Random) -> list[str]:
    found = list(items)
    order.shuffle(found)
    return found
