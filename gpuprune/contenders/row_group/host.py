"""Row groups on the CPU: panels of rows that share the activations held in registers.

A group is cut into steps of at most eight weights. A *block* is the columns of one step, the same
in every row; an *entry* is what a row keeps of a block: `depth` weights, filled up with zeros
where the group ends.

The panel kernel takes the entries of 256 rows block by block. It loads the activations of a block
into registers once, and for each entry adds the products to the row's sums, which stay in cache:

    counts[panel, block]    entries of the block in the panel                    uint16
    rows[entry]             row of an entry in its panel, in order               uint8
    values[entry, depth]    its weights
    starts[panel]           first entry of the panel

Where a block has few entries in a panel, the gather kernel goes row by row instead: a row's sums
stay in registers, and the activations of each entry are loaded from cache:

    blocks[entry]           block of an entry, in order                          uint16 or int32
    values[entry, depth]    its weights
    starts[row]             first entry of the row

Both find the activations packed anew at each product, slice by slice of the batch (see
`vectors.Step`), the vectors of a block one after the other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from gpuprune.backends import Backend
from gpuprune.contenders import Prepared
from gpuprune.problem import Problem
from gpuprune.vectors import (
    Step,
    aligned_zeros,
    cut_batch,
    load,
    multiply_add,
    prefetch,
    registers,
    share_out,
    split,
    store,
    zeros,
)

_PANEL_ROWS = 256  # as many as a byte can tell apart; twice the sums that the first cache holds
_GATHER_ROWS = 16  # multiplied before they are written
_FEW_ENTRIES = 4  # of a block in a panel: fewer do not pay for loading its activations
_PREFETCH_BYTES = 2048  # of weights: where a page ends, the processor does not look ahead


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grouping:
    """How the columns are cut into groups and these into blocks."""

    cols: int
    group: int
    steps: int  # blocks of a group
    depth: int  # columns of a block

    @property
    def blocks(self) -> int:
        return -(-self.cols // self.group) * self.steps


def prepare(problem: Problem, backend: Backend) -> Prepared:
    """Pack the weights for the kernel that suits them."""
    case = problem.case
    group = min(case.group, case.cols)
    steps, depth = split(group)
    grouping = _Grouping(cols=case.cols, group=group, steps=steps, depth=depth)
    kept = np.empty((case.rows, grouping.blocks), np.bool_)
    panels = -(-case.rows // _PANEL_ROWS)
    counts = np.zeros((panels, grouping.blocks), np.uint16)
    _mark(problem.mask, group, steps, depth, kept, counts)
    entries = int(counts.sum(dtype=np.int64))
    if depth == 1 or entries < _FEW_ENTRIES * np.count_nonzero(counts):
        return _prepare_gather(problem, backend, grouping, kept)
    return _prepare_panels(problem, backend, grouping, kept, counts)


def _prepare_panels(
    problem: Problem,
    backend: Backend,
    grouping: _Grouping,
    kept: NDArray[np.bool_],
    counts: NDArray[np.uint16],
) -> Prepared:
    starts = _starts(counts.sum(axis=1, dtype=np.int64))
    rows = np.empty(starts[-1], np.uint8)
    values = np.zeros((starts[-1], grouping.depth), problem.weights.dtype)
    _fill_panels(
        problem.weights, grouping.group, grouping.steps, kept, counts, starts, rows, values
    )
    return _prepared(
        problem,
        backend,
        grouping,
        kernel=_multiply_panels,
        arrays=(counts, rows, values, starts),
        tile_rows=_PANEL_ROWS,
        work=np.diff(starts) + counts.shape[1],
        name=f"panel of {_PANEL_ROWS} rows",
    )


def _prepare_gather(
    problem: Problem, backend: Backend, grouping: _Grouping, kept: NDArray[np.bool_]
) -> Prepared:
    starts = _starts(np.count_nonzero(kept, axis=1))
    index = np.uint16 if grouping.blocks <= 1 << 16 else np.int32
    blocks = np.empty(starts[-1], index)
    values = np.zeros((starts[-1], grouping.depth), problem.weights.dtype)
    _fill_rows(problem.weights, grouping.group, grouping.steps, kept, starts, blocks, values)
    firsts = np.arange(0, kept.shape[0], _GATHER_ROWS)
    return _prepared(
        problem,
        backend,
        grouping,
        kernel=_multiply_rows,
        arrays=(blocks, values, starts),
        tile_rows=_GATHER_ROWS,
        work=np.add.reduceat(np.diff(starts), firsts) + 1,
        name="gather",
    )


def _prepared(
    problem: Problem,
    backend: Backend,
    grouping: _Grouping,
    *,
    kernel: Callable[..., None],
    arrays: tuple[NDArray[Any], ...],
    tile_rows: int,
    work: NDArray[np.int64],
    name: str,
) -> Prepared:
    """Make the buffers around a kernel; `work` is that of each `tile_rows` rows."""
    case, dtype, threads = problem.case, problem.weights.dtype, backend.threads or 1
    step, slices = cut_batch(case.batch, grouping.depth, dtype)
    packed = aligned_zeros((slices, grouping.blocks * step.wide * step.lanes), dtype)
    tiles = aligned_zeros((threads, tile_rows * step.narrow * step.lanes), dtype)
    out = np.empty((case.rows, case.batch), dtype)
    shares = share_out(np.repeat(work, slices), threads)

    def multiply() -> NDArray[Any]:
        _pack(step, grouping.group, grouping.steps, problem.activations, packed)
        kernel(step, *arrays, shares, packed, tiles, out)
        return out

    operands = (*arrays, problem.activations, out)
    return Prepared(
        multiply=multiply,
        variant=f"{name}, {registers().name}",
        bytes=sum(operand.nbytes for operand in operands),
    )


def _starts(counts: NDArray[Any]) -> NDArray[np.int64]:
    starts = np.zeros(counts.size + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


@njit(inline="always")
def _columns(block: Any, cols: Any, group: Any, steps: Any, depth: Any) -> Any:
    """Return the first column of a block and the one after its last; none may be left."""
    start = block // steps * group
    first = start + block % steps * depth
    return first, max(first, min(first + depth, start + group, cols))


@njit(parallel=True, cache=True)
def _mark(mask: Any, group: Any, steps: Any, depth: Any, kept: Any, counts: Any) -> None:
    """Mark the blocks of which a row keeps any weight, and count them by panel."""
    rows, cols = mask.shape
    for panel in prange(counts.shape[0]):
        for row in range(panel * _PANEL_ROWS, min(rows, (panel + 1) * _PANEL_ROWS)):
            for block in range(kept.shape[1]):
                first, last = _columns(block, cols, group, steps, depth)
                some = False
                for col in range(first, last):
                    some |= mask[row, col]
                kept[row, block] = some
                counts[panel, block] += some


@njit(parallel=True, cache=True)
def _fill_panels(
    weights: Any, group: Any, steps: Any, kept: Any, counts: Any, starts: Any, rows: Any, values: Any
) -> None:
    height, cols = weights.shape
    for panel in prange(counts.shape[0]):
        nexts = starts[panel] + np.cumsum(counts[panel].astype(np.int64)) - counts[panel]
        for row in range(panel * _PANEL_ROWS, min(height, (panel + 1) * _PANEL_ROWS)):
            for block in range(kept.shape[1]):
                if kept[row, block]:
                    entry = nexts[block]
                    nexts[block] += 1
                    rows[entry] = row - panel * _PANEL_ROWS
                    first, last = _columns(block, cols, group, steps, values.shape[1])
                    for col in range(first, last):
                        values[entry, col - first] = weights[row, col]


@njit(parallel=True, cache=True)
def _fill_rows(
    weights: Any, group: Any, steps: Any, kept: Any, starts: Any, blocks: Any, values: Any
) -> None:
    height, cols = weights.shape
    for row in prange(height):
        entry = starts[row]
        for block in range(kept.shape[1]):
            if kept[row, block]:
                blocks[entry] = block
                first, last = _columns(block, cols, group, steps, values.shape[1])
                for col in range(first, last):
                    values[entry, col - first] = weights[row, col]
                entry += 1


@njit(cache=True)
def _pack(step: Any, group: Any, steps: Any, activations: Any, packed: Any) -> None:
    """Copy the activations (cols, batch) as `packed` has them: slice, block, vector."""
    cols, batch = activations.shape
    flat = activations.reshape(-1)
    whole = step.vectors * step.lanes
    for piece in range(packed.shape[0]):
        start = piece * step.columns
        wanted = min(step.columns, batch - start)
        to, block = packed[piece], 0
        for first in range(0, cols, group):
            last = min(cols, first + group)
            for left in range(first, first + steps * step.depth, step.depth):
                for t in range(min(step.depth, last - left)):
                    source = (left + t) * batch + start
                    _copy_vectors(step, flat, source, to, block + t * whole, wanted)
                    for j in range(whole, wanted):
                        spilled = block + step.depth * whole + (j - whole) * step.depth
                        to[spilled + t] = flat[source + j]
                block += step.wide * step.lanes


@njit(inline="always")
def _copy_vectors(step: Any, source: Any, at: Any, to: Any, to_at: Any, wanted: Any) -> None:
    """Copy the first `wanted` columns of a slice, as far as whole vectors hold them."""
    if wanted >= step.vectors * step.lanes:
        store(to, to_at, load(source, at, step.vectors))
    else:
        for j in range(wanted):
            to[to_at + j] = source[at + j]


@njit(cache=True)
def _unpack(step: Any, tile: Any, out: Any, first: Any, rows: Any, start: Any) -> None:
    """Write the sums of some rows (rows, narrow vectors) to a slice of the output."""
    batch = out.shape[1]
    flat = out.reshape(-1)
    whole = step.vectors * step.lanes
    wanted = min(step.columns, batch - start)
    for row in range(rows):
        at, to = row * step.narrow * step.lanes, (first + row) * batch + start
        _copy_vectors(step, tile, at, flat, to, wanted)
        for j in range(whole, wanted):
            spilled = at + whole + (j - whole) * step.depth
            flat[to + j] = tile[spilled : spilled + step.depth].sum()


@njit(cache=True)
def _multiply_panel(
    step: Any, counts: Any, rows: Any, values: Any, entry: Any, packed: Any, tile: Any
) -> None:
    """Add the products of a panel, from `entry` on, to its sums in `tile`."""
    ahead = _PREFETCH_BYTES // values.itemsize
    for block in range(counts.size):
        last = entry + np.int64(counts[block])
        if entry < last:
            held = load(packed, block * step.wide * step.lanes, step.wide)
            for at in range(entry, last):
                prefetch(values, at * step.depth + ahead)
                row = np.int64(rows[at]) * step.narrow * step.lanes
                sums = load(tile, row, step.narrow)
                store(tile, row, multiply_add(step, values, at * step.depth, held, sums))
        entry = last


@njit(parallel=True, cache=True)
def _multiply_panels(
    step: Any,
    counts: Any,
    rows: Any,
    values: Any,
    starts: Any,
    shares: Any,
    packed: Any,
    tiles: Any,
    out: Any,
) -> None:
    slices = packed.shape[0]
    flat = values.reshape(-1)
    for worker in prange(shares.size - 1):
        tile = tiles[worker]
        for task in range(shares[worker], shares[worker + 1]):
            panel, piece = task // slices, task % slices
            tile[:] = 0
            _multiply_panel(step, counts[panel], rows, flat, starts[panel], packed[piece], tile)
            first = panel * _PANEL_ROWS
            height = min(_PANEL_ROWS, out.shape[0] - first)
            _unpack(step, tile, out, first, height, piece * step.columns)


@njit(cache=True)
def _multiply_row(
    step: Any, blocks: Any, values: Any, entry: Any, last: Any, packed: Any, tile: Any, at: Any
) -> None:
    """Write the sums of a row's entries to `tile`."""
    sums = zeros(tile, step.narrow)
    for entry in range(entry, last):  # noqa: B020, PLR1704
        block = np.int64(blocks[entry]) * step.wide * step.lanes
        sums = multiply_add(
            step, values, entry * step.depth, load(packed, block, step.wide), sums
        )
    store(tile, at, sums)


@njit(parallel=True, cache=True)
def _multiply_rows(
    step: Any,
    blocks: Any,
    values: Any,
    starts: Any,
    shares: Any,
    packed: Any,
    tiles: Any,
    out: Any,
) -> None:
    slices = packed.shape[0]
    flat = values.reshape(-1)
    for worker in prange(shares.size - 1):
        tile = tiles[worker]
        for task in range(shares[worker], shares[worker + 1]):
            first, piece = task // slices * _GATHER_ROWS, task % slices
            height = min(_GATHER_ROWS, out.shape[0] - first)
            for row in range(height):
                _multiply_row(
                    step,
                    blocks,
                    flat,
                    starts[first + row],
                    starts[first + row + 1],
                    packed[piece],
                    tile,
                    row * step.narrow * step.lanes,
                )
            _unpack(step, tile, out, first, height, piece * step.columns)
