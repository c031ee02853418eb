"""A sparse matrix as `scipy.sparse.save_npz` stores it: its arrays are members of a zip.

SciPy trusts the indices it loads, so that one out of range reads foreign memory: none is used
before it is checked.
"""

import math
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from numpy.typing import NDArray

from gpuprune.errors import GpupruneError
from gpuprune.weights.archive import arrays, read_array, read_header
from gpuprune.weights.files import damaged, demand_memory, parsing, quote
from gpuprune.weights.tensor import Change, Entry

_MARKS = {"format", "shape", "data"}
_SHORT = 256  # bytes, for what describes the matrix
_INDICES = {
    "csr": ("indices", "indptr"),
    "csc": ("indices", "indptr"),
    "bsr": ("indices", "indptr"),
    "coo": ("row", "col"),
}


def is_sparse(archive: ZipFile) -> bool:
    """Whether the members are those of a sparse matrix."""
    return arrays(archive).keys() >= _MARKS


def entry(path: Path, archive: ZipFile) -> Entry:
    """Describe the matrix."""
    dtype = read_header(path, archive, arrays(archive)["data"]).dtype
    return Entry(name=None, shape=_shape(path, archive), dtype=dtype.name)


def load(path: Path, archive: ZipFile) -> Any:
    """Read the matrix as the SciPy class that was saved, every index checked."""
    from scipy import sparse  # 0.1 s that dense files do not need

    layout = _layout(path, archive)
    family = "array" if "_is_array" in arrays(archive) else "matrix"
    values = _read(path, archive, "data", "f")
    first, second = (_read(path, archive, name, "iu") for name in _INDICES[layout])
    parts = (values, (first, second)) if layout == "coo" else (values, first, second)
    with parsing(path):
        matrix = getattr(sparse, f"{layout}_{family}")(parts, shape=_shape(path, archive))
        if layout != "coo":  # which compares its indices with the shape when it is made
            matrix.check_format(full_check=True)
    return matrix


def densify(path: Path, matrix: Any) -> NDArray[Any]:
    """Make a dense array (rows, cols); values that stand twice are added."""
    rows, cols = matrix.shape
    demand_memory(path, rows * cols * matrix.dtype.itemsize)
    with parsing(path):
        dense: NDArray[Any] = matrix.toarray()
    return np.ascontiguousarray(dense)


def rewrite(path: Path, archive: ZipFile, target: IO[bytes], change: Change) -> None:
    """Write the changed matrix to `target` in the same sparse format, without zeros."""
    from scipy import sparse

    matrix = load(path, archive)
    blocks = {"blocksize": matrix.blocksize} if matrix.format == "bsr" else {}
    changed = type(matrix)(change(densify(path, matrix)), **blocks)
    compressed = arrays(archive)["data"].compress_type == ZIP_DEFLATED
    sparse.save_npz(target, changed, compressed=compressed)


def _layout(path: Path, archive: ZipFile) -> str:
    stored = _read(path, archive, "format", "SU", limit=_SHORT).tolist()
    layout = stored.decode("latin-1") if isinstance(stored, bytes) else str(stored)
    if layout not in _INDICES:
        raise GpupruneError(
            f"{quote(path)} holds a sparse matrix in the format {quote(layout)}",
            hint=f"convert it with `.tocsr()`; gpuprune reads {', '.join(_INDICES)}",
        )
    return layout


def _shape(path: Path, archive: ZipFile) -> tuple[int, ...]:
    shape = _read(path, archive, "shape", "iu", limit=_SHORT)
    if shape.ndim != 1 or (shape < 0).any():
        raise damaged(path, f"its shape is {shape.tolist()}")
    return tuple(shape.tolist())


def _read(
    path: Path, archive: ZipFile, name: str, kinds: str, *, limit: float = math.inf
) -> NDArray[Any]:
    info = arrays(archive).get(name)
    if info is None:
        raise damaged(path, f"its member {quote(name)} is missing")
    header = read_header(path, archive, info)
    if header.dtype.kind not in kinds or header.nbytes > limit:
        raise damaged(path, f"its member {quote(name)} has a wrong type or size")
    return read_array(path, archive, info)
