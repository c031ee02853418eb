"""Column groups cut into strips of rows, and what these keep: the format on the CPU.

A group is cut into steps of at most eight weights. A *strip* is the rows of one step, the same in
every column; an *entry* is what a strip keeps of a column: `depth` weights, filled up with zeros
where the group ends.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from gpuprune.ragged import starts_of
from gpuprune.steps import cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Strips:
    """The entries strip by strip, and in a strip by column."""

    depth: int  # rows of a strip
    firsts: NDArray[np.int64]  # (strips,), of each strip's rows
    lasts: NDArray[np.int64]  # (strips,), the one after
    columns: NDArray[Any]  # (entries,), column of an entry
    values: NDArray[Any]  # (entries, depth)
    starts: NDArray[np.int64]  # (strips + 1,), first entry of each strip


def pack(weights: NDArray[Any], mask: NDArray[np.bool_], group: int) -> Strips:
    """Pack the weights (rows, cols) of the groups of which the mask keeps any weight."""
    rows, cols = weights.shape
    depth, firsts, lasts = cut(rows, group)
    kept = np.zeros((firsts.size, cols), np.bool_)
    _mark(mask, firsts, lasts, kept)
    starts = starts_of(np.count_nonzero(kept, axis=1))
    packed = Strips(
        depth=depth,
        firsts=firsts,
        lasts=lasts,
        columns=np.empty(starts[-1], np.uint16 if cols <= 1 << 16 else np.int32),
        values=np.zeros((starts[-1], depth), weights.dtype),
        starts=starts,
    )
    _fill(weights, firsts, lasts, kept, starts, packed.columns, packed.values)
    return packed


@njit(parallel=True, cache=True)
def _mark(mask: Any, firsts: Any, lasts: Any, kept: Any) -> None:
    for strip in prange(firsts.size):
        for row in range(firsts[strip], lasts[strip]):
            for col in range(mask.shape[1]):
                kept[strip, col] |= mask[row, col]


@njit(parallel=True, cache=True)
def _fill(
    weights: Any, firsts: Any, lasts: Any, kept: Any, starts: Any, columns: Any, values: Any
) -> None:
    for strip in prange(firsts.size):
        first, last, entry = firsts[strip], lasts[strip], starts[strip]
        for col in range(kept.shape[1]):
            if kept[strip, col]:
                columns[entry] = col
                for row in range(first, last):
                    values[entry, row - first] = weights[row, col]
                entry += 1
