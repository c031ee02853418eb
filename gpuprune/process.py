"""A program that may hang: watched while it runs, and ended with everything it started."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any, NoReturn

from gpuprune.errors import GpupruneError

_LOOK_EVERY_S = 0.1
_ENDING = (signal.SIGTERM, signal.SIGHUP)
_GRACE_S = 5.0  # between asking a program to end and ending it


def run_watched(
    argv: Sequence[str],
    output: Path,
    environment: Mapping[str, str],
    *,
    has_moved: Callable[[], bool],
    stall_s: float,
) -> int | None:
    """Run a program with its output in a file; return its exit code, None if it had to be ended.

    `has_moved` is asked ten times a second whether there was progress. Where there is none for
    `stall_s` seconds, or this is interrupted, the program ends with its whole process group.
    Raises GpupruneError where it cannot start.
    """
    try:
        with output.open("wb") as file, running(argv, environment, file) as process:
            last = time.monotonic()
            while process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_LOOK_EVERY_S)
                if has_moved():
                    last = time.monotonic()
                elif time.monotonic() - last > stall_s:
                    return None
            return process.returncode
    finally:
        has_moved()


@contextmanager
def running(
    argv: Sequence[str],
    environment: Mapping[str, str],
    output: IO[bytes] | None,
    errors: IO[bytes] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a process group of its own, and end the group when the block is left.

    What it prints goes to `output`, nowhere if that is None; its errors too, unless they have a
    file of their own. Raises GpupruneError where it cannot start.
    """
    process = None
    try:
        with _holding_signals():
            process = _start(argv, environment, output, errors)
        yield process
    finally:
        if process is not None:
            end_group(process)


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind as Ctrl-C does: programs end, temporary folders go."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread hears signals
        return
    heard = [one for one in _ENDING if signal.getsignal(one) != signal.SIG_IGN]  # as under nohup
    previous = {one: signal.signal(one, leave) for one in heard}
    try:
        yield
    finally:
        for one, handler in previous.items():
            signal.signal(one, handler)


def end_group(
    process: subprocess.Popen[Any],
    *,
    asking: signal.Signals = signal.SIGTERM,
    grace_s: float = _GRACE_S,
) -> None:
    """End a process that leads a group, and its children; nothing where all of them have ended.

    The group is asked by a signal, and ended by force after `grace_s` seconds.
    """
    for number, patience_s in ((asking, grace_s), (signal.SIGKILL, _GRACE_S)):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
            if not _group_lives(process.pid):
                return


@contextmanager
def _holding_signals() -> Iterator[None]:
    """Hold signals back while a program starts: one in between would leave it to itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    numbers = [one for one in (signal.SIGINT, *_ENDING) if callable(signal.getsignal(one))]
    previous = {
        one: signal.signal(one, lambda number, frame: held.append(number)) for one in numbers
    }
    try:
        yield
    finally:
        for one, handler in previous.items():
            signal.signal(one, handler)
        for number in held:
            signal.raise_signal(number)


def _start(
    argv: Sequence[str],
    environment: Mapping[str, str],
    output: IO[bytes] | None,
    errors: IO[bytes] | None,
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output or subprocess.DEVNULL,
            stderr=errors or subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise GpupruneError(
            f"cannot start {argv[0]!r}: {error.strerror}",
            hint="give the path of a program that runs on this machine",
        ) from None


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
