"""Activations as the CPU kernels for groups take them: packed anew at each product.

A packed *operand* holds some neighbouring rows of the activations, cut to a slice of the batch, in
whole vectors: see `steps.Step` for the two forms, wide and narrow.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from gpuprune.binding import bind
from gpuprune.steps import CACHE_LINE, Step
from gpuprune.vectors import PREFETCH_BYTES, copy, prefetch


def pack_wide(
    step: Step,
    activations: NDArray[Any],
    firsts: NDArray[np.int64],
    lasts: NDArray[np.int64],
    packed: NDArray[Any],
    threads: int,
) -> Callable[[], None]:
    """Return a call that packs the rows `firsts` to `lasts` of activations (cols, batch).

    `packed` is (slices, operands * wide), zero where rows are fewer than the depth.
    """
    form = (step.sizes.wide, step.sizes.depth * step.sizes.whole, 1)
    return _bound(form, step, activations, firsts, lasts, packed, threads)


def pack_narrow(
    step: Step, activations: NDArray[Any], packed: NDArray[Any], threads: int
) -> Callable[[], None]:
    """Return a call that packs each row of activations (cols, batch) by itself.

    `packed` is (slices, cols * narrow).
    """
    form = (step.sizes.narrow, step.sizes.whole, step.depth)
    firsts = np.arange(activations.shape[0])
    return _bound(form, step, activations, firsts, firsts + 1, packed, threads)


def _bound(
    form: tuple[int, int, int],
    step: Step,
    activations: NDArray[Any],
    firsts: NDArray[np.int64],
    lasts: NDArray[np.int64],
    packed: NDArray[Any],
    threads: int,
) -> Callable[[], None]:
    if not activations.flags.c_contiguous:
        return _copied_first(form, step, activations, firsts, lasts, packed, threads)
    arguments = (form, step.sizes, firsts, lasts, activations, packed)
    if threads == 1:
        return bind(_pack, *arguments, 0, firsts.size)
    return bind(_pack_in_parallel, *arguments, threads)


def _copied_first(
    form: tuple[int, int, int], step: Step, activations: NDArray[Any], *arguments: Any
) -> Callable[[], None]:
    held = np.empty(activations.shape, activations.dtype)
    pack = _bound(form, step, held, *arguments)

    def copy_and_pack() -> None:
        held[...] = activations
        pack()

    return copy_and_pack


@njit(cache=True)
def _pack(
    form: Any,
    sizes: Any,
    firsts: Any,
    lasts: Any,
    activations: Any,
    packed: Any,
    operand: Any,
    end: Any,
) -> None:
    """Pack the operands from `operand` to `end`.

    `form` has the size of one, where its spilled columns are, and how often it has each of these.
    """
    size, spilled, copies = form
    batch = activations.shape[1]
    flat = activations.reshape(-1)
    ahead = PREFETCH_BYTES // packed.itemsize
    for piece in range(packed.shape[0]):
        start = piece * sizes.columns
        wanted = min(sizes.columns, batch - start)
        to = packed[piece]
        for one in range(operand, end):
            at = one * size
            for line in range(0, size, CACHE_LINE // to.itemsize):
                prefetch(to, at + ahead + line)  # what is written soon
            for t in range(lasts[one] - firsts[one]):
                source = (firsts[one] + t) * batch + start
                copy(flat, source, to, at + t * sizes.whole, min(wanted, sizes.whole))
                for j in range(wanted - sizes.whole):
                    for lane in range(t, t + copies):
                        to[at + spilled + j * sizes.depth + lane] = flat[source + sizes.whole + j]


@njit(parallel=True, cache=True)
def _pack_in_parallel(
    form: Any, sizes: Any, firsts: Any, lasts: Any, activations: Any, packed: Any, workers: Any
) -> None:
    for worker in prange(workers):
        operand, end = firsts.size * worker // workers, firsts.size * (worker + 1) // workers
        _pack(form, sizes, firsts, lasts, activations, packed, operand, end)
