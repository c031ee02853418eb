"""NumPy's `.npy`: a short header, then the values of one array.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as numpy_format
from numpy.typing import NDArray

from gpuprune.weights.files import (
    damaged,
    demand_memory,
    fill,
    parsing,
    pickled,
    raw_bytes,
    row_blocks,
)
from gpuprune.weights.tensor import Changes, Entry

MAGIC = numpy_format.MAGIC_PREFIX
# NumPy refuses headers beyond 10,000 characters, but only once it has read all that they claim.
_HEADER_LIMIT = 2**14
_READERS = {
    (1, 0): numpy_format.read_array_header_1_0,
    (2, 0): numpy_format.read_array_header_2_0,
}  # version 3 differs only for structured types


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What stands before the values; `offset` is where they begin."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool
    offset: int

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * self.dtype.itemsize

    def entry(self, name: str | None) -> Entry:
        """Describe the array; the type's name says nothing of the byte order."""
        return Entry(name=name, shape=self.shape, dtype=self.dtype.name)


def begins(head: bytes) -> bool:
    """Whether a file that starts with `head` can be of this format."""
    return head.startswith(MAGIC)


def entries(path: Path) -> list[Entry]:
    """List the one array."""
    with path.open("rb") as stream:
        header = read_header(path, stream, path.stat().st_size)
    return [header.entry(None)]


def load(path: Path, name: str | None) -> NDArray[Any]:
    """Read the one array, which has no name, in C order and native byte order."""
    return _load(path)[1]


def blocks(path: Path, name: str | None) -> Iterator[NDArray[Any]]:
    """Read the one array some rows at a time, or at once where it lies in another order."""
    with path.open("rb") as stream:
        header = read_header(path, stream, path.stat().st_size)
        stream.seek(header.offset)
        if header.fortran_order or header.dtype.hasobject or not header.dtype.isnative:
            yield read_values(path, stream, header)
        else:
            yield from row_blocks(path, stream, header.shape, header.dtype)


def rewrite(path: Path, target: IO[bytes], changes: Changes) -> None:
    """Write the changed array to `target` in the order and byte order that `path` has."""
    header, array = _load(path)
    write(target, changes[None](array), header)


def read_header(path: Path, stream: IO[bytes], size: int) -> Header:
    """Read the header of an array that fills `size` bytes; the stream ends up anywhere.

    Types of Python objects are described and never read, so their length is not checked.
    """
    with parsing(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about headers that Python 2 wrote
        head = BytesIO(stream.read(_HEADER_LIMIT))
        version = numpy_format.read_magic(head)
        if version not in _READERS:
            raise ValueError(f"version {version} of the format is not supported")
        shape, fortran_order, dtype = _READERS[version](head)
    if not all(type(length) is int and length >= 0 for length in shape):
        raise damaged(path, f"its shape is {shape}")
    header = Header(shape=shape, dtype=dtype, fortran_order=fortran_order, offset=head.tell())
    held = size - header.offset
    if held != header.nbytes and not dtype.hasobject:
        raise damaged(path, f"it holds {held} bytes of values and promises {header.nbytes}")
    return header


def read_values(path: Path, stream: IO[bytes], header: Header) -> NDArray[Any]:
    """Read the values at which the stream stands, in C order and native byte order."""
    if header.dtype.hasobject:
        raise pickled(path)
    demand_memory(path, header.nbytes * (2 if header.fortran_order else 1))
    with parsing(path):
        array = np.empty(math.prod(header.shape), header.dtype)
    fill(path, stream, array)
    if not header.dtype.isnative:
        array = array.byteswap(inplace=True).view(header.dtype.newbyteorder("="))
    if header.fortran_order:
        return np.ascontiguousarray(array.reshape(header.shape[::-1]).T)
    return array.reshape(header.shape)


def write(target: IO[bytes], array: NDArray[Any], header: Header) -> None:
    """Write an array as `header` describes it."""
    described = {
        "descr": numpy_format.dtype_to_descr(header.dtype),
        "fortran_order": header.fortran_order,
        "shape": header.shape,
    }
    numpy_format.write_array_header_1_0(target, described)
    stored = array.astype(header.dtype, copy=False)
    stored = np.ascontiguousarray(stored.T if header.fortran_order else stored)
    target.write(raw_bytes(stored))


def _load(path: Path) -> tuple[Header, NDArray[Any]]:
    with path.open("rb") as stream:
        header = read_header(path, stream, path.stat().st_size)
        stream.seek(header.offset)
        return header, read_values(path, stream, header)
