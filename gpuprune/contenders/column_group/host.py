"""Column groups on the CPU: the sums of a strip of rows stay in registers.

For each entry of a strip (see `strips`) the kernel loads the activations of its column from cache
once, and adds their products with up to eight weights to the sums of as many rows.

It finds the activations of a column packed as a narrow operand (see `operands`).
"""

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from gpuprune.backends import Backend
from gpuprune.binding import bind
from gpuprune.contenders import Prepared
from gpuprune.contenders.column_group.strips import pack
from gpuprune.operands import pack_narrow
from gpuprune.problem import Problem
from gpuprune.roofline import Phase, Work
from gpuprune.steps import aligned_zeros, cut_batch, registers, share_out, team
from gpuprune.vectors import PREFETCH_BYTES, add, copy, load, multiply_add, prefetch, store, zeros

_FEW_SUMS = 2  # vectors: with so few, each addition would wait for the one before


def prepare(problem: Problem, backend: Backend) -> Prepared:
    """Pack the groups and make the buffers of the kernel."""
    case, dtype, most = problem.case, problem.weights.dtype, backend.threads or 1
    strips = pack(problem.weights, problem.mask, case.group)
    host = registers()
    step, slices = cut_batch(case.batch, strips.depth, dtype.itemsize, host)
    threads = team(most, flops=2.0 * strips.values.size * case.batch)
    values = strips.values.reshape(-1)
    arrays = (strips.columns, values, strips.starts, strips.firsts, strips.lasts)
    packed = aligned_zeros((slices, case.cols * step.sizes.narrow), dtype)
    tiles = aligned_zeros((threads, step.sizes.wide), dtype)
    out = np.empty((case.rows, case.batch), dtype)
    shares = share_out(np.repeat(np.diff(strips.starts) + 1, slices), threads)

    packers = team(most, packed_bytes=packed.nbytes)
    pack_activations = pack_narrow(step, problem.activations, packed, packers)
    operands = (step, step.sizes, *arrays, packed)
    if threads == 1:
        multiply_packed = bind(_multiply, *operands, tiles[0], out, 0, int(shares[-1]))
    else:
        multiply_packed = bind(_multiply_in_parallel, *operands, tiles, out, shares)

    def multiply() -> NDArray[Any]:
        pack_activations()
        multiply_packed()
        return out

    size = sum(array.nbytes for array in (*arrays, problem.activations, out))
    entries = slices * strips.columns.size
    packing = Phase(moved=problem.activations.nbytes + packed.nbytes)
    multiplying = Phase(
        moved=size - problem.activations.nbytes,
        flops=2 * entries * step.sizes.wide,
        gathered=entries * step.sizes.narrow * dtype.itemsize,
        gathered_from=packed.nbytes,
    )
    return Prepared(
        multiply=multiply,
        variant=f"gather, {host.name}" + (", one thread" if threads < most else ""),
        bytes=size,
        work=Work(
            phases=(packing, multiplying),
            starts=(packers > 1) + (threads > 1),
            cores=threads / most,
        ),
    )


@njit(cache=True)
def _unpack(sizes: Any, tile: Any, out: Any, first: Any, last: Any, start: Any) -> None:
    """Write the wide sums of some rows to the output, from its column `start` on."""
    batch = out.shape[1]
    flat = out.reshape(-1)
    wanted = min(sizes.columns, batch - start)
    for t in range(last - first):
        to = (first + t) * batch + start
        copy(tile, t * sizes.whole, flat, to, min(wanted, sizes.whole))
        for j in range(wanted - sizes.whole):
            flat[to + sizes.whole + j] = tile[(sizes.whole + j) * sizes.depth + t]


@njit(cache=True)
def _gather_entry(step: Any, columns: Any, values: Any, at: Any, operands: Any, sums: Any) -> Any:
    """Return `sums` plus the products of an entry."""
    operand = load(operands, np.int64(columns[at]) * step.narrow * step.lanes, step.narrow)
    return multiply_add(step, values, at * step.depth, operand, sums)


@njit(cache=True)
def _gather_fours(
    step: Any, columns: Any, values: Any, entry: Any, end: Any, operands: Any, tile: Any
) -> Any:
    """Return the products of some entries, a multiple of four, from four sums at once."""
    first = second = third = fourth = zeros(tile, step.wide)
    for at in range(entry, end, 4):
        first = _gather_entry(step, columns, values, at, operands, first)
        second = _gather_entry(step, columns, values, at + 1, operands, second)
        third = _gather_entry(step, columns, values, at + 2, operands, third)
        fourth = _gather_entry(step, columns, values, at + 3, operands, fourth)
    return add(add(first, second), add(third, fourth))


@njit(cache=True)
def _multiply(
    step: Any,
    sizes: Any,
    columns: Any,
    values: Any,
    starts: Any,
    firsts: Any,
    lasts: Any,
    packed: Any,
    tile: Any,
    out: Any,
    first: Any,
    last: Any,
) -> None:
    """Multiply the tasks from `first` to `last`: every slice of a strip, then the next strip's."""
    slices = packed.shape[0]
    ahead = PREFETCH_BYTES // values.itemsize
    for task in range(first, last):
        strip, piece = task // slices, task % slices
        operands = packed[piece]
        entry, end = starts[strip], starts[strip + 1]
        sums = zeros(tile, step.wide)
        if step.wide <= _FEW_SUMS:
            fours = entry + (end - entry) // 4 * 4
            sums = _gather_fours(step, columns, values, entry, fours, operands, tile)
            entry = fours
        for at in range(entry, end):
            if step.depth > 1:  # alone, a weight is read too slowly to need it
                prefetch(values, at * step.depth + ahead)
            sums = _gather_entry(step, columns, values, at, operands, sums)
        store(tile, 0, sums)
        _unpack(sizes, tile, out, firsts[strip], lasts[strip], piece * sizes.columns)


@njit(parallel=True, cache=True)
def _multiply_in_parallel(
    step: Any,
    sizes: Any,
    columns: Any,
    values: Any,
    starts: Any,
    firsts: Any,
    lasts: Any,
    packed: Any,
    tiles: Any,
    out: Any,
    shares: Any,
) -> None:
    for worker in prange(tiles.shape[0]):
        first, last, tile = shares[worker], shares[worker + 1], tiles[worker]
        _multiply(
            step, sizes, columns, values, starts, firsts, lasts, packed, tile, out, first, last
        )
