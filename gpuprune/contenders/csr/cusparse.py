"""CSR on a GPU: cuSPARSE's product in two layouts and by every algorithm it has for CSR.

CuPy's `csr @ dense` makes descriptors and workspace at every call, copies the dense operand to
column-major order and always takes the default algorithm. Here all of that is made beforehand,
and what CuPy does is timed apart, as the call.
"""

from collections.abc import Callable
from functools import partial

import cupy
import cupyx.scipy.sparse
import numpy as np
from cupy_backends.cuda.libs import cusparse

from gpuprune import csr
from gpuprune.backends import Array, Backend
from gpuprune.backends.cuda.cusparse import Bindings, Order, Product, Refused
from gpuprune.contenders import NotApplicable, Prepared
from gpuprune.problem import Problem
from gpuprune.roofline import Phase, Work

_ALGORITHMS = {"default": 0, "ALG1": 4, "ALG2": 6, "ALG3": 12}  # cusparseSpMMAlg_t


def prepare(problem: Problem, backend: Backend) -> list[Prepared]:
    """Return the product of the same arrays in each layout, by each algorithm.

    What this cuSPARSE refuses is left out. Raises NotApplicable where it refuses everything.
    """
    if reason := backend.unsupported(problem.case.dtype):
        raise NotApplicable(reason)
    matrix = csr.compress(problem.weights, problem.mask, cupy)
    if not len(matrix.values):
        return [_nothing(matrix, problem)]
    call = _by_cupy(matrix, problem)
    bindings, describe = _bindings(), partial(_describe_csr, matrix)
    layouts: tuple[tuple[str, Order, Array], ...] = (
        ("row-major", "C", problem.activations),
        ("column-major", "F", problem.activations_fortran),
    )
    prepared, refusals = [], []
    for layout, order, activations in layouts:
        for name, algorithm in _ALGORITHMS.items():
            variant = f"{layout}, {name}"
            try:
                product = Product(
                    bindings, describe, algorithm, problem.case.rows, activations, order
                )
            except Refused as reason:
                refusals.append(f"{variant}: {reason}")
                continue
            size = matrix.nbytes + activations.nbytes + product.out.nbytes
            prepared.append(
                Prepared(
                    multiply=product,
                    variant=variant,
                    bytes=size,
                    call=call,
                    work=Work(phases=(csr.multiplying(problem.case, problem.nnz, moved=size),)),
                )
            )
    if not prepared:
        raise NotApplicable(f"cuSPARSE refuses every algorithm; {'; '.join(refusals)}")
    return prepared


def _bindings() -> Bindings:
    return Bindings(
        xp=cupy,
        handle=cupy.cuda.device.get_cusparse_handle(),
        create_dn_mat=cusparse.createDnMat,
        destroy_dn_mat=cusparse.destroyDnMat,
        destroy_sp_mat=cusparse.destroySpMat,
        sp_mm_buffer_size=cusparse.spMM_bufferSize,
        sp_mm=cusparse.spMM,
        error=cusparse.CuSparseError,
    )


def _describe_csr(matrix: csr.Compressed, storage: int) -> int:
    is_narrow = matrix.columns.dtype == np.int32
    index = cusparse.CUSPARSE_INDEX_32I if is_narrow else cusparse.CUSPARSE_INDEX_64I
    descriptor: int = cusparse.createCsr(
        *matrix.shape,
        len(matrix.values),
        matrix.offsets.data.ptr,
        matrix.columns.data.ptr,
        matrix.values.data.ptr,
        index,
        index,
        cusparse.CUSPARSE_INDEX_BASE_ZERO,
        storage,
    )
    return descriptor


def _nothing(matrix: csr.Compressed, problem: Problem) -> Prepared:
    """Multiply a matrix without weights: cuSPARSE wants some."""
    out = cupy.empty((problem.case.rows, problem.case.batch), matrix.values.dtype)

    def multiply() -> Array:
        out.fill(0)
        return out

    size = matrix.nbytes + problem.activations.nbytes + out.nbytes
    return Prepared(
        multiply=multiply,
        variant="zero fill",
        bytes=size,
        work=Work(phases=(Phase(moved=out.nbytes),)),
    )


def _by_cupy(matrix: csr.Compressed, problem: Problem) -> Callable[[], Array] | None:
    """Return what a user of CuPy writes, None where CuPy has no such sparse matrix."""
    if problem.case.dtype not in ("float32", "float64"):
        return None
    sparse = cupyx.scipy.sparse.csr_matrix(
        (matrix.values, matrix.columns, matrix.offsets), shape=matrix.shape
    )
    return lambda: sparse @ problem.activations
