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
from gpuprune.steps import aligned_zeros, cut_batch, registers, share_out
from gpuprune.vectors import PREFETCH_BYTES, copy, load, multiply_add, prefetch, store, zeros


def prepare(problem: Problem, backend: Backend) -> Prepared:
    """Pack the groups and make the buffers of the kernel."""
    case, dtype, threads = problem.case, problem.weights.dtype, backend.threads or 1
    strips = pack(problem.weights, problem.mask, case.group)
    host = registers()
    step, slices = cut_batch(case.batch, strips.depth, dtype.itemsize, host)
    values = strips.values.reshape(-1)
    arrays = (strips.columns, values, strips.starts, strips.firsts, strips.lasts)
    packed = aligned_zeros((slices, case.cols * step.sizes.narrow), dtype)
    tiles = aligned_zeros((threads, step.sizes.wide), dtype)
    out = np.empty((case.rows, case.batch), dtype)
    shares = share_out(np.repeat(np.diff(strips.starts) + 1, slices), threads)

    pack_activations = pack_narrow(step, problem.activations, packed, threads)
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
        variant=f"gather, {host.name}",
        bytes=size,
        work=Work(phases=(packing, multiplying), starts=2 if threads > 1 else 0),
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
        sums = zeros(tile, step.wide)
        for at in range(starts[strip], starts[strip + 1]):
            if step.depth > 1:  # alone, a weight is read too slowly to need it
                prefetch(values, at * step.depth + ahead)
            operand = load(operands, np.int64(columns[at]) * step.narrow * step.lanes, step.narrow)
            sums = multiply_add(step, values, at * step.depth, operand, sums)
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
