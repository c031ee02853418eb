"""Products of a sparse and a dense matrix through cuSPARSE, by whichever bindings it is called.

CuPy's bindings name its functions otherwise than nvmath-python's, which have more formats.
"""

import weakref
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gpuprune.backends import Array

Order = Literal["C", "F"]

# By dtype: cudaDataType of the matrices and of the sums, and the type of the scale factors.
_TYPES: dict[str, tuple[int, int, type]] = {
    "float64": (1, 1, np.float64),
    "float32": (0, 0, np.float32),
    "float16": (2, 0, np.float32),
    "bfloat16": (14, 0, np.float32),
}
_ORDERS: dict[Order, int] = {"F": 1, "C": 2}  # cusparseOrder_t
_AS_IT_IS = 0  # cusparseOperation_t

# cusparseStatus_t of what a version or a GPU does not do: invalid value, architecture mismatch,
# not supported, insufficient resources.
_REFUSALS = (3, 4, 10, 11)


class Refused(Exception):
    """This cuSPARSE does not do that, or not on this GPU; the text is its reason."""


@dataclass(frozen=True, kw_only=True)
class Bindings:
    """The functions of cuSPARSE that a product takes, and a handle to call them with."""

    xp: Any  # CuPy
    handle: int
    create_dn_mat: Callable[..., int]
    destroy_dn_mat: Callable[[int], None]
    destroy_sp_mat: Callable[[int], None]
    sp_mm_buffer_size: Callable[..., int]
    sp_mm: Callable[..., None]
    error: Any  # what they raise, which has a `status`


class Product:
    """One algorithm on one layout, with descriptors, workspace and output of its own.

    cuSPARSE keeps what it learns of a matrix with the descriptor; and were the output shared, an
    algorithm that does nothing would be found right by what another had left there.
    """

    def __init__(
        self,
        bindings: Bindings,
        describe: Callable[[int], int],
        algorithm: int,
        rows: int,
        activations: Array,
        order: Order,
    ) -> None:
        """Take what makes the descriptor of the weights (rows, cols), of a cudaDataType.

        `activations` (cols, batch) and the output (rows, batch) are in the order given. Raises
        Refused.
        """
        xp, batch = bindings.xp, activations.shape[1]
        storage, self._compute, scale = _TYPES[str(activations.dtype)]
        self._bindings = bindings
        self._algorithm = algorithm
        self._one: NDArray[Any] = np.ones(1, scale)
        self._zero: NDArray[Any] = np.zeros(1, scale)
        self._operands = (describe, activations)  # descriptors hold but their addresses
        self.out = xp.empty((rows, batch), activations.dtype, order=order)
        try:
            self._create(describe, storage, order)
        except bindings.error as error:
            if error.status in _REFUSALS:
                raise Refused(str(error)) from error
            raise

    def __call__(self) -> Array:
        """Multiply the activations as they are now."""
        self._bindings.sp_mm(*self._arguments(), self._workspace.data.ptr)
        return self.out

    def _create(self, describe: Callable[[int], int], storage: int, order: Order) -> None:
        bindings = self._bindings
        _, activations = self._operands
        with ExitStack() as created:
            self._matrix = describe(storage)
            created.callback(bindings.destroy_sp_mat, self._matrix)
            self._activations = _describe_dense(bindings, activations, order, storage)
            created.callback(bindings.destroy_dn_mat, self._activations)
            self._result = _describe_dense(bindings, self.out, order, storage)
            created.callback(bindings.destroy_dn_mat, self._result)
            size = bindings.sp_mm_buffer_size(*self._arguments())
            self._workspace = bindings.xp.empty(max(size, 1), bindings.xp.uint8)
            self()  # some refuse only here
            weakref.finalize(self, created.pop_all().close)

    def _arguments(self) -> tuple[int, ...]:
        return (
            self._bindings.handle,
            _AS_IT_IS,
            _AS_IT_IS,
            self._one.ctypes.data,
            self._matrix,
            self._activations,
            self._zero.ctypes.data,
            self._result,
            self._compute,
            self._algorithm,
        )


def _describe_dense(bindings: Bindings, values: Array, order: Order, storage: int) -> int:
    rows, cols = values.shape
    leading = cols if order == "C" else rows
    return bindings.create_dn_mat(rows, cols, leading, values.data.ptr, storage, _ORDERS[order])
