"""Block sparse rows, the format of libraries: a block for each group that a mask keeps."""

from math import ceil
from typing import Any

import numpy as np

from gpuprune.backends import Array
from gpuprune.ragged import starts_of
from gpuprune.records import Case


def block_shape(case: Case) -> tuple[int, int]:
    """Return the rows and columns of a group, which is no longer than what it lies in."""
    if case.orientation == "row":
        return 1, min(case.group, case.cols)
    return min(case.group, case.rows), 1


def too_ragged(case: Case, library: str, height: int, width: int) -> str | None:
    """Say why a library declines blocks that do not divide the matrix, None if they do."""
    if case.rows % height == 0 and case.cols % width == 0:
        return None
    return (
        f"{library} wants whole blocks, and {height} x {width} does not divide "
        f"{case.rows} x {case.cols}"
    )


def pack(
    weights: Array, mask: Array, height: int, width: int, xp: Any
) -> tuple[Array, Array, Array]:
    """Pack the blocks of weights (rows, cols) of which the mask keeps any weight.

    Returns values (blocks, height, width), block columns (blocks), and where each block row
    starts (block rows + 1). Indices have 32 bits where these count the matrix's blocks.
    """
    rows, cols = weights.shape
    cut = (rows // height, height, cols // width, width)
    kept = mask.reshape(cut).any(axis=(1, 3))  # (block rows, block columns)
    index = xp.int32 if fits_int32(rows, cols, height, width) else xp.int64
    row, column = xp.nonzero(kept)
    starts = starts_of(xp.count_nonzero(kept, axis=1), xp).astype(index)
    values = weights.reshape(cut).transpose(0, 2, 1, 3)[row, column]
    return values, column.astype(index), starts


def fits_int32(rows: int, cols: int, height: int, width: int) -> bool:
    """Say whether 32 bits count all blocks of a matrix."""
    return ceil(rows / height) * ceil(cols / width) <= np.iinfo(np.int32).max
