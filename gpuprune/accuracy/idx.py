"""The IDX files of MNIST and its kin, raw or compressed, taken for hostile.

Format: a magic number whose last byte counts the dimensions, a big-endian size for each, then
the values, one byte each (http://yann.lecun.com/exdb/mnist/).
"""

import gzip
import hashlib
import struct
import zlib
from io import BufferedReader
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gpuprune.errors import GpupruneError

IMAGES_MAGIC = 0x803  # unsigned bytes in three dimensions
LABELS_MAGIC = 0x801
_KINDS = {IMAGES_MAGIC: "images", LABELS_MAGIC: "labels"}
_MOST_BYTES = 1 << 30  # twenty times MNIST
_CHUNK_BYTES = 1 << 22

File = gzip.GzipFile | BufferedReader


def read(path: Path, magic: int) -> NDArray[np.uint8]:
    """Read images (count, 28, 28) or labels (count,), by the magic number that is expected.

    Raises GpupruneError for a file that cannot be read or is not exactly what its header says.
    """
    if not path.is_file():
        raise GpupruneError(f"{path} is not a regular file", hint="give the data set's own files")
    try:
        with _open(path) as file:
            shape = _shape(path, file, magic)
            values = _exactly(path, file, prod(shape))
    except (OSError, EOFError, zlib.error) as error:
        raise GpupruneError(f"cannot read {path}: {error}", hint=_AGAIN) from None
    return np.frombuffer(values, np.uint8).reshape(shape)


def digest(values: NDArray[np.uint8]) -> str:
    """Return the sha256 of the uncompressed file that holds these images or labels."""
    magic = IMAGES_MAGIC if values.ndim == 3 else LABELS_MAGIC
    head = struct.pack(f">{1 + values.ndim}I", magic, *values.shape)
    return hashlib.sha256(head + values.tobytes()).hexdigest()


_AGAIN = "copy or download the file again"


def _open(path: Path) -> File:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _shape(path: Path, file: File, magic: int) -> tuple[int, ...]:
    dimensions = magic & 0xFF
    head = file.read(4 * (1 + dimensions))
    if len(head) < 4 * (1 + dimensions):
        raise GpupruneError(f"{path} ends inside its header", hint=_AGAIN)
    found, *shape = struct.unpack(f">{1 + dimensions}I", head)
    if found != magic:
        raise GpupruneError(
            f"{path} is no IDX file of {_KINDS[magic]}: "
            f"it begins with 0x{found:08x}, not 0x{magic:08x}",
            hint="give the data set's own files, under their own names",
        )
    if prod(shape) > _MOST_BYTES:
        raise GpupruneError(
            f"{path} says it holds {prod(shape)} bytes, more than {_MOST_BYTES}", hint=_AGAIN
        )
    return tuple(shape)


def _exactly(path: Path, file: File, size: int) -> bytearray:
    # Piece by piece: a header that lies costs no more memory than the file has bytes.
    values = bytearray()
    while chunk := file.read(min(_CHUNK_BYTES, size + 1 - len(values))):
        values += chunk
    if len(values) != size:
        what = "ends early" if len(values) < size else "goes on behind its last value"
        raise GpupruneError(f"{path} {what}: its header says {size} bytes of values", hint=_AGAIN)
    return values
