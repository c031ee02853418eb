"""Dense products through cuBLAS, at a precision that is stated and not inherited.

CuPy's own `matmul` takes its precision from the process (`CUPY_TF32`, read once), so the same
call can be float32 here and TF32 there.
"""

from collections.abc import Callable
from typing import Any

import cupy
import ml_dtypes
import numpy as np
from cupy.cuda import runtime
from cupy_backends.cuda.libs import cublas
from numpy.typing import NDArray

from gpuprune.backends import Array

# By precision: storage, compute type, type of the scale factors. 16-bit sums are float32's.
_ARITHMETIC: dict[str, tuple[int, int, type]] = {
    "float64": (runtime.CUDA_R_64F, cublas.CUBLAS_COMPUTE_64F, np.float64),
    "float32": (runtime.CUDA_R_32F, cublas.CUBLAS_COMPUTE_32F, np.float32),
    "tf32": (runtime.CUDA_R_32F, cublas.CUBLAS_COMPUTE_32F_FAST_TF32, np.float32),
    "float16": (runtime.CUDA_R_16F, cublas.CUBLAS_COMPUTE_32F, np.float32),
    "bfloat16": (runtime.CUDA_R_16BF, cublas.CUBLAS_COMPUTE_32F, np.float32),
}
_SINCE = {"tf32": "8.0", "bfloat16": "8.0"}  # compute capability


def lacking(precision: str) -> str | None:
    """Say why this GPU cannot multiply in a precision, None if it can."""
    digits = cupy.cuda.Device().compute_capability
    capability = f"{digits[:-1]}.{digits[-1]}"
    least = _SINCE.get(precision, "0.0")
    if float(capability) < float(least):
        return f"{precision} came with compute capability {least}, and this GPU has {capability}"
    if precision == "bfloat16":
        try:
            cupy.empty(0, ml_dtypes.bfloat16)
        except ValueError:
            return f"CuPy holds no bfloat16 beside NumPy {np.__version__}, only from 2.1.2 on"
    return None


def multiply_by_layout(
    weights: Array, activations: Array, activations_fortran: Array, precision: str
) -> dict[str, Callable[[], Array]]:
    """Return the product of weights (rows, cols) and activations (cols, batch), by their layout.

    Each function writes its own output (rows, batch), which has the layout of its activations:
    where rows of the batch are not aligned, cuBLAS has faster kernels for columns.
    """
    gemm = _Gemm(precision)
    rows, cols = weights.shape
    batch = activations.shape[1]
    by_rows = cupy.empty((rows, batch), weights.dtype)
    by_columns = cupy.empty((rows, batch), weights.dtype, order="F")

    # cuBLAS reads columns: what lies in rows is its own transpose to it. So the first product is
    # out.T = activations.T @ weights.T as they lie, the second transposes the weights back.
    def multiply_rows() -> Array:
        gemm("N", batch, rows, cols, activations, batch, weights, cols, by_rows)
        return by_rows

    def multiply_columns() -> Array:
        gemm("T", rows, batch, cols, weights, cols, activations_fortran, cols, by_columns)
        return by_columns

    return {"row-major": multiply_rows, "column-major": multiply_columns}


def version() -> str:
    """Return the version of cuBLAS."""
    number = cublas.getVersion(cupy.cuda.get_cublas_handle())
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


class _Gemm:
    """gemmEx with its precision bound: out (m, n) = op(a) @ b in column-major order, k inside."""

    def __init__(self, precision: str) -> None:
        self._storage, self._compute, scale = _ARITHMETIC[precision]
        self._handle = cupy.cuda.get_cublas_handle()
        self._one: NDArray[Any] = np.ones(1, scale)
        self._zero: NDArray[Any] = np.zeros(1, scale)

    def __call__(
        self, op: str, m: int, n: int, k: int, a: Array, lda: int, b: Array, ldb: int, out: Array
    ) -> None:
        cublas.gemmEx(
            self._handle,
            cublas.CUBLAS_OP_T if op == "T" else cublas.CUBLAS_OP_N,
            cublas.CUBLAS_OP_N,
            *(m, n, k),
            self._one.ctypes.data,
            *(a.data.ptr, self._storage, lda),
            *(b.data.ptr, self._storage, ldb),
            self._zero.ctypes.data,
            *(out.data.ptr, self._storage, m),
            self._compute,
            cublas.CUBLAS_GEMM_DEFAULT,
        )
