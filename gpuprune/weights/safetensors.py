"""safetensors: a JSON header, then the values of every tensor, little-endian and in C order.

Format: https://huggingface.co/docs/safetensors/index#format
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import ml_dtypes  # noqa: F401 - registers bfloat16 with NumPy
import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from gpuprune.weights.files import (
    chunks,
    damaged,
    demand_memory,
    fill,
    parsing,
    raw_bytes,
    row_blocks,
)
from gpuprune.weights.tensor import Changes, Entry

_LENGTH_BYTES = 8
# At 100 bytes a tensor there is room for 80,000, which are listed in about a second.
_HEADER_LIMIT = 2**23
_DTYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    code: str
    shape: tuple[int, ...]
    offset: int  # from the beginning of the file


def begins(head: bytes) -> bool:
    """Whether a file that starts with `head` can be of this format."""
    return head[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b"{"


def entries(path: Path) -> list[Entry]:
    """List the tensors in the order of the header; types that have no name here keep the code."""
    return [
        Entry(name=name, shape=stored.shape, dtype=_DTYPES.get(stored.code, stored.code))
        for name, stored in _read_header(path).items()
    ]


def load(path: Path, name: str | None) -> NDArray[Any]:
    """Read one tensor of float16, bfloat16, float32 or float64."""
    stored = _read_header(path)
    with path.open("rb") as stream:
        return _load(path, stream, stored[str(name)])


def blocks(path: Path, name: str | None) -> Iterator[NDArray[Any]]:
    """Read one tensor of such a type some rows at a time."""
    stored = _read_header(path)[str(name)]
    with path.open("rb") as stream:
        stream.seek(stored.offset)
        yield from row_blocks(path, stream, stored.shape, np.dtype(_DTYPES[stored.code]))


def rewrite(path: Path, target: IO[bytes], changes: Changes) -> None:
    """Copy the file byte for byte and put the changed tensors in their old places."""
    header = _read_header(path)
    with path.open("rb") as stream:
        for chunk in chunks(path, stream):
            target.write(chunk)
        for name, change in changes.items():
            stored = header[str(name)]
            changed = np.ascontiguousarray(change(_load(path, stream, stored)))
            target.seek(stored.offset)
            target.write(raw_bytes(changed))


def _load(path: Path, stream: IO[bytes], stored: _Stored) -> NDArray[Any]:
    dtype = np.dtype(_DTYPES[stored.code])
    demand_memory(path, dtype.itemsize * math.prod(stored.shape))
    with parsing(path):
        array = np.empty(stored.shape, dtype)
    stream.seek(stored.offset)
    fill(path, stream, array)
    return array


def _read_header(path: Path) -> dict[str, _Stored]:
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
        if length > size - _LENGTH_BYTES:
            raise damaged(path, f"its header claims {length} bytes of {size}")
        if length > _HEADER_LIMIT:
            raise damaged(path, f"its header of {length} bytes is longer than {_HEADER_LIMIT}")
        text = stream.read(length)
    with parsing(path):
        # The library's own checks: types, shapes, and values without gaps and overlaps.
        with safe_open(path, framework="numpy"):
            pass
        header = json.loads(text, object_pairs_hook=_without_duplicates)
    header.pop("__metadata__", None)
    return {
        name: _Stored(
            code=tensor["dtype"],
            shape=tuple(tensor["shape"]),
            offset=_LENGTH_BYTES + length + tensor["data_offsets"][0],
        )
        for name, tensor in header.items()
    }


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a name stands twice in its header")
    return result
