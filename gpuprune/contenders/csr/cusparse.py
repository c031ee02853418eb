"""CSR on a GPU: cuSPARSE's product in two layouts and by every algorithm it has for CSR.

CuPy's `csr @ dense` makes descriptors and workspace at every call, copies the dense operand to
column-major order and always takes the default algorithm. Here all of that is made beforehand,
and what CuPy does is timed apart, as the call.
"""

import weakref
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Literal

import cupy
import cupyx.scipy.sparse
import numpy as np
from cupy.cuda import runtime
from cupy_backends.cuda.libs import cusparse
from numpy.typing import NDArray

from gpuprune import csr
from gpuprune.backends import Array, Backend
from gpuprune.contenders import NotApplicable, Prepared
from gpuprune.problem import Problem
from gpuprune.roofline import Phase, Work

_Order = Literal["C", "F"]
_ALGORITHMS = {"default": 0, "ALG1": 4, "ALG2": 6, "ALG3": 12}  # cusparseSpMMAlg_t

# By dtype: cudaDataType of the matrices and of the sums, and the type of the scale factors.
_TYPES: dict[str, tuple[int, int, type]] = {
    "float64": (runtime.CUDA_R_64F, runtime.CUDA_R_64F, np.float64),
    "float32": (runtime.CUDA_R_32F, runtime.CUDA_R_32F, np.float32),
    "float16": (runtime.CUDA_R_16F, runtime.CUDA_R_32F, np.float32),
    "bfloat16": (runtime.CUDA_R_16BF, runtime.CUDA_R_32F, np.float32),
}

# cusparseStatus_t of what a version or a GPU does not do: invalid value, architecture mismatch,
# not supported, insufficient resources.
_REFUSALS = (3, 4, 10, 11)


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
    layouts: tuple[tuple[str, _Order, Array], ...] = (
        ("row-major", "C", problem.activations),
        ("column-major", "F", problem.activations_fortran),
    )
    prepared, refusals = [], []
    for layout, order, activations in layouts:
        for name, algorithm in _ALGORITHMS.items():
            variant = f"{layout}, {name}"
            try:
                product = _Product(matrix, activations, order, problem.case.dtype, algorithm)
            except cusparse.CuSparseError as error:
                if error.status not in _REFUSALS:
                    raise
                refusals.append(f"{variant}: {error}")
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


class _Product:
    """One algorithm on one layout, with descriptors, workspace and output of its own.

    cuSPARSE keeps what it learns of a matrix with the descriptor; and were the output shared, an
    algorithm that does nothing would be found right by what another had left there.
    """

    def __init__(
        self, matrix: csr.Compressed, activations: Array, order: _Order, dtype: str, algorithm: int
    ) -> None:
        storage, self._compute, scale = _TYPES[dtype]
        self._algorithm = algorithm
        self._handle = cupy.cuda.device.get_cusparse_handle()
        self._one: NDArray[Any] = np.ones(1, scale)
        self._zero: NDArray[Any] = np.zeros(1, scale)
        self._operands = (matrix, activations)  # descriptors hold but their addresses
        shape = (matrix.shape[0], activations.shape[1])
        self.out = cupy.empty(shape, matrix.values.dtype, order=order)  # (rows, batch)
        with ExitStack() as created:
            self._matrix = _describe_csr(matrix, storage)
            created.callback(cusparse.destroySpMat, self._matrix)
            self._activations = _describe_dense(activations, order, storage)
            created.callback(cusparse.destroyDnMat, self._activations)
            self._result = _describe_dense(self.out, order, storage)
            created.callback(cusparse.destroyDnMat, self._result)
            size = cusparse.spMM_bufferSize(*self._arguments())
            self._workspace = cupy.empty(max(size, 1), cupy.uint8)
            self()  # some refuse only here
            weakref.finalize(self, created.pop_all().close)

    def __call__(self) -> Array:
        cusparse.spMM(*self._arguments(), self._workspace.data.ptr)
        return self.out

    def _arguments(self) -> tuple[int, ...]:
        return (
            self._handle,
            cusparse.CUSPARSE_OPERATION_NON_TRANSPOSE,
            cusparse.CUSPARSE_OPERATION_NON_TRANSPOSE,
            self._one.ctypes.data,
            self._matrix,
            self._activations,
            self._zero.ctypes.data,
            self._result,
            self._compute,
            self._algorithm,
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


def _describe_dense(values: Array, order: _Order, storage: int) -> int:
    rows, cols = values.shape
    is_by_rows = order == "C"
    descriptor: int = cusparse.createDnMat(
        rows,
        cols,
        cols if is_by_rows else rows,
        values.data.ptr,
        storage,
        cusparse.CUSPARSE_ORDER_ROW if is_by_rows else cusparse.CUSPARSE_ORDER_COL,
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
