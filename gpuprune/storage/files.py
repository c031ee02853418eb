"""Opening files, and what the operating system has against it in words."""

import errno
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
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


def twice(paths: Iterable[Path]) -> str | None:
    """Say which file stands among paths a second time, by whatever name or link; None if none."""
    seen: dict[object, Path] = {}
    for path in paths:
        first = seen.setdefault(_identity(path), path)
        if first is not path:
            return (
                f"{path} is given twice" if first == path else f"{first} and {path} are one file"
            )
    return None


def open_file(path: Path, flags: int, verb: str) -> int:
    with refusing(verb, path):
        if path.exists():
            _require_regular(path.stat().st_mode, path, verb)
        elif path.is_symlink():
            raise GpupruneError(
                f"cannot {verb} {path}: it is a symbolic link that leads nowhere",
                hint="take the name of a file, or delete the link",
            )
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


def require_replaceable(path: Path, beginning: bytes, what: str) -> None:
    """Refuse a file that could not be written, before anything is read or measured for it.

    What is there already is written over only if it begins as `what` of ours does. Raises
    GpupruneError.
    """
    with refusing("write", path):
        if not path.parent.is_dir():
            raise GpupruneError(f"there is no directory {path.parent}", hint="make it first")
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise GpupruneError(f"{path} is no regular file", hint="take another name")
        if path.exists() and not _begins(path, beginning):
            raise GpupruneError(
                f"{path} exists and is no {what} of gpuprune",
                hint="take another name, or delete it",
            )
        # Whether the directory takes new files shows only by making one; this one has no name.
        with tempfile.TemporaryFile(dir=path.parent):
            pass


@contextmanager
def replacing(target: Path, temporary: Path | None = None) -> Iterator[IO[bytes]]:
    """Open a new file beside `target` that takes its place once all is on the disk.

    Whatever goes wrong, nothing is left behind; what the operating system refuses is an OSError.
    Whoever wants to find what a killed process left gives the new file a name: `temporary`.
    """
    temporary = temporary or target.with_name(f".gpuprune-{secrets.token_hex(8)}.tmp")
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
def making_folder(target: Path) -> Iterator[Path]:
    """Make a folder beside `target` that takes its name once all in it is on the disk.

    Fill it with `replacing`. Whatever goes wrong, nothing is left behind; what the operating
    system refuses, a folder of that name which is not empty among it, is an OSError.
    """
    temporary = target.with_name(f".gpuprune-{secrets.token_hex(8)}.tmp")
    try:
        temporary.mkdir()
        yield temporary
        temporary.rename(target)
        sync_directory(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in place at once; raises GpupruneError where the system refuses."""
    with refusing("write", path), replacing(path) as stream:
        stream.write(content)


@contextmanager
def refusing(verb: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GpupruneError(
            f"cannot {verb} {path}: {cause(error)}",
            hint=REMEDIES.get(error.errno or 0, "check the path and its permissions"),
        ) from error


def _begins(path: Path, beginning: bytes) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(beginning)) == beginning


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


def _identity(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return os.path.realpath(path)  # whatever is wrong with it shows when it is read
    return found.st_dev, found.st_ino
