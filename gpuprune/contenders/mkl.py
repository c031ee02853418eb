"""Compressed sparse rows through Intel's MKL, a handle optimized beforehand (sparse-dot-mkl)."""

import ctypes
import os
import weakref
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from gpuprune import csr
from gpuprune.backends import Backend
from gpuprune.contenders import NotApplicable, Prepared
from gpuprune.csr.host import compress
from gpuprune.problem import Problem
from gpuprune.roofline import Work

# Constants of mkl_spblas.h.
_ZERO_BASED, _NOT_TRANSPOSED, _GENERAL, _ROW_MAJOR = 0, 10, 20, 101
_EXPECTED_CALLS = 1000  # enough for MKL to optimize as much as it can


def prepare(problem: Problem, backend: Backend) -> list[Prepared]:
    """Make MKL's handle of the kept weights."""
    case = problem.case
    if backend.name == "cuda":
        raise NotApplicable("MKL multiplies on the CPU")
    if reason := backend.unsupported(case.dtype):
        raise NotApplicable(reason)
    if max(problem.nnz, case.rows, case.cols) > np.iinfo(np.int32).max:
        raise NotApplicable("MKL is called with indices of 32 bits, and this matrix needs more")
    library, dot = _load()
    library.MKL_Set_Num_Threads(backend.threads)
    packed = compress(problem.weights, problem.mask, problem.nnz)
    matrix = _Matrix(library, packed, case.batch)
    arrays = (packed.values, packed.columns, packed.offsets)
    sparse = scipy.sparse.csr_matrix(arrays, shape=packed.shape)
    out = np.empty((case.rows, case.batch), packed.values.dtype)
    size = packed.nbytes + problem.activations.nbytes + out.nbytes
    phase = csr.multiplying(case, problem.nnz, moved=size)
    return [
        Prepared(
            multiply=lambda: matrix.multiply(problem.activations, out),
            bytes=size,
            call=lambda: dot(sparse, problem.activations),
            work=Work(phases=(phase,), starts=backend.threads != 1),
        )
    ]


class _Matrix:
    """A sparse matrix as MKL's inspector and executor know it."""

    def __init__(self, library: Any, packed: csr.Compressed, batch: int) -> None:
        values, offsets = packed.values, packed.offsets
        letter = "s" if values.dtype == np.float32 else "d"
        scalar = ctypes.c_float if letter == "s" else ctypes.c_double
        self._packed = packed  # MKL points into its arrays
        self._handle = ctypes.c_void_p()
        self._product = getattr(library, f"mkl_sparse_{letter}_mm")
        self._one, self._zero = scalar(1), scalar(0)
        self._description = _Description(_GENERAL, 0, 0)
        create = getattr(library, f"mkl_sparse_{letter}_create_csr")
        arrays = map(_data, (offsets, offsets[1:], packed.columns, values))  # row starts and ends
        _check(create(ctypes.byref(self._handle), _ZERO_BASED, *packed.shape, *arrays))
        weakref.finalize(self, library.mkl_sparse_destroy, self._handle)
        hint = (_NOT_TRANSPOSED, self._description, _ROW_MAJOR, batch, _EXPECTED_CALLS)
        _check(library.mkl_sparse_set_mm_hint(self._handle, *hint))
        _check(library.mkl_sparse_optimize(self._handle))

    def multiply(self, activations: NDArray[Any], out: NDArray[Any]) -> NDArray[Any]:
        batch = out.shape[1]
        _check(
            self._product(
                _NOT_TRANSPOSED,
                self._one,
                self._handle,
                self._description,
                _ROW_MAJOR,
                _data(activations),
                batch,
                batch,
                self._zero,
                _data(out),
                batch,
            )
        )
        return out


class _Description(ctypes.Structure):
    """MKL's `matrix_descr`."""

    _fields_ = (("type", ctypes.c_int), ("mode", ctypes.c_int), ("diagonal", ctypes.c_int))


def _load() -> tuple[Any, Callable[..., Any]]:
    """Return MKL itself, and what a user of sparse-dot-mkl calls.

    The wheel of MKL lies where no loader looks, so sparse-dot-mkl is told where.
    """
    try:
        if "MKL_RT" not in os.environ:
            os.environ["MKL_RT"] = next(
                str(Path(file.locate()).resolve())
                for file in metadata.files("mkl") or []
                if file.name.startswith("libmkl_rt.")
            )
        import sparse_dot_mkl

        return ctypes.CDLL(os.environ["MKL_RT"]), sparse_dot_mkl.dot_product_mkl
    except (ImportError, OSError, StopIteration):  # a missing package is an ImportError, too
        raise NotApplicable("needs two packages: pip install sparse-dot-mkl mkl") from None


def _data(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _check(status: int) -> None:
    if status:
        raise RuntimeError(f"MKL returned status {status}")
