"""Compressed sparse rows: the weights that a mask keeps, exact zeros among them, row by row."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuprune.backends import Array
from gpuprune.ragged import starts_of
from gpuprune.records import ITEM_BYTES, Case
from gpuprune.roofline import Phase, operations


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressed:
    """A matrix as CSR."""

    values: Array  # (nnz)
    columns: Array  # (nnz), int32 or int64
    offsets: Array  # (rows + 1), the type of the columns: where each row starts
    shape: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Size of the three arrays."""
        return int(self.values.nbytes + self.columns.nbytes + self.offsets.nbytes)


def compress(
    weights: Array, mask: Array, xp: Any, *, index: type[np.signedinteger] | None = None
) -> Compressed:
    """Pack the weights (rows, cols) that a mask keeps, arrays of `xp`, NumPy or CuPy.

    `index` is the type of the indices, by default the shortest that counts everything.
    """
    kept, columns, offsets = find(mask, xp)
    index = index or index_type(kept.size, weights.shape)
    return Compressed(
        values=weights.ravel()[kept],
        columns=columns.astype(index, copy=False),
        offsets=offsets.astype(index, copy=False),
        shape=weights.shape,
    )


def find(mask: Array, xp: Any) -> tuple[Array, Array, Array]:
    """Find what a mask (rows, cols) keeps, row by row.

    Returns the places (nnz) of the kept weights in the matrix, their columns (nnz), and where
    each row starts (rows + 1); all int64.
    """
    kept = xp.flatnonzero(mask)
    return kept, kept % mask.shape[1], starts_of(xp.count_nonzero(mask, axis=1), xp)


def index_type(nnz: int, shape: tuple[int, int]) -> type[np.signedinteger]:
    """Return the shortest type that counts the weights, the rows and the columns."""
    return np.int32 if max(nnz, *shape) <= np.iinfo(np.int32).max else np.int64


def multiplying(case: Case, nnz: int, *, moved: int, kept: float = 0.0) -> Phase:
    """Account for any product of CSR by rows: a row of activations for each of `nnz` weights.

    `moved` is the bytes of all operands, `kept` those of sums that go to and come from caches.
    """
    row_bytes = case.batch * ITEM_BYTES[case.dtype]
    return Phase(
        moved=moved,
        flops=operations(case, nnz),
        gathered=nnz * row_bytes,
        gathered_from=case.cols * row_bytes,
        kept=kept,
    )
