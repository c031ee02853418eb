"""Block sparse rows through SciPy, a block for each group."""

from typing import Any

import numpy as np
import scipy.sparse

from gpuprune import bsr
from gpuprune.backends import Backend
from gpuprune.contenders import NotApplicable, Prepared
from gpuprune.problem import Problem
from gpuprune.roofline import Phase, Work, operations
from gpuprune.steps import registers


def prepare(problem: Problem, backend: Backend) -> list[Prepared]:
    """Pack the groups as blocks of 1 x g or g x 1, of which SciPy needs a whole number."""
    case = problem.case
    if backend.name == "cuda":
        raise NotApplicable("SciPy multiplies on the CPU")
    if reason := backend.unsupported(case.dtype):
        raise NotApplicable(reason)
    height, width = bsr.block_shape(case)
    if reason := bsr.too_ragged(case, "SciPy", height, width):
        raise NotApplicable(reason)
    blocks = bsr.pack(problem.weights, problem.mask, height, width, np)
    matrix = scipy.sparse.bsr_matrix(blocks, shape=problem.weights.shape)
    operands = (matrix.data, matrix.indices, matrix.indptr, problem.activations)
    item, stored = problem.weights.itemsize, matrix.data.size
    size = sum(operand.nbytes for operand in operands) + case.rows * case.batch * item
    phase = Phase(
        moved=size,
        flops=operations(case, stored),
        gathered=stored * case.batch * item,
        gathered_from=problem.activations.nbytes,
        kept=2 * stored // width * case.batch * item,  # the sums of a block's rows, read, written
    )
    return [
        Prepared(
            multiply=lambda: matrix @ problem.activations,
            bytes=size,
            work=Work(
                phases=(phase,),
                cores=1 / (backend.threads or 1),
                lanes=_vector_bytes(matrix) / registers().bytes,
            ),
        )
    ]


def _vector_bytes(matrix: Any) -> int:
    """Return the bytes that an instruction of SciPy's multiplies.

    A block is multiplied column by column of the batch, one number at a time; blocks of one weight
    are multiplied as CSR, and in the vectors of the least processor that SciPy is compiled for.
    """
    return 16 if matrix.blocksize == (1, 1) else int(matrix.dtype.itemsize)
