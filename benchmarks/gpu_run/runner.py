"""Steps run one after the other, each within its limit; what happened is on disk at any time.

`steps.jsonl` in the folder gets a line when a step begins and one when it ends, beside the files
that keep what it printed. So whatever ends a run, the next one goes on behind it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from gpuprune.errors import GpupruneError
from gpuprune.process import end_group
from gpuprune.resuming import now

ROOT = Path(__file__).parents[2]
JOURNAL = "steps.jsonl"

Status = Literal["running", "done", "skipped", "failed", "stopped", "interrupted"]
FINE: tuple[Status, ...] = ("done", "skipped")
_CUT_OFF: tuple[Status, ...] = ("running", "stopped", "interrupted")

# Between Ctrl-C and the end by force: a command ends first what it started in other sessions, as
# `gpuprune profile` does with its profiler.
GRACE_S = 15.0
_LONGEST_REASON = 300  # characters
_SAME_MACHINE = ("node", "gpu_uuid", "packages")  # on another, --resume refuses what there is


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A part of the run, as long as nothing is missing for it."""

    name: str
    does: str
    commands: tuple[tuple[str, ...], ...]  # one after the other, as long as they end with 0
    limit_s: float  # for all of them
    files: tuple[str, ...] = ()  # that the commands write into the folder
    resumes: bool = False  # cut off, it goes on with its files
    repeats: bool = False  # made anew each time: it reads what the others have written
    in_repository: bool = False  # its commands run in the repository's folder, not in the output's
    lacks: str | None = None  # what is missing for it here: a sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What became of a step, JSON-ready."""

    step: str
    status: Status
    device: str
    limit_s: float
    commands: tuple[str, ...]
    started: str  # ISO 8601, with the offset
    machine: dict[str, Any]
    seconds: float = 0.0
    exit_code: int | None = None  # of the last command, where it ended by itself
    reason: str | None = None  # why it is not done


Tell = Callable[[Attempt], None]


def run(
    steps: Sequence[Step],
    folder: Path,
    device: str,
    *,
    machine: Mapping[str, Any],
    again: bool = False,
    grace_s: float = GRACE_S,
    tell: Tell = lambda attempt: None,
) -> None:
    """Make the steps that are not done, and keep all that they write in a folder.

    `tell` hears of every step when it begins and when it ends. A step that fails does not stop
    the others. Raises GpupruneError where the folder belongs to another device, and passes on
    KeyboardInterrupt once the step under way has ended.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = latest(folder)
    if others := {one.device for one in before.values()} - {device}:
        raise GpupruneError(
            f"{folder} holds a run on {', '.join(sorted(others))}, and now it is {device}",
            hint=f"give another --output, or --device {min(others)}",
        )
    place = _Place(folder=folder, device=device, machine=dict(machine), grace_s=grace_s, tell=tell)
    for step in steps:
        last = before.get(step.name)
        if last and last.status == "done" and not (again or step.repeats):
            continue
        _make(step, None if again else last, place)


def latest(folder: Path) -> dict[str, Attempt]:
    """Read what became of each step last; a line that was torn off is as if it were not there."""
    found: dict[str, Attempt] = {}
    with suppress(FileNotFoundError):
        for line in (folder / JOURNAL).read_text(encoding="utf-8").splitlines():
            with suppress(json.JSONDecodeError):
                values = json.loads(line)
                values["commands"] = tuple(values["commands"])
                found[values["step"]] = Attempt(**values)
    return found


def output_files(step: str) -> tuple[str, str]:
    """Name the files that keep what a step prints: stdout's and stderr's."""
    return f"{step}.stdout.txt", f"{step}.stderr.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where steps run, and who is told."""

    folder: Path
    device: str
    machine: dict[str, Any]
    grace_s: float
    tell: Tell


def _make(step: Step, last: Attempt | None, place: _Place) -> None:
    """Make a step, going on with what its last attempt has written where that was cut off."""
    begun = Attempt(
        step=step.name,
        status="running",
        device=place.device,
        limit_s=step.limit_s,
        commands=tuple(_shown(command) for command in step.commands),
        started=now(),
        machine=place.machine,
    )

    def keep(attempt: Attempt) -> None:
        _append(place.folder, attempt)
        place.tell(attempt)

    if step.lacks is not None:
        keep(replace(begun, status="skipped", reason=step.lacks))
        return
    if not (step.resumes and last is not None and _continues(begun, last)):
        _set_aside(place.folder, step)
    start = time.monotonic()
    try:
        keep(begun)
        status, code, reason = _run_commands(step, place.folder, place.grace_s)
    except KeyboardInterrupt:
        seconds = time.monotonic() - start
        keep(replace(begun, status="interrupted", seconds=seconds, reason="Ctrl-C"))
        raise
    seconds = time.monotonic() - start
    keep(replace(begun, status=status, seconds=seconds, exit_code=code, reason=reason))


def _continues(begun: Attempt, last: Attempt) -> bool:
    """Tell whether an attempt can go on with what the last one has written."""
    here, there = ([one.machine.get(key) for key in _SAME_MACHINE] for one in (begun, last))
    return last.status in _CUT_OFF and last.commands == begun.commands and here == there


def _run_commands(
    step: Step, folder: Path, grace_s: float
) -> tuple[Status, int | None, str | None]:
    """Return what became of the commands, the exit code, and why they are not done."""
    deadline = time.monotonic() + step.limit_s
    stdout, stderr = (folder / name for name in output_files(step.name))
    with stdout.open("wb") as out, stderr.open("wb") as err:
        for command in step.commands:
            try:
                process = subprocess.Popen(
                    command,
                    cwd=ROOT if step.in_repository else folder,
                    env=_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,
                )
            except OSError as error:
                return "failed", None, f"cannot start {command[0]}: {error.strerror}"
            try:
                code = process.wait(max(deadline - time.monotonic(), 0.0))
            except subprocess.TimeoutExpired:
                return "stopped", None, f"its limit of {step.limit_s:.0f} s was over"
            finally:  # by Ctrl-C first
                end_group(process, asking=signal.SIGINT, grace_s=grace_s)
            if code != 0:
                return "failed", code, _last_line(stderr) or _last_line(stdout)
    return "done", 0, None


def _set_aside(folder: Path, step: Step) -> None:
    """Rename what an earlier attempt wrote: its commands refuse to write over it."""
    for name in step.files:
        path = folder / name
        if path.exists():
            path.replace(path.with_name(f"{name}.old"))


def _environment() -> dict[str, str]:
    """Return an environment in which this folder's gpuprune runs, without options of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GPUPRUNE_")}
    paths = [str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    # Unbuffered: what a command has printed when it is ended by force is kept.
    more = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
    return kept | more


def _shown(command: Sequence[str]) -> str:
    """Write a command as it can be committed: without this machine's folders."""
    words = ["python3" if word == sys.executable else word for word in command]
    return " ".join(word.replace(f"{ROOT}{os.sep}", "") for word in words)


def _last_line(path: Path) -> str | None:
    """Read what was said last, the hint below an error aside."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    said = [line.strip() for line in lines if line.strip() and not line.startswith("Hint: ")]
    return said[-1][:_LONGEST_REASON] if said else None


def _append(folder: Path, attempt: Attempt) -> None:
    with (folder / JOURNAL).open("a", encoding="utf-8") as file:
        if file.tell() and not _ends_with_newline(folder / JOURNAL):
            file.write("\n")  # so that a torn line does not spoil this one
        file.write(json.dumps(asdict(attempt)) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"
