"""What every format needs: quoting of hostile text, guarded parsing, and what memory allows."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gpuprune import environment
from gpuprune.errors import GpupruneError
from gpuprune.units import format_bytes

CHUNK_BYTES = 2**22
_LONGEST_QUOTE = 300


def quote(text: object) -> str:
    """Quote a name from outside: on one line, control characters escaped, cut when long."""
    return repr(_cut(str(text)))


@contextmanager
def parsing(path: Path) -> Iterator[None]:
    """Turn whatever a parser raises on a bad file into one `GpupruneError`.

    NumPy, zipfile, safetensors and json raise more kinds of exceptions on hostile input than
    they document, so this catches all; keep anything that is not parsing out of its body.
    """
    try:
        yield
    except (GpupruneError, MemoryError):
        raise
    except Exception as error:
        raise damaged(path, _printable(str(error)) or type(error).__name__) from error


@contextmanager
def within_memory(path: Path) -> Iterator[None]:
    """Turn an allocation that fails all the same, as under `ulimit -v`, into a `GpupruneError`."""
    try:
        yield
    except MemoryError as error:
        raise _larger_than_memory(path, "") from error


def damaged(path: Path, reason: str) -> GpupruneError:
    """Make the error for a file whose content is not what its format asks for."""
    return GpupruneError(
        f"{quote(path)} is no valid {path.suffix.lower()} file: {reason}",
        hint="check that it was copied completely, or write it again",
    )


def pickled(path: Path) -> GpupruneError:
    """Make the error for a file that Python would have to unpickle."""
    return GpupruneError(
        f"{quote(path)} is a pickle or holds one, and loading a pickle can run code",
        hint="convert it where you trust it: safetensors.torch.save_file(model.state_dict(), "
        "'weights.safetensors'), or numpy.save of a plain float array",
    )


def demand_memory(path: Path, needed: int) -> None:
    """Refuse to allocate `needed` bytes for what `path` holds if the machine hasn't that many."""
    available = environment.free_memory_bytes()
    if needed > available:
        detail = f" ({format_bytes(needed)} of {format_bytes(available)} available)"
        raise _larger_than_memory(path, detail)


def fill(path: Path, stream: IO[bytes], array: NDArray[Any]) -> None:
    """Read the bytes of a contiguous array from the stream."""
    view = raw_bytes(array)
    filled = 0
    while filled < len(view):
        with parsing(path):
            chunk = stream.read(min(CHUNK_BYTES, len(view) - filled))
        if not chunk:
            raise damaged(path, f"it ends {len(view) - filled} bytes early")
        view[filled : filled + len(chunk)] = chunk
        filled += len(chunk)


def row_blocks(
    path: Path, stream: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Iterator[NDArray[Any]]:
    """Read an array in C order some rows at a time, from where the stream stands."""
    step = rows_of_a_block(math.prod(shape[1:]) * dtype.itemsize)
    for start in range(0, shape[0], step):
        block = np.empty((min(step, shape[0] - start), *shape[1:]), dtype)
        fill(path, stream, block)
        yield block


def rows_of_a_block(row_bytes: int) -> int:
    """Count the rows that are worked on at once: a chunk of them, or a single longer one."""
    return max(1, CHUNK_BYTES // max(1, row_bytes))


def raw_bytes(array: NDArray[Any]) -> memoryview:
    """Look at a contiguous array as bytes, whatever its type (bfloat16 has no buffer format)."""
    return array.reshape(-1).view(np.uint8).data


def chunks(path: Path, stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the rest of the stream in pieces."""
    while True:
        with parsing(path):
            chunk = stream.read(CHUNK_BYTES)
        if not chunk:
            return
        yield chunk


def _larger_than_memory(path: Path, detail: str) -> GpupruneError:
    return GpupruneError(
        f"{quote(path)} needs more memory than this machine has{detail}",
        hint="choose one tensor with FILE::TENSOR, store it in a smaller type, or use a machine "
        "with more memory",
    )


def _printable(text: str) -> str:
    return repr(_cut(text))[1:-1]


def _cut(text: str) -> str:
    if len(text) <= _LONGEST_QUOTE:
        return text
    return f"{text[: _LONGEST_QUOTE // 2]}...{text[-_LONGEST_QUOTE // 2 :]}"
