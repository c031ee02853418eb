"""How a product is cut to fit the host's vector registers: a batch, a group, the rows."""

from dataclasses import dataclass
from functools import cache
from math import ceil, prod
from typing import Any, NamedTuple

import numpy as np
from numba.core.registry import cpu_target
from numpy.typing import NDArray

DEEPEST = 8  # weights of a step: as many fill the registers, and a longer group takes more steps
CACHE_LINE = 64  # bytes
# In one thread, where the others sleep: with less to do, starting them takes longer (measured).
_FEW_FLOPS = 20e6
_FEW_BYTES = 512 << 10
_STEP_COST = 4  # of a step besides its multiplications and its sums, in vector operations


@dataclass(frozen=True, slots=True)
class Registers:
    """The vector registers that code is compiled for."""

    name: str
    bytes: int
    count: int


class Sizes(NamedTuple):
    """A Step in numbers of values, for Numba code that need not be compiled for each Step."""

    depth: int
    whole: int  # columns of a slice that lie in whole vectors
    columns: int  # all of its columns
    wide: int
    narrow: int


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of a kernel multiplies: `depth` weights, and a slice of the batch.

    A slice is some whole vectors and, if it spills, lanes / depth columns more that share one
    vector: its lane `j * depth + t` belongs to column j of these and to weight t. So 50 columns
    of float32 take 8 x 3 + 1 multiplications of 16 lanes for 8 weights, and not 8 x 4.

    An operand of a step is *wide*, with vectors of its own for each weight (those of weight 0,
    of weight 1, ..., the spilled one), or *narrow*, with the same for all. In Numba code a Step
    is a constant of the compiler: each has kernels of its own.
    """

    depth: int
    vectors: int
    spills: bool
    lanes: int

    @property
    def columns(self) -> int:
        """Columns of the batch in a slice."""
        return self.vectors * self.lanes + (self.lanes // self.depth if self.spills else 0)

    @property
    def wide(self) -> int:
        """Vectors of a wide operand."""
        return self.depth * self.vectors + self.spills

    @property
    def narrow(self) -> int:
        """Vectors of a narrow operand."""
        return self.vectors + self.spills

    @property
    def sizes(self) -> Sizes:
        """The sizes of what a step multiplies, in values."""
        return Sizes(
            depth=self.depth,
            whole=self.vectors * self.lanes,
            columns=self.columns,
            wide=self.wide * self.lanes,
            narrow=self.narrow * self.lanes,
        )


@cache
def registers() -> Registers:
    """Return the registers of the processor that Numba compiles for, its settings heeded."""
    triple, _, features = cpu_target.target_context.codegen().magic_tuple()
    if "+avx512f" in features:
        return Registers("AVX-512", 64, 32)
    if "+avx" in features:
        return Registers("AVX2" if "+avx2" in features else "AVX", 32, 16)
    if triple.startswith(("aarch64", "arm64")):
        return Registers("NEON", 16, 32)
    return Registers("128-bit vectors", 16, 16)


def cut(length: int, group: int) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    """Cut a row or column of weights into groups, and each of these into steps.

    A group has as few steps as possible, all of one depth, and is no longer than `length`. Returns
    the depth, the first weight of each step, and the one after its last: (steps,) both.
    """
    group = min(group, length)
    steps = ceil(group / DEEPEST)
    depth = ceil(group / steps)
    starts = np.arange(0, length, group)[:, None]  # (groups, 1)
    firsts = starts + depth * np.arange(steps)  # (groups, steps)
    lasts = np.minimum(firsts + depth, np.minimum(starts + group, length))
    there = firsts < lasts  # a short last group may have fewer
    return depth, firsts[there], lasts[there]


def cut_batch(batch: int, depth: int, itemsize: int, host: Registers) -> tuple[Step, int]:
    """Choose the Step whose slices cover a batch in the fewest operations of a host.

    Returns it and the number of slices; the last slice may reach beyond the batch.
    """
    lanes = host.bytes // itemsize
    steps = [
        Step(depth, vectors, spills, lanes)
        for vectors in range(host.count)
        for spills in (False, True)
        if (vectors or spills) and not (spills and (depth == 1 or lanes % depth))
    ]
    # Both operands of a step and a weight live in registers.
    fitting = [step for step in steps if step.wide + step.narrow + 1 <= host.count]
    slices = {step: ceil(batch / step.columns) for step in fitting}
    best = min(fitting, key=lambda step: slices[step] * (step.wide + step.narrow + _STEP_COST))
    return best, slices[best]


def aligned_zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Make an array of zeros that begins with a cache line, where no vector straddles two."""
    size = prod(shape) * dtype.itemsize
    buffer = np.zeros(size + CACHE_LINE, np.uint8)
    start = -buffer.ctypes.data % CACHE_LINE
    return buffer[start : start + size].view(dtype).reshape(shape)


def team(threads: int, *, flops: float = 0.0, packed_bytes: int = 0) -> int:
    """Choose how many of the threads at hand to start for operations, or for bytes to be packed.

    One, where starting the others takes longer than they save.
    """
    return threads if flops > _FEW_FLOPS or packed_bytes > _FEW_BYTES else 1


def share_out(work: NDArray[np.int64], workers: int) -> NDArray[np.int64]:
    """Cut tasks that take `work` into one run of tasks a worker, of about equal work.

    Returns where the runs begin, and the end: (workers + 1).
    """
    done = np.cumsum(work)
    goals = done[-1:].sum() * np.arange(1, workers) / workers
    return np.concatenate([[0], np.searchsorted(done, goals), [work.size]]).astype(np.int64)
