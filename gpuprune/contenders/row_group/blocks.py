"""Row groups cut into blocks of columns, and what the rows keep of these: the format on the CPU.

A group is cut into steps of at most eight weights. A *block* is the columns of one step, the same
in every row; an *entry* is what a row keeps of a block: `depth` weights, filled up with zeros
where the group ends. Entries lie row by row, or panel by panel of some hundred rows.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any, Self

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from gpuprune.ragged import starts_of
from gpuprune.steps import cut

_HIGHEST_PANEL = 256  # rows: as many as a byte tells apart, and their sums fit the second cache
_LOWEST_PANEL = 32  # rows: fewer share a block's activations too seldom
_PANELS_PER_WORKER = 4  # for an even share of the work


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """How the columns are cut into blocks."""

    depth: int  # columns of a block
    firsts: NDArray[np.int64]  # (blocks,), of each block's columns
    lasts: NDArray[np.int64]  # (blocks,), the one after

    @classmethod
    def of(cls, cols: int, group: int) -> Self:
        """Cut the columns into groups, and these into blocks."""
        depth, firsts, lasts = cut(cols, group)
        return cls(depth=depth, firsts=firsts, lasts=lasts)

    @property
    def count(self) -> int:
        """Number of blocks in a row."""
        return self.firsts.size

    def kept(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Mark the blocks (rows, blocks) of which a row keeps any weight."""
        if self.depth == 1:
            return mask
        whole = self.depth in (2, 4, 8) and self.depth * self.count == mask.shape[1]
        if whole and mask.flags.c_contiguous:
            flags: NDArray[np.bool_] = mask.view(f"u{self.depth}") != 0  # a word of them at once
            return flags
        kept = np.empty((mask.shape[0], self.count), np.bool_)
        _mark(mask, self.firsts, self.lasts, kept)
        return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The entries row by row, and in a row by block."""

    blocks: NDArray[Any]  # (entries,), block of an entry
    values: NDArray[Any]  # (entries, depth)
    starts: NDArray[np.int64]  # (rows + 1,), first entry of each row


@dataclass(frozen=True, slots=True, kw_only=True)
class Panels:
    """The entries panel by panel, in a panel by block, and in a block by row."""

    height: int  # rows of a panel
    counts: NDArray[np.uint16]  # (panels, blocks), entries of a block in a panel
    rows: NDArray[np.uint8]  # (entries,), row of an entry in its panel
    values: NDArray[Any]  # (entries, depth)
    starts: NDArray[np.int64]  # (panels + 1,), first entry of each panel


def panel_height(rows: int, workers: int) -> int:
    """Choose how many rows a panel has: the more the better, as long as every worker has some."""
    height, panels = _HIGHEST_PANEL, _PANELS_PER_WORKER * workers if workers > 1 else 1
    while height > _LOWEST_PANEL and ceil(rows / height) < panels:
        height //= 2
    return height


def count_by_panel(kept: NDArray[np.bool_], height: int) -> NDArray[np.uint16]:
    """Count the entries of each block in each panel of `height` rows: (panels, blocks)."""
    counts = np.zeros((ceil(kept.shape[0] / height), kept.shape[1]), np.uint16)
    _count(kept, height, counts)
    return counts


def pack_rows(weights: NDArray[Any], blocks: Blocks, kept: NDArray[np.bool_]) -> Rows:
    """Pack what is kept of the weights (rows, cols), row by row."""
    starts = starts_of(np.count_nonzero(kept, axis=1))
    index = np.uint16 if blocks.count <= 1 << 16 else np.int32
    packed = Rows(
        blocks=np.empty(starts[-1], index),
        values=np.zeros((starts[-1], blocks.depth), weights.dtype),
        starts=starts,
    )
    _fill_rows(weights, blocks.firsts, blocks.lasts, kept, starts, packed.blocks, packed.values)
    return packed


def pack_panels(
    weights: NDArray[Any],
    blocks: Blocks,
    kept: NDArray[np.bool_],
    height: int,
    counts: NDArray[np.uint16],
) -> Panels:
    """Pack what is kept of the weights (rows, cols), panel by panel."""
    starts = starts_of(counts.sum(axis=1, dtype=np.int64))
    packed = Panels(
        height=height,
        counts=counts,
        rows=np.empty(starts[-1], np.uint8),
        values=np.zeros((starts[-1], blocks.depth), weights.dtype),
        starts=starts,
    )
    edges = (blocks.firsts, blocks.lasts)
    _fill_panels(weights, *edges, kept, height, counts, starts, packed.rows, packed.values)
    return packed


@njit(parallel=True, cache=True)
def _mark(mask: Any, firsts: Any, lasts: Any, kept: Any) -> None:
    for row in prange(mask.shape[0]):
        for block in range(firsts.size):
            some = False
            for col in range(firsts[block], lasts[block]):
                some |= mask[row, col]
            kept[row, block] = some


@njit(parallel=True, cache=True)
def _count(kept: Any, height: Any, counts: Any) -> None:
    for panel in prange(counts.shape[0]):
        for row in range(panel * height, min(kept.shape[0], (panel + 1) * height)):
            for block in range(kept.shape[1]):
                counts[panel, block] += kept[row, block]


@njit(parallel=True, cache=True)
def _fill_rows(
    weights: Any, firsts: Any, lasts: Any, kept: Any, starts: Any, blocks: Any, values: Any
) -> None:
    for row in prange(kept.shape[0]):
        entry = starts[row]
        for block in range(kept.shape[1]):
            if kept[row, block]:
                blocks[entry] = block
                _copy_entry(weights, row, firsts[block], lasts[block], values, entry)
                entry += 1


@njit(parallel=True, cache=True)
def _fill_panels(
    weights: Any,
    firsts: Any,
    lasts: Any,
    kept: Any,
    height: Any,
    counts: Any,
    starts: Any,
    rows: Any,
    values: Any,
) -> None:
    for panel in prange(counts.shape[0]):
        top = panel * height
        nexts = starts[panel] + np.cumsum(counts[panel].astype(np.int64)) - counts[panel]
        for row in range(top, min(kept.shape[0], top + height)):
            for block in range(kept.shape[1]):
                if kept[row, block]:
                    rows[nexts[block]] = row - top
                    _copy_entry(weights, row, firsts[block], lasts[block], values, nexts[block])
                    nexts[block] += 1


@njit(inline="always")
def _copy_entry(weights: Any, row: Any, first: Any, last: Any, values: Any, entry: Any) -> None:
    for col in range(first, last):
        values[entry, col - first] = weights[row, col]
