"""The formats by extension, and the first look at a file that decides on one."""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from gpuprune.errors import GpupruneError
from gpuprune.weights import mtx, npy, npz, safetensors, sharded, smtx
from gpuprune.weights.files import damaged, pickled, quote
from gpuprune.weights.tensor import Entry


class Reader(Protocol):
    """What reads a file or a folder once it is recognised."""

    def entries(self, path: Path, /) -> list[Entry]: ...
    def load(self, path: Path, name: str | None, /) -> NDArray[Any]: ...


@runtime_checkable
class Piecewise(Reader, Protocol):
    """What can read a matrix some rows at a time: a module whose format has them in order."""

    def blocks(self, path: Path, name: str | None, /) -> Iterator[NDArray[Any]]: ...


class Format(Reader, Protocol):
    """What a module that reads one format has."""

    def begins(self, head: bytes, /) -> bool: ...


FORMATS: Mapping[str, Format] = {
    ".npy": npy,
    ".npz": npz,
    ".mtx": mtx,
    ".smtx": smtx,
    ".safetensors": safetensors,
}
KNOWN = (
    "gpuprune reads .npy, .npz, .mtx, .smtx and .safetensors files, and folders with a "
    "model.safetensors.index.json"
)
_PICKLES = {".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"}
_HEAD_BYTES = 64


def recognise(path: Path) -> Reader:
    """Choose the format by extension once the file is a regular one that begins as it should."""
    mode = _mode(path)
    if (stat.S_ISDIR(mode) or stat.S_ISREG(mode)) and sharded.stands_for(path):
        return sharded
    _require_regular(path, mode)
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from error
    extension = path.suffix.lower()
    if extension in _PICKLES:
        raise pickled(path)
    found = FORMATS.get(extension)
    if found and found.begins(head):
        return found
    if _is_pickle(head):
        raise pickled(path)
    if not found:
        raise GpupruneError(f"{quote(path)} has an unknown extension", hint=KNOWN)
    beginning = quote(head[:8].decode("latin-1"))
    raise damaged(path, f"it begins with {beginning}" if head else "it is empty")


def _mode(path: Path) -> int:
    """Look before opening: opening a FIFO waits for a writer, and a device never ends."""
    try:
        return path.stat().st_mode
    except FileNotFoundError as error:
        raise GpupruneError(f"{quote(path)} does not exist", hint="check the path") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        raise _unreadable(path, error) from error


def _require_regular(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise GpupruneError(f"{quote(path)} is a directory", hint=f"name a file in it; {KNOWN}")
    if not stat.S_ISREG(mode):
        raise GpupruneError(
            f"{quote(path)} is not a regular file",
            hint="write its content to a file and name that",
        )


def _unreadable(path: Path, error: Exception) -> GpupruneError:
    reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return GpupruneError(
        f"cannot read {quote(path)}: {reason}", hint="check the path and its permissions"
    )


def _is_pickle(head: bytes) -> bool:
    """Whether it begins as pickles of protocol 2 and later do."""
    return len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5
