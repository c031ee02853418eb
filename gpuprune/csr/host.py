"""Compressed sparse rows, packed by all threads of the CPU."""

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from gpuprune.csr import Compressed, index_type
from gpuprune.ragged import starts_of


def compress(weights: NDArray[Any], mask: NDArray[np.bool_], nnz: int) -> Compressed:
    """Pack the weights (rows, cols) of which a mask keeps `nnz`, with the shortest indices."""
    rows, cols = weights.shape
    index = index_type(nnz, (rows, cols))
    # Eight flags at once, where rows start at whole words.
    words = mask.view(np.uint64) if cols % 8 == 0 else np.empty((rows, 0), np.uint64)
    counts = np.empty(rows, np.int64)
    _count(mask, counts)
    offsets: NDArray[Any] = starts_of(counts).astype(index)
    values, columns = np.empty(nnz, weights.dtype), np.empty_like(offsets, shape=nnz)
    _fill(weights, mask, words, offsets, values, columns)
    return Compressed(values=values, columns=columns, offsets=offsets, shape=(rows, cols))


@njit(parallel=True, cache=True)
def _count(mask: Any, counts: Any) -> Any:
    rows, cols = mask.shape
    for row in prange(rows):
        count = 0
        for col in range(cols):
            count += mask[row, col]
        counts[row] = count


@njit(parallel=True, cache=True)
def _fill(weights: Any, mask: Any, words: Any, offsets: Any, values: Any, columns: Any) -> Any:
    rows, cols = mask.shape
    for row in prange(rows):
        at, stop = offsets[row], offsets[row + 1]
        for word in range(words.shape[1]):
            if words[row, word] != 0:
                at = _fill_run(
                    weights, mask, row, 8 * word, 8 * word + 8, at, stop, values, columns
                )
        _fill_run(weights, mask, row, 8 * words.shape[1], cols, at, stop, values, columns)


@njit(cache=True, inline="always")
def _fill_run(
    weights: Any,
    mask: Any,
    row: Any,
    first: Any,
    last: Any,
    at: Any,
    stop: Any,
    values: Any,
    columns: Any,
) -> Any:
    # Writes every weight and moves on only if it is kept: a branch would be mispredicted.
    for col in range(first, last):
        if at < stop:
            values[at] = weights[row, col]
            columns[at] = col
            at += mask[row, col]
    return at
