"""Block sparse rows through SciPy, a block for each group."""

from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from gpuprune.backends import Backend
from gpuprune.contenders import NotApplicable, Prepared
from gpuprune.problem import Problem


def prepare(problem: Problem, backend: Backend) -> list[Prepared]:
    """Pack the groups as blocks of 1 x g or g x 1, of which SciPy needs a whole number."""
    case = problem.case
    if backend.name == "cuda":
        raise NotApplicable("SciPy multiplies on the CPU")
    if reason := backend.unsupported(case.dtype):
        raise NotApplicable(reason)
    if case.orientation == "row":
        height, width = 1, min(case.group, case.cols)
    else:
        height, width = min(case.group, case.rows), 1
    if case.rows % height or case.cols % width:
        raise NotApplicable(
            f"SciPy wants whole blocks, and {height} x {width} does not divide "
            f"{case.rows} x {case.cols}"
        )
    matrix = _pack(problem.weights, problem.mask, height, width)
    operands = (matrix.data, matrix.indices, matrix.indptr, problem.activations)
    out_bytes = case.rows * case.batch * problem.weights.itemsize
    return [
        Prepared(
            multiply=lambda: matrix @ problem.activations,
            bytes=sum(operand.nbytes for operand in operands) + out_bytes,
        )
    ]


def _pack(weights: NDArray[Any], mask: NDArray[np.bool_], height: int, width: int) -> Any:
    rows, cols = weights.shape
    cut = (rows // height, height, cols // width, width)
    blocks = weights.reshape(cut).swapaxes(1, 2)  # (block rows, block columns, height, width)
    kept = mask.reshape(cut).any(axis=(1, 3))  # (block rows, block columns)
    starts = np.zeros(kept.shape[0] + 1, np.int64)
    np.cumsum(np.count_nonzero(kept, axis=1), out=starts[1:])
    columns = np.nonzero(kept)[1]
    return scipy.sparse.bsr_matrix((blocks[kept], columns, starts), shape=weights.shape)
