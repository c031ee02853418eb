"""Column groups on a GPU: their format, and the launch of the kernel for a dtype.

`gather.cu` (float32) and `fragments.cu` (16-bit types, on tensor cores) say how the format lies in
memory and what the kernel does with it. Both sum in an order that is always the same.
"""

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from gpuprune.backends import Array
from gpuprune.contenders import NotApplicable, Prepared
from gpuprune.kernels import LANES, Gpu, Steps, by_rows, too_large
from gpuprune.problem import Problem
from gpuprune.ragged import starts_of
from gpuprune.records import Case
from gpuprune.roofline import Phase, Work

_FOLDER = Path(__file__).parent
_FLOAT = 4  # bytes
_MOST_WARPS = 16
_CHUNKS_A_WARP = 2  # at least, for adding the warps' sums to be the smaller part
_TENSOR_CORES = (8, 0)  # compute capability from which on m16n8k16 is there
_DEEPEST = 32  # weights of a step: their sums for two columns of the batch fill the registers
_TILE_ROWS = 8  # of the weights in such a product

# Entries that a warp takes at once.
_GATHER_CHUNK = 8  # at most
FRAGMENTS_CHUNK = 16  # of a product on tensor cores


def prepare(problem: Problem, gpu: Gpu) -> Prepared:
    """Pack the weights for the kernel of their dtype.

    Raises NotApplicable for what these kernels cannot index or multiply.
    """
    case = problem.case
    if case.dtype == "float32":
        return _prepared(problem, gpu, _gather(problem, gpu))
    if case.dtype not in ("float16", "bfloat16"):
        raise NotApplicable(
            f"column groups are float32 and 16-bit on a GPU, and the weights are {case.dtype}"
        )
    if gpu.capability < _TENSOR_CORES:
        has = ".".join(map(str, gpu.capability))
        raise NotApplicable(
            f"its tensor cores came with compute capability 8.0, and this GPU has {has}"
        )
    return _prepared(problem, gpu, _fragments(problem, gpu))


@dataclass(frozen=True, slots=True, kw_only=True)
class Strips:
    """The entries strip by strip, as the kernels want them."""

    order: Array  # (strips,), int32, the longest first
    starts: Array  # (strips + 1,), int32
    columns: Array  # (entries,), uint16 or int32
    weights: Array  # (entries, depth)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kernel:
    """A kernel, and what it wants."""

    file: str
    name: str
    variant: str
    chunk: int  # entries that a warp takes at once
    warp_bytes: int  # of shared memory, for these
    slab: int  # columns of the batch
    steps: Steps
    constants: dict[str, int]
    strips: Strips


def _gather(problem: Problem, gpu: Gpu) -> _Kernel:
    case = problem.case
    steps = _steps(case, shallowest=1, chunk=_GATHER_CHUNK)
    chunk = chunk_of(steps.depth)
    slots = 1 if case.batch <= LANES else 2
    return _Kernel(
        file="gather.cu",
        name="multiply_strips",
        variant="gather",
        chunk=chunk,
        warp_bytes=_FLOAT * chunk * steps.depth,
        slab=LANES * slots,
        steps=steps,
        constants={"SLOTS": slots},
        strips=pack(problem.weights, problem.mask, steps, chunk, gpu.xp),
    )


def _fragments(problem: Problem, gpu: Gpu) -> _Kernel:
    case = problem.case
    steps = _steps(case, shallowest=_TILE_ROWS, chunk=FRAGMENTS_CHUNK)
    # As bits: neither the packing nor the kernels care which of the two they are.
    bits = problem.weights.view(gpu.xp.uint16)
    strips = pack(bits, problem.mask, steps, FRAGMENTS_CHUNK, gpu.xp)
    tiles = min(4, max(1, ceil(case.batch / 16)))
    return _Kernel(
        file="fragments.cu",
        name="multiply_fragments",
        variant="tensor cores",
        chunk=FRAGMENTS_CHUNK,
        warp_bytes=0,
        slab=16 * tiles,
        steps=steps,
        constants={"TILES": tiles, "BFLOAT16": int(case.dtype == "bfloat16")},
        strips=Strips(
            order=strips.order,
            starts=strips.starts,
            columns=strips.columns,
            weights=as_fragments(strips.weights, gpu.xp),
        ),
    )


def _steps(case: Case, *, shallowest: int, chunk: int) -> Steps:
    """Cut the groups; raises NotApplicable where kernels cannot count what all of them are."""
    steps = Steps.of(case.group, case.rows, shallowest=shallowest, deepest=_DEEPEST)
    strips = ceil(case.rows / steps.group) * steps.count
    entries = strips * ceil(case.cols / chunk) * chunk  # with those that fill up the chunks
    if reason := too_large(case.batch, rows=case.rows, columns=case.cols, groups=entries):
        raise NotApplicable(reason)
    return steps


def _prepared(problem: Problem, gpu: Gpu, kernel: _Kernel) -> Prepared:
    case, xp, strips = problem.case, gpu.xp, kernel.strips
    slabs = ceil(case.batch / kernel.slab)
    entries = strips.columns.size / strips.order.size  # of a strip, on average
    warps, tile_bytes = _MOST_WARPS, _FLOAT * kernel.steps.depth * kernel.slab

    def shared_bytes() -> int:
        return (warps + 1) // 2 * tile_bytes + warps * kernel.warp_bytes

    while warps > 1 and (
        entries < warps * _CHUNKS_A_WARP * kernel.chunk or shared_bytes() > gpu.shared_bytes
    ):
        warps //= 2
    launch = gpu.compile(
        _FOLDER / kernel.file,
        kernel.name,
        shared_bytes=shared_bytes(),
        DEPTH=kernel.steps.depth,
        CHUNK=kernel.chunk,
        INDEX_BITS=8 * strips.columns.itemsize,
        **kernel.constants,
    )
    sizes = (case.rows, case.batch, kernel.steps.group, kernel.steps.count)
    numbers = tuple(np.int32(size) for size in sizes)
    format_ = (strips.order, strips.starts, strips.columns, strips.weights)
    out = xp.empty((case.rows, case.batch), problem.weights.dtype)

    def multiply() -> Array:
        if slabs:
            activations, row_bytes = by_rows(problem.activations, xp)
            grid, block = (strips.order.size, slabs), (LANES, warps)
            operands = (*numbers, *format_, activations, np.int64(row_bytes), out)
            launch(grid, block, *operands)
        return out

    size = sum(array.nbytes for array in (*format_, problem.activations, out))
    work = Phase(
        moved=size,
        flops=2 * strips.weights.size * slabs * kernel.slab,
        gathered=strips.columns.size * case.batch * problem.activations.itemsize,
        gathered_from=problem.activations.nbytes,
        kept=2 * strips.order.size * slabs * (warps - 1) * tile_bytes,  # the warps' sums
    )
    cores = min(1.0, strips.order.size * max(1, slabs) / gpu.multiprocessors)
    return Prepared(
        multiply=multiply,
        variant=kernel.variant,
        bytes=size,
        work=Work(phases=(work,), cores=cores),
    )


def chunk_of(depth: int) -> int:
    """Return how many entries of strips, of `depth` weights each, a warp of `gather.cu` takes."""
    return _GATHER_CHUNK if depth < 32 else _GATHER_CHUNK // 2  # more fills its registers


def pack(weights: Array, mask: Array, steps: Steps, chunk: int, xp: Any) -> Strips:
    """Pack the weights (rows, cols) of the steps of which the mask keeps any weight.

    Entries of zeros fill up each strip to whole chunks.
    """
    cols = mask.shape[1]
    kept = steps.cut(mask.T, xp).any(axis=2).T  # (strips, cols)
    strip, column = xp.nonzero(kept)
    counts = xp.count_nonzero(kept, axis=1)
    starts = starts_of((counts + chunk - 1) // chunk * chunk, xp)
    target = starts[strip] + xp.arange(strip.size) - starts_of(counts, xp)[strip]
    total = int(starts[-1])
    columns = xp.zeros(total, xp.uint16 if cols <= 1 << 16 else xp.int32)
    columns[target] = column.astype(columns.dtype)
    packed = xp.zeros((total, steps.depth), weights.dtype)
    packed[target] = steps.cut(weights.T, xp)[column, strip]
    return Strips(
        order=xp.argsort(-counts, kind="stable").astype(xp.int32),
        starts=starts.astype(xp.int32),
        columns=columns,
        weights=packed,
    )


def as_fragments(weights: Array, xp: Any) -> Array:
    """Reorder weights (entries, depth) as fragments.cu reads them: (chunks, tiles, 32, 4)."""
    tiles = weights.shape[1] // _TILE_ROWS
    cut = weights.reshape(-1, 2, 4, 2, tiles, _TILE_ROWS)  # chunk, half, pair, odd, tile, row
    return xp.ascontiguousarray(cut.transpose(0, 4, 5, 2, 1, 3)).reshape(-1, tiles, LANES, 4)
