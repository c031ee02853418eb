"""Runs of a sweep, each a process of its own: measured now, or read from files."""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gpuprune
from gpuprune import session
from gpuprune.config import Sweep
from gpuprune.environment import load_note
from gpuprune.errors import GpupruneError
from gpuprune.process import ending_on_signals, running
from gpuprune.records import Result, Run
from gpuprune.regression import MeasurementFailed
from gpuprune.storage import read
from gpuprune.units import format_minutes

Measured = tuple[Run, list[Result]]
Say = Callable[[str], None]

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
    # One folder for all: between two of them a signal could leave one behind.
    with ending_on_signals(), tempfile.TemporaryDirectory(prefix="gpuprune-") as folder:
        for number in range(runs):
            order = random.Random(f"{seed}, {number}")  # noqa: S311
            arguments = bench_arguments(sweep, order)
            # There and back again: neither side is always the first.
            for side in sides if number % 2 == 0 else reversed(sides):
                start = time.monotonic()
                run, results = _run(side, arguments, Path(folder) / f"{side.name}-{number}.jsonl")
                each(results)
                found[side.name].append((run, results))
                if (
                    number == 0
                    and side is sides[0]
                    and (note := load_note(run.environment.get("busy_cores")))
                ):
                    say(f"Warning: {note}")
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
    """Read run files, and the warnings that go with them.

    Raises GpupruneError where two of them hold the same run: copies say nothing of noise.
    """
    found: list[Measured] = []
    warnings = []
    for path in paths:
        file = read(path)
        found.append(session.parse(file))
        warnings += [file.warning] if file.warning else []
        if file.end is None:
            warnings.append(f"{path}: the run has not ended; what it lacks is not judged")
        for other, earlier in zip(paths, found[:-1], strict=False):
            if _is_same_run(earlier, found[-1]):
                raise GpupruneError(
                    f"{other} and {path} are the same run",
                    hint="give each run once: what is repeated is the process, with "
                    "`gpuprune bench --output` anew",
                )
    return found, warnings


def _is_same_run(one: Measured, other: Measured) -> bool:
    """Whether two began at once on one machine and agree in every sample that both have."""
    if one[0].started != other[0].started:
        return False
    if one[0].environment["node"] != other[0].environment["node"]:
        return False
    samples = [
        {(r.case, r.contender): r.timing.samples_s for r in results if r.timing}
        for _, results in (one, other)
    ]
    both = samples[0].keys() & samples[1].keys()
    return bool(both) and all(samples[0][cell] == samples[1][cell] for cell in both)


def _run(side: Side, arguments: Sequence[str], output: Path) -> Measured:
    command = [*side.command(), "bench", *arguments, "--format", "csv", "-q"]
    log = output.with_suffix(".txt")
    with (
        log.open("wb") as errors,
        running([*command, "--output", str(output)], side.environment(), None, errors) as process,
    ):
        code = process.wait()
    if code not in _DONE:
        raise _failure(side, code, log.read_text(errors="replace"))
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
