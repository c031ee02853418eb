"""Which matrices a file holds, from headers alone, and their values."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuprune.errors import GpupruneError
from gpuprune.weights import sharded
from gpuprune.weights.files import (
    damaged,
    demand_memory,
    pickled,
    quote,
    raw_bytes,
    rows_of_a_block,
    within_memory,
)
from gpuprune.weights.formats import Piecewise, recognise
from gpuprune.weights.structure import Structure, detect_structure
from gpuprune.weights.tensor import STORED_BYTES, Entry, Tensor

_SEPARATOR = "::"
_EMBEDDINGS = "*embed*"  # looked up, not multiplied, and often the largest
_LISTED = 5
_CHANGED = "it has changed since it was listed"
# difflib compares every pair of letters.
_COMPARED_NAMES = 10_000
_COMPARED_LETTERS = 200


def select(source: str, pattern: str | None = None) -> list[Tensor]:
    """List the matrices that `FILE` or `FILE::TENSOR` and a glob of names choose.

    Without either, every floating-point matrix (and the pattern of `.smtx` and `.mtx`) whose
    name does not match `*embed*`. Reads headers only. Raises `GpupruneError` for a file that is
    not sound and for a choice that is empty or no matrix.
    """
    path, name = _split(source)
    with within_memory(path):
        entries = recognise(path).entries(path)
    chosen = _choose(path, entries, name, pattern)
    return [
        Tensor(path=path, name=e.name, rows=e.shape[0], cols=e.shape[1], dtype=e.dtype)
        for e in chosen
    ]


def paths(source: str) -> list[Path]:
    """List the files that `FILE` or `FILE::TENSOR` stands for: several for a sharded model."""
    path, _ = _split(source)
    return sharded.files(path) if sharded.stands_for(path) else [path]


def read(tensor: Tensor) -> NDArray[Any]:
    """Read a matrix: (rows, cols), C order, native byte order, the stored type, all finite."""
    if tensor.is_pattern:
        raise GpupruneError(
            f"{quote(tensor.label)} is a pattern without values",
            hint="time the pattern as it is with --as-is, or give a file with values",
        )
    array = _load(tensor)
    require_finite(tensor, array)
    return array


def read_pattern(tensor: Tensor) -> NDArray[np.bool_]:
    """Read where weights are kept: bool (rows, cols), of a matrix with values its non-zeros."""
    kept: NDArray[np.bool_] = _load(tensor) if tensor.is_pattern else read(tensor) != 0
    return kept


def find_structure(tensor: Tensor) -> Structure:
    """Find the rate and the group sizes that a matrix has, as `detect_structure` does.

    Where the rows lie in order, as in `.npy` and `.safetensors`, this takes a few MiB however
    large the matrix is. Raises `GpupruneError` as `read` does.
    """
    return detect_structure(_kept_blocks(tensor))


def digest(tensors: Iterable[Tensor]) -> str:
    """Digest (SHA-256) which matrices these are, and their values, in a few MiB at a time."""
    sha256 = hashlib.sha256()
    for tensor in tensors:
        sha256.update(f"{tensor.name} {tensor.dtype} {tensor.rows}x{tensor.cols}\n".encode())
        for block in _read_blocks(tensor):
            sha256.update(raw_bytes(np.ascontiguousarray(block)))
    return sha256.hexdigest()


def require_finite(tensor: Tensor, array: NDArray[Any]) -> None:
    """Raise `GpupruneError` with the number of elements that are NaN or infinite, if any is."""
    _require_all_finite(tensor, sum(map(_count_finite, _split_rows(array))))


def _kept_blocks(tensor: Tensor) -> Iterator[NDArray[np.bool_]]:
    """Read where weights are kept, some rows at a time."""
    if tensor.is_pattern:
        yield from _split_rows(_load(tensor))
        return
    finite = 0
    for block in _read_blocks(tensor):
        finite += _count_finite(block)
        yield block != 0
    _require_all_finite(tensor, finite)


def _read_blocks(tensor: Tensor) -> Iterator[NDArray[Any]]:
    found = recognise(tensor.path)
    if not isinstance(found, Piecewise):
        yield from _split_rows(_load(tensor))
        return
    rows = 0
    try:
        with within_memory(tensor.path):
            for block in found.blocks(tensor.path, tensor.name):
                if block.shape[1:] != (tensor.cols,):
                    raise damaged(tensor.path, _CHANGED)
                rows += len(block)
                yield from _split_rows(block)
    except KeyError as error:  # the tensor is gone
        raise damaged(tensor.path, _CHANGED) from error
    if rows != tensor.rows:
        raise damaged(tensor.path, _CHANGED)


def _split_rows(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    step = rows_of_a_block(array[:1].nbytes)
    return (array[start : start + step] for start in range(0, len(array), step))


def _count_finite(block: NDArray[Any]) -> int:
    return int(np.count_nonzero(np.isfinite(block)))


def _require_all_finite(tensor: Tensor, finite: int) -> None:
    size = tensor.rows * tensor.cols
    if finite < size:
        raise GpupruneError(
            f"{quote(tensor.label)} has values that are NaN or infinite: "
            f"{size - finite} of {size}",
            hint="train or export it again: a matrix with such values can't be ranked",
        )


def _load(tensor: Tensor) -> NDArray[Any]:
    found = recognise(tensor.path)
    demand_memory(tensor.path, tensor.nbytes)
    try:
        with within_memory(tensor.path):
            array = found.load(tensor.path, tensor.name)
    except KeyError as error:  # the tensor is gone
        raise damaged(tensor.path, _CHANGED) from error
    if array.shape != (tensor.rows, tensor.cols):
        raise damaged(tensor.path, _CHANGED)
    return array


def _split(source: str) -> tuple[Path, str | None]:
    file, separator, name = source.partition(_SEPARATOR)
    if not file:
        raise GpupruneError(
            f"{quote(source)} does not name a file", hint="write FILE::TENSOR or FILE"
        )
    return Path(file), name if separator else None  # an empty name is one, too


def _choose(
    path: Path, entries: Sequence[Entry], name: str | None, pattern: str | None
) -> list[Entry]:
    if len(entries) == 1 and entries[0].name is None:
        if name is not None or pattern is not None:
            raise GpupruneError(
                f"{quote(path)} holds one matrix, and that has no name",
                hint=f"leave out {_SEPARATOR}TENSOR and --tensor",
            )
        return [_require_matrix(path, entries[0])]
    if name is not None:
        if pattern is not None:
            raise GpupruneError(
                f"both {quote(name)} and the pattern {quote(pattern)} choose tensors",
                hint=f"give either {_SEPARATOR}TENSOR or --tensor",
            )
        return [_require_matrix(path, _find(path, entries, name))]
    return _filter(path, entries, pattern)


def _filter(path: Path, entries: Sequence[Entry], pattern: str | None) -> list[Entry]:
    matrices = [entry for entry in entries if _objection(path, entry) is None]
    if not matrices:
        raise GpupruneError(
            f"{quote(path)} holds no floating-point matrix", hint=f"it holds {_listing(entries)}"
        )
    if pattern is None:
        chosen = [e for e in matrices if not fnmatchcase(str(e.name).lower(), _EMBEDDINGS)]
        complaint = f"all matrices of {quote(path)} are embeddings, taken only by name"
    else:
        chosen = [e for e in matrices if fnmatchcase(str(e.name), pattern)]
        complaint = f"no matrix of {quote(path)} matches {quote(pattern)}"
    if not chosen:
        raise GpupruneError(complaint, hint=f"--tensor chooses from {_listing(matrices)}")
    return chosen


def _find(path: Path, entries: Sequence[Entry], name: str) -> Entry:
    names = [str(entry.name) for entry in entries]
    if name in names:
        return entries[names.index(name)]
    comparable = [other for other in names if len(other) <= _COMPARED_LETTERS]
    near = get_close_matches(name, comparable[:_COMPARED_NAMES], n=3)
    near_entries = [entries[names.index(other)] for other in near]
    hint = f"did you mean {_listing(near_entries)}?" if near else f"it holds {_listing(entries)}"
    raise GpupruneError(f"{quote(path)} has no tensor {quote(name)}", hint=hint)


def _require_matrix(path: Path, entry: Entry) -> Entry:
    objection = _objection(path, entry)
    if objection is not None:
        raise objection
    return entry


def _objection(path: Path, entry: Entry) -> GpupruneError | None:
    label = quote(path if entry.name is None else f"{path}{_SEPARATOR}{entry.name}")
    if entry.dtype == "object":
        return pickled(path)
    if entry.dtype not in STORED_BYTES:
        return GpupruneError(
            f"{label} is {entry.dtype}, not floating-point",
            hint="convert it to float32; gpuprune reads float16, float32, float64 and, in "
            ".safetensors, bfloat16",
        )
    if len(entry.shape) != 2:
        return GpupruneError(
            f"{label} is {len(entry.shape)}-D, not a matrix: {entry.summary}",
            hint="reshape it to (rows, cols): outputs by inputs",
        )
    if 0 in entry.shape:
        return GpupruneError(f"{label} is empty: {entry.summary}", hint="choose another tensor")
    return None


def _listing(entries: Sequence[Entry]) -> str:
    shown = [f"{quote(entry.name)} ({entry.summary})" for entry in entries[:_LISTED]]
    if len(entries) > _LISTED:
        shown.append(f"{len(entries) - _LISTED} more")
    return ", ".join(shown) or "nothing"
