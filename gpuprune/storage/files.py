"""Opening files, and what the operating system has against it in words."""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from gpuprune.errors import GpupruneError

_CAUSES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is full",
    errno.EFBIG: "the limit on the size of a file is reached",
    errno.ELOOP: "it is a symbolic link",
}
REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EFBIG: "raise the limit with ulimit -f",
    errno.EEXIST: "add --resume to continue it, or take another name",
    errno.ELOOP: "give the file that the link points to",
    errno.ENOENT: "check the name; its directory must exist",
}


def open_file(path: Path, flags: int, verb: str) -> int:
    with refusing(verb, path):
        if path.exists():
            _require_regular(path.stat().st_mode, path, verb)
        # O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, flags | os.O_NONBLOCK, 0o666)
    try:
        _require_regular(os.fstat(descriptor).st_mode, path, verb)  # it may be another one by now
    except GpupruneError:
        os.close(descriptor)
        raise
    return descriptor


def _require_regular(mode: int, path: Path, verb: str) -> None:
    if not stat.S_ISREG(mode):
        raise GpupruneError(
            f"cannot {verb} {path}: it is not a regular file",
            hint="give a run file, not a directory, a pipe or a device",
        )


@contextmanager
def replacing(target: Path) -> Iterator[IO[bytes]]:
    """Open a new file beside `target` that takes its place once all is on the disk.

    Whatever goes wrong, nothing is left behind; what the operating system refuses is an OSError.
    """
    temporary = target.with_name(f".gpuprune-{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
        sync_directory(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def refusing(verb: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GpupruneError(
            f"cannot {verb} {path}: {cause(error)}",
            hint=REMEDIES.get(error.errno or 0, "check the path and its permissions"),
        ) from error


def cause(error: OSError) -> str:
    return _CAUSES.get(error.errno or 0) or error.strerror or str(error)


def sync_directory(directory: Path) -> None:
    """Put the name of a new file on disk, which fsync of the file alone does not."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot: fsync(2)
            raise
    finally:
        os.close(descriptor)
