"""CSR on the CPU: SciPy's product, and one in Numba that uses every thread.

Both read `values[p]` and `columns[p]` for p in `offsets[row]` to `offsets[row + 1]`, and add
`values[p] * activations[columns[p], :]` to the output row. SciPy's runs in one thread always.
"""

from typing import Any

import numpy as np
import scipy.sparse
from numba import njit, prange
from numpy.typing import NDArray

from gpuprune.backends import Backend
from gpuprune.binding import bind
from gpuprune.contenders import NotApplicable, Prepared
from gpuprune.problem import Problem
from gpuprune.roofline import Phase, Work, operations
from gpuprune.steps import registers

_AT_ONCE = 4  # weights of a row that Numba's product adds in one pass over the row's sums
_SCIPY_VECTOR_BYTES = 16  # SciPy is compiled for the least processor of its kind


def prepare(problem: Problem, backend: Backend) -> list[Prepared]:
    """Return SciPy's and Numba's product of the same arrays."""
    case = problem.case
    if reason := backend.unsupported(case.dtype):
        raise NotApplicable(reason)
    values, columns, offsets = compress(problem.weights, problem.mask, problem.nnz)
    matrix = scipy.sparse.csr_matrix((values, columns, offsets), shape=problem.weights.shape)
    out = np.empty((case.rows, case.batch), values.dtype)  # (rows, batch)
    operands = values.nbytes + columns.nbytes + offsets.nbytes
    size = operands + problem.activations.nbytes + out.nbytes

    def by_scipy() -> Any:
        return matrix @ problem.activations

    multiply = bind(_multiply, values, columns, offsets, problem.activations, out)

    def by_numba() -> NDArray[Any]:
        multiply()
        return out

    threads = backend.threads or 1
    return [
        Prepared(
            multiply=by_numba,
            variant="Numba",
            bytes=size,
            work=Work(phases=(_phase(problem, size, passes=1 / _AT_ONCE),), starts=threads > 1),
        ),
        Prepared(
            multiply=by_scipy,
            variant="SciPy",
            bytes=size,
            work=Work(
                phases=(_phase(problem, size, passes=1),),
                cores=1 / threads,
                lanes=min(1.0, _SCIPY_VECTOR_BYTES / registers().bytes),
            ),
        ),
    ]


def compress(
    weights: NDArray[Any], mask: NDArray[np.bool_], nnz: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Pack the weights (rows, cols) that a mask keeps, exact zeros among them, row by row.

    Returns their values (nnz), their columns (nnz) and where each row starts (rows + 1).
    """
    rows, cols = weights.shape
    index = np.int32 if max(nnz, rows, cols) <= np.iinfo(np.int32).max else np.int64
    # Eight flags at once, where rows start at whole words.
    words = mask.view(np.uint64) if cols % 8 == 0 else np.empty((rows, 0), np.uint64)
    counts = np.empty(rows, index)
    _count(mask, counts)
    offsets = np.zeros(rows + 1, index)
    np.cumsum(counts, out=offsets[1:])
    values, columns = np.empty(nnz, weights.dtype), np.empty(nnz, index)
    _fill(weights, mask, words, offsets, values, columns)
    return values, columns, offsets


def _phase(problem: Problem, size: int, *, passes: float) -> Phase:
    """Account for a row of activations a weight, and so many passes over a row of sums."""
    row_bytes = problem.case.batch * problem.weights.itemsize
    return Phase(
        moved=size,
        flops=operations(problem.case, problem.nnz),
        gathered=problem.nnz * row_bytes,
        gathered_from=problem.activations.nbytes,
        kept=2 * passes * problem.nnz * row_bytes,  # read and written
    )


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


@njit(parallel=True, cache=True, fastmath={"contract"})
def _multiply(values: Any, columns: Any, offsets: Any, activations: Any, out: Any) -> Any:
    rows, batch = out.shape
    for row in prange(rows):
        start, stop = offsets[row], offsets[row + 1]
        fours = stop - (stop - start) % 4
        for j in range(batch):
            out[row, j] = 0
        # Four weights a pass: the output row is read and written once for all of them.
        for p in range(start, fours, 4):
            v0, v1, v2, v3 = values[p], values[p + 1], values[p + 2], values[p + 3]
            c0, c1, c2, c3 = columns[p], columns[p + 1], columns[p + 2], columns[p + 3]
            for j in range(batch):
                out[row, j] += (
                    v0 * activations[c0, j]
                    + v1 * activations[c1, j]
                    + v2 * activations[c2, j]
                    + v3 * activations[c3, j]
                )
        for p in range(fours, stop):
            value, col = values[p], columns[p]
            for j in range(batch):
                out[row, j] += value * activations[col, j]
