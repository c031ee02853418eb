"""The run file: a journal of JSON Lines that loses no finished result.

The first line is a `run` record, then comes one `result` record a line, and an `end` record last
when the run was completed. Each line of ours ends in `,"crc":"89abcdef"}`: the CRC-32 (zlib) of
the line's bytes up to that comma, which can be checked without serialising anything anew. A file
whose lines carry no `crc` at all, written by hand or by another tool, is read as well; one where
some do and others do not is damaged.

A write that was interrupted can only spoil the last line. Such a line is left out when reading
and cut off when a run is resumed; anything else that is wrong is refused, never repaired.
"""

import errno
import fcntl
import json
import os
import signal
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO, NoReturn, Self
from zlib import crc32

from gpuprune.errors import GpupruneError
from gpuprune.records import SCHEMA
from gpuprune.units import format_bytes

# Far above a million samples: what is longer is no run file, and must not fill the memory.
_LONGEST_LINE = 64 << 20

_CRC_MARK = b',"crc":"'

_CAUSES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is full",
    errno.EFBIG: "the limit on the size of a file is reached",
    errno.ELOOP: "it is a symbolic link",
}
_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EFBIG: "raise the limit with ulimit -f",
    errno.EEXIST: "add --resume to continue it, or take another name",
    errno.ELOOP: "give the file that the link points to",
    errno.ENOENT: "check the name; its directory must exist",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFile:
    """What a run file holds; its records are as they were written, `record` included."""

    path: Path
    header: dict[str, Any]
    results: tuple[dict[str, Any], ...]
    end: dict[str, Any] | None  # None while the run goes on, and where it was stopped
    torn: bytes  # the last line, where it is incomplete or damaged
    sealed: bool  # whether the lines carry checksums

    @property
    def warning(self) -> str | None:
        """What to tell the user about the end of the file, if anything."""
        if not self.torn:
            return None
        size = format_bytes(len(self.torn))
        return f"{self.path}: the last line is incomplete or damaged and is left out ({size})"


def read(path: Path) -> RunFile:
    """Read a run file, which another process may be writing to.

    A last line that is damaged or has no line feed is left out, see `RunFile.warning`.
    Raises GpupruneError where the file cannot be read, is no run file, has another schema, or is
    damaged before its last line.
    """
    with os.fdopen(_open(path, os.O_RDONLY, "read"), "rb") as file:
        return _scan(file, path)


class Journal:
    """A run file open for writing, by one process at a time: use `create` or `resume`.

    The file itself is locked, so nothing lies beside it and a killed process leaves no lock.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        """Take over a locked descriptor, and cut off a torn last line."""
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            file.seek(0)
            self.run = _scan(file, path)  # what was there at the start
        self.kept = len(self.run.results)  # results on disk
        self._path = path
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size - len(self.run.torn)
        self._ended = self.run.end is not None
        if self.run.torn:
            with _refusing("continue", path):
                os.ftruncate(descriptor, self._size)
                os.fsync(descriptor)

    @classmethod
    def create(cls, path: Path, header: dict[str, Any]) -> Self:
        """Start a run file with its `run` record; one that exists is never written over.

        Raises GpupruneError, and then leaves nothing behind.
        """
        if header.get("record") != "run" or header.get("schema") != SCHEMA:
            raise ValueError("the first record of a run file is its `run` record")
        line = _encode(header, sealed=True)
        # O_EXCL follows no symbolic link either.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL
        descriptor = _open(path, flags, "create")
        try:
            _lock(descriptor, path)
            with _refusing("create", path):
                _write(descriptor, line)
                _sync_directory(path.parent)
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
        descriptor = _open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW, "continue")
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
        lines = b"".join(_encode(record, sealed=self.run.sealed) for record in records)
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
        with _refusing("write to", self._path):
            now = os.fstat(self._descriptor)
        if now.st_nlink == 0 or now.st_size != self._size:
            what = "deleted" if now.st_nlink == 0 else "changed"
            raise GpupruneError(
                f"{self._path} was {what} while the run was writing to it",
                hint="let nothing else write to it, and start the run again under another name",
            )

    def _give_up(self, error: OSError) -> NoReturn:
        safe = "1 result is" if self.kept == 1 else f"{self.kept} results are"
        raise GpupruneError(
            f"{_cause(error)}; {safe} safe in {self._path}",
            hint=f"{_REMEDIES.get(error.errno or 0, 'check the disk')}, "
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


def _open(path: Path, flags: int, verb: str) -> int:
    with _refusing(verb, path):
        # O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, flags | os.O_NONBLOCK, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise GpupruneError(
            f"cannot {verb} {path}: it is not a regular file",
            hint="give a run file, not a directory, a pipe or a device",
        )
    return descriptor


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
            f"cannot lock {path}: {_cause(error)}",
            hint="take a directory on a local disk: not every network file system has locks",
        ) from error


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]  # a disk that fills up takes a part
    os.fsync(descriptor)


def _sync_directory(directory: Path) -> None:
    """Put the name of a new file on disk, which fsync of the file alone does not."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot: fsync(2)
            raise
    finally:
        os.close(descriptor)


def _scan(file: BinaryIO, path: Path) -> RunFile:
    with _refusing("read", path):
        lines = _lines(file)
        header, sealed = _header(next(lines, (b"", True))[0], path)
        results, end, torn = _body(lines, path, sealed)
    return RunFile(
        path=path, header=header, results=tuple(results), end=end, torn=torn, sealed=sealed
    )


def _lines(file: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Yield each line, and whether it is the last."""
    # Up to the end as it is now: what a writer adds meanwhile could follow half a line.
    left = os.fstat(file.fileno()).st_size
    while line := file.readline(min(left, _LONGEST_LINE)):
        left -= len(line)
        yield line, left == 0


def _header(line: bytes, path: Path) -> tuple[dict[str, Any], bool]:
    """Return the `run` record, and whether the lines carry checksums."""
    try:
        header = _parse(line)
        if header.get("record") != "run":
            raise ValueError("is not a `run` record")
        # Another schema may seal its lines in another way: it is judged before the checksum.
        _require_known(header.get("schema"), path)
    except ValueError as error:
        raise GpupruneError(
            f"{path} is not a run file: line 1 {error}",
            hint="give a file that `gpuprune bench --output` wrote, or start a new one",
        ) from None
    sealed = "crc" in header
    try:
        _unseal(header, line, sealed)
    except ValueError as error:
        raise _damaged(path, 1, str(error)) from None
    return header, sealed


def _body(
    lines: Iterator[tuple[bytes, bool]], path: Path, sealed: bool
) -> tuple[list[dict[str, Any]], dict[str, Any] | None, bytes]:
    """Return the results, the `end` record if there is one, and a torn last line."""
    results: list[dict[str, Any]] = []
    end: dict[str, Any] | None = None
    for number, (line, is_last) in enumerate(lines, start=2):
        try:
            record = _parse(line)
            _unseal(record, line, sealed)
        except ValueError as error:
            if is_last:
                return results, end, line
            raise _damaged(path, number, str(error)) from None
        # A readable line in the wrong place was never torn: to drop it would hide a result.
        if end is not None:
            raise _damaged(path, number, "follows the `end` record")
        if record.get("record") == "result":
            results.append(record)
        elif record.get("record") == "end":
            end = record
        else:
            raise _damaged(path, number, "is neither a `result` nor the `end` record")
    return results, end, b""


def _require_known(schema: object, path: Path) -> None:
    if type(schema) is not int or schema < 1:
        raise ValueError("has an unknown schema")
    if schema > SCHEMA:
        raise GpupruneError(
            f"{path} has schema {schema}, and this gpuprune reads schema {SCHEMA}",
            hint="read it with a newer gpuprune: pip install --upgrade gpuprune",
        )


def _parse(line: bytes) -> dict[str, Any]:
    """Parse one line strictly; raises ValueError with the rest of a sentence on the line."""
    if not line.endswith(b"\n"):
        raise ValueError("is incomplete" if len(line) < _LONGEST_LINE else "is too long")
    try:
        record = json.loads(
            line.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(record, dict):
        raise ValueError("is not a JSON object")
    return record


def _unseal(record: dict[str, Any], line: bytes, sealed: bool) -> None:
    """Take the checksum off a record; raises ValueError where it does not match the line."""
    if ("crc" in record) != sealed:
        raise ValueError(f"has {'no' if sealed else 'a'} checksum, unlike line 1")
    if sealed:
        if line != _seal(line.rpartition(_CRC_MARK)[0]):
            raise ValueError("does not match its checksum")
        del record["crc"]


def _encode(record: dict[str, Any], *, sealed: bool) -> bytes:
    if "crc" in record:
        raise ValueError("`crc` is the name of the checksum")
    # ASCII only: U+2028 and its like end a line for some readers.
    body = json.dumps(record, allow_nan=False, separators=(",", ":"))[:-1].encode("ascii")
    line = _seal(body) if sealed else body + b"}\n"
    if len(line) > _LONGEST_LINE:
        raise ValueError(f"a record of {format_bytes(len(line))} is too long to be read again")
    return line


def _seal(body: bytes) -> bytes:
    """Close the line of a JSON object that lacks its brace."""
    return b'%b%b%08x"}\n' % (body, _CRC_MARK, crc32(body))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("repeats a key")
    return record


def _finite(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"holds {text}, which is no finite number")
    return value


def _damaged(path: Path, number: int, reason: str) -> GpupruneError:
    rescue = f"head -n {number - 1} keeps the lines before it; " if number > 1 else ""
    return GpupruneError(
        f"{path} is damaged: line {number} {reason}",
        hint=f"{rescue}jq -c 'del(.crc)' takes the checksums off a file edited on purpose",
    )


@contextmanager
def _refusing(verb: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GpupruneError(
            f"cannot {verb} {path}: {_cause(error)}",
            hint=_REMEDIES.get(error.errno or 0, "check the path and its permissions"),
        ) from error


def _cause(error: OSError) -> str:
    return _CAUSES.get(error.errno or 0) or error.strerror or str(error)
