"""CSR on the CPU: SciPy's product, and one in Numba that uses every thread.

Both read `values[p]` and `columns[p]` for p in `offsets[row]` to `offsets[row + 1]`, and add
`values[p] * activations[columns[p], :]` to the output row. SciPy's runs in one thread always.
"""

from functools import partial
from typing import Any

import numpy as np
import scipy.sparse
from numba import njit, prange
from numpy.typing import NDArray

from gpuprune import csr
from gpuprune.backends import Backend
from gpuprune.binding import bind
from gpuprune.contenders import NotApplicable, Prepared
from gpuprune.csr.host import compress
from gpuprune.problem import Problem
from gpuprune.roofline import Work
from gpuprune.steps import registers

_AT_ONCE = 4  # weights of a row that Numba's product adds in one pass over the row's sums
_SCIPY_VECTOR_BYTES = 16  # SciPy is compiled for the least processor of its kind


def prepare(problem: Problem, backend: Backend) -> list[Prepared]:
    """Return SciPy's and Numba's product of the same arrays."""
    case = problem.case
    if reason := backend.unsupported(case.dtype):
        raise NotApplicable(reason)
    packed = compress(problem.weights, problem.mask, problem.nnz)
    arrays = (packed.values, packed.columns, packed.offsets)
    matrix = scipy.sparse.csr_matrix(arrays, shape=packed.shape)
    out = np.empty((case.rows, case.batch), packed.values.dtype)  # (rows, batch)
    size = packed.nbytes + problem.activations.nbytes + out.nbytes
    phase = partial(csr.multiplying, case, problem.nnz, moved=size)
    sums_bytes = 2 * problem.nnz * case.batch * out.itemsize  # a row a weight, read and written

    def by_scipy() -> Any:
        return matrix @ problem.activations

    multiply = bind(_multiply, *arrays, problem.activations, out)

    def by_numba() -> NDArray[Any]:
        multiply()
        return out

    threads = backend.threads or 1
    return [
        Prepared(
            multiply=by_numba,
            variant="Numba",
            bytes=size,
            work=Work(phases=(phase(kept=sums_bytes / _AT_ONCE),), starts=threads > 1),
        ),
        Prepared(
            multiply=by_scipy,
            variant="SciPy",
            bytes=size,
            work=Work(
                phases=(phase(kept=sums_bytes),),
                cores=1 / threads,
                lanes=min(1.0, _SCIPY_VECTOR_BYTES / registers().bytes),
            ),
        ),
    ]


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
