"""Writing a run file: nothing that was appended is lost."""

import fcntl
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, Self

from gpuprune.errors import GpupruneError
from gpuprune.records import SCHEMA
from gpuprune.storage.files import REMEDIES, cause, open_file, refusing, sync_directory
from gpuprune.storage.lines import encode
from gpuprune.storage.reading import scan


class Journal:
    """A run file open for writing, by one process at a time: use `create` or `resume`.

    The file itself is locked, so nothing lies beside it and a killed process leaves no lock.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        """Take over a locked descriptor, and cut off a torn last line."""
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            file.seek(0)
            self.run = scan(file, path)  # what was there at the start
        self.kept = len(self.run.results)  # results on disk
        self._path = path
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size - len(self.run.torn)
        self._ended = self.run.end is not None
        if self.run.torn:
            with refusing("continue", path):
                os.ftruncate(descriptor, self._size)
                os.fsync(descriptor)

    @classmethod
    def create(cls, path: Path, header: dict[str, Any]) -> Self:
        """Start a run file with its `run` record; one that exists is never written over.

        Raises GpupruneError, and then leaves nothing behind.
        """
        if header.get("record") != "run" or header.get("schema") != SCHEMA:
            raise ValueError("the first record of a run file is its `run` record")
        line = encode(header, sealed=True)
        # O_EXCL follows no symbolic link either.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL
        descriptor = open_file(path, flags, "create")
        try:
            _lock(descriptor, path)
            with refusing("create", path):
                _write(descriptor, line)
                sync_directory(path.parent)
            return cls(path, descriptor)
        except BaseException:
            with suppress(OSError):
                path.unlink()
            os.close(descriptor)
            raise

    @classmethod
    def resume(cls, path: Path) -> Self:
        """Continue a run file: its good lines stay byte for byte, a torn last one is cut off.

        What it holds is in `run`. Raises GpupruneError as `read` does, and where another process
        is writing to the file.
        """
        descriptor = open_file(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW, "continue")
        try:
            _lock(descriptor, path)
            return cls(path, descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def append(self, records: Sequence[dict[str, Any]]) -> None:
        """Put `result` records on disk in one write; return when they are there for certain.

        Raises GpupruneError where they cannot be written, which says how many results are safe,
        and ValueError or TypeError for what JSON cannot hold; none of them is then in the file.
        A process killed in the middle may leave the first few.
        """
        if records:
            with _interrupted_later():
                self._append("result", records)
                self.kept += len(records)

    def finish(self, record: dict[str, Any]) -> None:
        """Write the `end` record, after which nothing can follow."""
        with _interrupted_later():
            self._append("end", [record])
            self._ended = True

    def told_safe(self) -> str:
        """Say how many results are on disk, and where."""
        count = "1 result is" if self.kept == 1 else f"{self.kept} results are"
        return f"{count} safe in {self._path}"

    def close(self) -> None:
        """Release the file; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, kind: str, records: Sequence[dict[str, Any]]) -> None:
        if self._ended:
            raise ValueError("nothing follows the `end` record of a run")
        if any(record.get("record") != kind for record in records):
            raise ValueError(f"expected `{kind}` records")
        lines = b"".join(encode(record, sealed=self.run.sealed) for record in records)
        self._require_untouched()
        try:
            _write(self._descriptor, lines)
            self._size += len(lines)
        except BaseException as error:
            # What is not on disk for certain is not there at all.
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            if isinstance(error, OSError):
                self._give_up(error)
            raise

    def _require_untouched(self) -> None:
        # Appending to what is no longer ours would spoil a line, or save to a deleted file.
        with refusing("write to", self._path):
            now = os.fstat(self._descriptor)
        if now.st_nlink == 0 or now.st_size != self._size:
            what = "deleted" if now.st_nlink == 0 else "changed"
            raise GpupruneError(
                f"{self._path} was {what} while the run was writing to it",
                hint="let nothing else write to it, and start the run again under another name",
            )

    def _give_up(self, error: OSError) -> NoReturn:
        raise GpupruneError(
            f"{cause(error)}; {self.told_safe()}",
            hint=f"{REMEDIES.get(error.errno or 0, 'check the disk')}, "
            "then give the same command with --resume",
        ) from error


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """Let Ctrl-C wait until what was measured is on disk."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda *received: pending.append(received))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pending and callable(before):
        before(*pending[-1])


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise GpupruneError(
            f"another process is writing to {path}",
            hint="wait until it has finished, or take another name",
        ) from None
    except OSError as error:
        raise GpupruneError(
            f"cannot lock {path}: {cause(error)}",
            hint="take a directory on a local disk: not every network file system has locks",
        ) from error


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]  # a disk that fills up takes a part
    os.fsync(descriptor)
