"""`.smtx` of the Deep Learning Matrix Collection: where weights are kept, without their values.

Three lines: `rows, cols, nonzeros`, the offset of each row, the column of each weight.
Format: https://github.com/google-research/google-research/tree/master/sgk
"""

from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gpuprune.weights.files import damaged, demand_memory
from gpuprune.weights.tensor import PATTERN, Entry
from gpuprune.weights.text import LINE_LIMIT, counts, numbers


def begins(head: bytes) -> bool:
    """Whether a file that starts with `head` can be of this format."""
    return head.lstrip()[:1].isdigit()


def entries(path: Path) -> list[Entry]:
    """List the one pattern."""
    with path.open("rb") as stream:
        rows, cols, _ = _read_sizes(path, stream)
    return [Entry(name=None, shape=(rows, cols), dtype=PATTERN)]


def load(path: Path, name: str | None) -> NDArray[np.bool_]:
    """Read the one pattern, which has no name: bool (rows, cols), True where a weight is kept."""
    with path.open("rb") as stream:
        rows, cols, kept_count = _read_sizes(path, stream)
        demand_memory(path, rows * cols + 8 * (rows + kept_count) + path.stat().st_size)
        offsets = numbers(path, stream.readline(), np.int64)  # (rows + 1)
        columns = numbers(path, stream.read(), np.int64)  # (kept_count)
    _check(path, offsets, columns, (rows, cols, kept_count))
    kept = np.zeros((rows, cols), bool)
    kept[np.repeat(np.arange(rows), np.diff(offsets)), columns] = True
    return kept


def _read_sizes(path: Path, stream: IO[bytes]) -> list[int]:
    return counts(path, stream.readline(LINE_LIMIT), 3, b",")


def _check(
    path: Path, offsets: NDArray[Any], columns: NDArray[Any], sizes: tuple[int, int, int]
) -> None:
    rows, cols, kept_count = sizes
    if len(offsets) != rows + 1:
        raise damaged(path, f"{rows} rows take {rows + 1} offsets, it has {len(offsets)}")
    if offsets[0] != 0:
        raise damaged(path, f"its first offset is {offsets[0]} instead of 0")
    backwards = np.flatnonzero(np.diff(offsets) < 0)
    if backwards.size:
        raise damaged(path, f"its offsets go backwards after row {backwards[0]}")
    if not offsets[-1] == len(columns) == kept_count:
        raise damaged(
            path,
            f"it promises {kept_count} columns, its last offset is {offsets[-1]} "
            f"and it has {len(columns)}",
        )
    outside = columns[(columns < 0) | (columns >= cols)]
    if outside.size:
        raise damaged(path, f"column {outside[0]} is outside of 0..{cols - 1}")
    ascending = np.diff(columns) > 0
    begins_row = offsets[(offsets > 0) & (offsets < kept_count)] - 1
    ascending[begins_row] = True
    if not ascending.all():
        raise damaged(path, "the columns of a row are unsorted or stand twice")
