"""Row groups on the CPU: a panel of rows shares the activations that lie in registers.

The panel kernel loads the activations of a block into registers once, and with them serves every
entry of the block in the panel, one multiply-add for each vector of a weight's products. The sums
of the panel's rows wait in cache. Where a block has too few entries in a panel to pay for that,
the gather kernel goes row by row: there a row's sums stay in registers, and each entry loads its
activations from cache. `blocks` has the formats.

Both find the activations of a block packed as a wide operand (see `operands`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from gpuprune.backends import Backend
from gpuprune.binding import bind
from gpuprune.contenders import Prepared
from gpuprune.contenders.row_group.blocks import (
    Blocks,
    count_by_panel,
    pack_panels,
    pack_rows,
    panel_height,
)
from gpuprune.operands import pack_wide
from gpuprune.problem import Problem
from gpuprune.roofline import Phase, Work
from gpuprune.steps import aligned_zeros, cut_batch, registers, share_out, team
from gpuprune.vectors import PREFETCH_BYTES, add, copy, load, multiply_add, prefetch, store, zeros

_GATHER_ROWS = 16  # rows that are written at once
_FEW_WEIGHTS = 12  # of a block in a panel, on average: with fewer, gathering is faster (measured)
_FEW_VECTORS = 2  # of an operand: with so few, each addition would wait for the one before


def prepare(problem: Problem, backend: Backend) -> Prepared:
    """Pack the weights for the kernel that suits them."""
    blocks = Blocks.of(problem.case.cols, problem.case.group)
    kept = blocks.kept(problem.mask)
    weights = blocks.depth * np.count_nonzero(kept)
    most = backend.threads or 1
    threads = team(most, flops=2.0 * weights * problem.case.batch)
    height = panel_height(problem.case.rows, threads)
    counts = count_by_panel(kept, height)
    if blocks.depth == 1 or weights < _FEW_WEIGHTS * np.count_nonzero(counts):
        rows = pack_rows(problem.weights, blocks, kept)
        kernel = _Kernel(
            name="gather",
            alone=_gather,
            in_parallel=_gather_in_parallel,
            arrays=(rows.blocks, rows.values.reshape(-1), rows.starts),
            height=_GATHER_ROWS,
            work=np.diff(rows.starts[:-1:_GATHER_ROWS], append=rows.starts[-1]),
            loads=rows.blocks.size,
        )
    else:
        panels = pack_panels(problem.weights, blocks, kept, height, counts)
        kernel = _Kernel(
            name=f"panels of {height} rows",
            alone=_multiply_panels,
            in_parallel=_multiply_panels_in_parallel,
            arrays=(panels.counts, panels.rows, panels.values.reshape(-1), panels.starts),
            height=height,
            work=np.diff(panels.starts),
            loads=int(np.count_nonzero(panels.counts)),
            keeps_sums=True,
        )
    return _prepared(problem, blocks, kernel, threads, most)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kernel:
    """A way to multiply, and the weights as it takes them."""

    name: str
    alone: Callable[..., None]  # in one thread
    in_parallel: Callable[..., None]
    arrays: tuple[NDArray[Any], ...]
    height: int  # rows that it multiplies before it writes them
    work: NDArray[np.int64]  # entries of each so many rows
    loads: int  # of the activations of a block, in each slice
    keeps_sums: bool = False  # in cache, from where each entry reads and writes its row's


def _prepared(
    problem: Problem, blocks: Blocks, kernel: _Kernel, threads: int, most: int
) -> Prepared:
    """Make the buffers around a kernel for `threads` of the `most` that there are."""
    case, dtype, host = problem.case, problem.weights.dtype, registers()
    step, slices = cut_batch(case.batch, blocks.depth, dtype.itemsize, host)
    packed = aligned_zeros((slices, blocks.count * step.sizes.wide), dtype)
    tiles = aligned_zeros((threads, kernel.height * step.sizes.narrow), dtype)
    out = np.empty((case.rows, case.batch), dtype)
    shares = share_out(np.repeat(kernel.work + 1, slices), threads)
    edges = (blocks.firsts, blocks.lasts)
    packers = team(most, packed_bytes=packed.nbytes)
    pack = pack_wide(step, problem.activations, *edges, packed, packers)
    operands = (step, step.sizes, kernel.height, *kernel.arrays, packed)
    if threads == 1:
        multiply_packed = bind(kernel.alone, *operands, tiles[0], out, 0, int(shares[-1]))
    else:
        multiply_packed = bind(kernel.in_parallel, *operands, tiles, out, shares)

    def multiply() -> NDArray[Any]:
        pack()
        multiply_packed()
        return out

    size = sum(array.nbytes for array in (*kernel.arrays, problem.activations, out))
    entries, item = slices * int(kernel.work.sum()), dtype.itemsize
    packing = Phase(moved=problem.activations.nbytes + packed.nbytes)
    multiplying = Phase(
        moved=size - problem.activations.nbytes,
        flops=2 * entries * step.sizes.wide,
        gathered=slices * kernel.loads * step.sizes.wide * item,
        gathered_from=packed.nbytes,
        kept=2 * entries * step.sizes.narrow * item if kernel.keeps_sums else 0,
    )
    return Prepared(
        multiply=multiply,
        variant=f"{kernel.name}, {host.name}" + (", one thread" if threads < most else ""),
        bytes=size,
        work=Work(
            phases=(packing, multiplying),
            starts=(packers > 1) + (threads > 1),
            cores=threads / most,
        ),
    )


@njit(cache=True)
def _unpack(sizes: Any, tile: Any, out: Any, first: Any, rows: Any, start: Any) -> None:
    """Write the narrow sums of some rows to the output, from its column `start` on."""
    batch = out.shape[1]
    flat = out.reshape(-1)
    wanted = min(sizes.columns, batch - start)
    for row in range(rows):
        at, to = row * sizes.narrow, (first + row) * batch + start
        copy(tile, at, flat, to, min(wanted, sizes.whole))
        for j in range(wanted - sizes.whole):
            total = tile.dtype.type(0)
            for t in range(sizes.depth):
                total += tile[at + sizes.whole + j * sizes.depth + t]
            flat[to + sizes.whole + j] = total


@njit(cache=True)
def _multiply_panel(
    step: Any, counts: Any, rows: Any, values: Any, entry: Any, packed: Any, tile: Any
) -> None:
    """Add the products of a panel, whose first entry is `entry`, to its sums in `tile`."""
    ahead = PREFETCH_BYTES // values.itemsize
    for block in range(counts.size):
        last = entry + np.int64(counts[block])
        if entry < last:
            held = load(packed, block * step.wide * step.lanes, step.wide)
            next_held = (block + 1) * step.wide * step.lanes
            for at in range(entry, last):
                prefetch(values, at * step.depth + ahead)
                prefetch(packed, next_held + (at - entry) * step.lanes)
                row = np.int64(rows[at]) * step.narrow * step.lanes
                sums = load(tile, row, step.narrow)
                store(tile, row, multiply_add(step, values, at * step.depth, held, sums))
        entry = last


@njit(cache=True)
def _multiply_panels(
    step: Any,
    sizes: Any,
    height: Any,
    counts: Any,
    rows: Any,
    values: Any,
    starts: Any,
    packed: Any,
    tile: Any,
    out: Any,
    first: Any,
    last: Any,
) -> None:
    """Multiply the tasks from `first` to `last`: every slice of a panel, then the next panel's."""
    slices = packed.shape[0]
    for task in range(first, last):
        panel, piece = task // slices, task % slices
        tile[:] = 0
        _multiply_panel(step, counts[panel], rows, values, starts[panel], packed[piece], tile)
        top = panel * height
        _unpack(sizes, tile, out, top, min(height, out.shape[0] - top), piece * sizes.columns)


@njit(parallel=True, cache=True)
def _multiply_panels_in_parallel(
    step: Any,
    sizes: Any,
    height: Any,
    counts: Any,
    rows: Any,
    values: Any,
    starts: Any,
    packed: Any,
    tiles: Any,
    out: Any,
    shares: Any,
) -> None:
    for worker in prange(tiles.shape[0]):
        first, last, tile = shares[worker], shares[worker + 1], tiles[worker]
        _multiply_panels(
            step, sizes, height, counts, rows, values, starts, packed, tile, out, first, last
        )


@njit(cache=True)
def _gather_entry(step: Any, blocks: Any, values: Any, at: Any, operands: Any, sums: Any) -> Any:
    """Return `sums` plus the products of an entry."""
    operand = load(operands, np.int64(blocks[at]) * step.wide * step.lanes, step.wide)
    return multiply_add(step, values, at * step.depth, operand, sums)


@njit(cache=True)
def _gather_fours(
    step: Any, blocks: Any, values: Any, entry: Any, end: Any, operands: Any, tile: Any
) -> Any:
    """Return the products of some entries of a row, a multiple of four, from four sums at once."""
    first = second = third = fourth = zeros(tile, step.narrow)
    for at in range(entry, end, 4):
        first = _gather_entry(step, blocks, values, at, operands, first)
        second = _gather_entry(step, blocks, values, at + 1, operands, second)
        third = _gather_entry(step, blocks, values, at + 2, operands, third)
        fourth = _gather_entry(step, blocks, values, at + 3, operands, fourth)
    return add(add(first, second), add(third, fourth))


@njit(cache=True)
def _gather(
    step: Any,
    sizes: Any,
    height: Any,
    blocks: Any,
    values: Any,
    starts: Any,
    packed: Any,
    tile: Any,
    out: Any,
    first: Any,
    last: Any,
) -> None:
    """Multiply the tasks from `first` to `last`: every slice of some rows, then the next rows'."""
    slices = packed.shape[0]
    for task in range(first, last):
        top, piece = task // slices * height, task % slices
        rows = min(height, out.shape[0] - top)
        operands = packed[piece]
        for row in range(rows):
            entry, end = starts[top + row], starts[top + row + 1]
            sums = zeros(tile, step.narrow)
            if step.wide <= _FEW_VECTORS:
                fours = entry + (end - entry) // 4 * 4
                sums = _gather_fours(step, blocks, values, entry, fours, operands, tile)
                entry = fours
            for at in range(entry, end):
                sums = _gather_entry(step, blocks, values, at, operands, sums)
            store(tile, row * step.narrow * step.lanes, sums)
        _unpack(sizes, tile, out, top, rows, piece * sizes.columns)


@njit(parallel=True, cache=True)
def _gather_in_parallel(
    step: Any,
    sizes: Any,
    height: Any,
    blocks: Any,
    values: Any,
    starts: Any,
    packed: Any,
    tiles: Any,
    out: Any,
    shares: Any,
) -> None:
    for worker in prange(tiles.shape[0]):
        first, last, tile = shares[worker], shares[worker + 1], tiles[worker]
        _gather(step, sizes, height, blocks, values, starts, packed, tile, out, first, last)
