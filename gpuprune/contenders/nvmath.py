"""Block sparse rows through cuSPARSE on a GPU, a block for each group (package nvmath-python).

CuPy has no way to these, and nvmath-python's own bindings have.
"""

import weakref
from contextlib import ExitStack
from math import ceil
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuprune.backends import Array, Backend
from gpuprune.contenders import NotApplicable, Prepared
from gpuprune.problem import Problem

# By dtype: cudaDataType of the matrices and of the sums, and the type of the scale factors.
_TYPES: dict[str, tuple[int, int, type]] = {
    "float64": (1, 1, np.float64),
    "float32": (0, 0, np.float32),
    "float16": (2, 0, np.float32),
    "bfloat16": (14, 0, np.float32),
}
# cusparseStatus_t of what a version or a GPU does not do: invalid value, architecture mismatch,
# not supported, insufficient resources.
_REFUSALS = (3, 4, 10, 11)


def prepare(problem: Problem, backend: Backend) -> list[Prepared]:
    """Return the product of the same blocks in each layout that this cuSPARSE takes."""
    case = problem.case
    if backend.name != "cuda":
        raise NotApplicable("nvmath-python multiplies on a GPU")
    if reason := backend.unsupported(case.dtype):
        raise NotApplicable(reason)
    if case.orientation == "row":
        height, width = 1, min(case.group, case.cols)
    else:
        height, width = min(case.group, case.rows), 1
    if case.rows % height or case.cols % width:
        raise NotApplicable(
            f"cuSPARSE wants whole blocks, and {height} x {width} does not divide "
            f"{case.rows} x {case.cols}"
        )
    if ceil(case.rows / height) * ceil(case.cols / width) > np.iinfo(np.int32).max:
        raise NotApplicable("it is called with indices of 32 bits, and this matrix needs more")
    try:
        from nvmath.bindings import cusparse
    except ImportError:
        raise NotApplicable("needs a package: pip install nvmath-python[cu12]") from None
    blocks = pack(problem.weights, problem.mask, height, width, backend.xp)
    if not len(blocks[0]):
        raise NotApplicable("cuSPARSE wants a block at least, and everything is removed")
    layouts = {
        "row-major": (problem.activations, "C"),
        "column-major": (problem.activations_fortran, "F"),
    }
    prepared, refusals = [], []
    for layout, (activations, order) in layouts.items():
        variant = f"BSR {height} x {width}, {layout}"
        try:
            product = _Product(cusparse, backend.xp, blocks, activations, order, case.dtype)
        except cusparse.cuSPARSEError as error:
            if error.status not in _REFUSALS:
                raise
            refusals.append(f"{variant}: {error}")
            continue
        arrays = (*blocks, activations, product.out)
        size = sum(int(array.nbytes) for array in arrays)
        prepared.append(Prepared(multiply=product, variant=variant, bytes=size))
    if not prepared:
        raise NotApplicable(f"cuSPARSE refuses such blocks; {'; '.join(refusals)}")
    return prepared


def pack(
    weights: Array, mask: Array, height: int, width: int, xp: Any
) -> tuple[Array, Array, Array]:
    """Pack the blocks of weights (rows, cols) of which the mask keeps any weight.

    Returns values (blocks, height, width), block columns (blocks) and where each block row starts.
    """
    rows, cols = weights.shape
    cut = (rows // height, height, cols // width, width)
    kept = mask.reshape(cut).any(axis=(1, 3))  # (block rows, block columns)
    row, column = xp.nonzero(kept)
    starts = xp.zeros(kept.shape[0] + 1, xp.int32)
    starts[1:] = xp.cumsum(xp.count_nonzero(kept, axis=1))
    values = weights.reshape(cut).transpose(0, 2, 1, 3)[row, column]
    return values, column.astype(xp.int32), starts


class _Product:
    """One layout, with descriptors, workspace and output of its own."""

    def __init__(
        self,
        cusparse: ModuleType,
        xp: Any,
        blocks: tuple[Array, Array, Array],
        activations: Array,
        order: str,
        dtype: str,
    ) -> None:
        values, columns, starts = blocks
        self._cusparse = cusparse
        self._storage, self._compute, scale = _TYPES[dtype]
        self._one: NDArray[Any] = np.ones(1, scale)
        self._zero: NDArray[Any] = np.zeros(1, scale)
        self._operands = (blocks, activations)  # descriptors hold but their addresses
        cols, batch = activations.shape
        self.out = xp.empty(
            (values.shape[1] * (starts.size - 1), batch), values.dtype, order=order
        )
        with ExitStack() as created:
            self._handle = cusparse.create()
            created.callback(cusparse.destroy, self._handle)
            cusparse.set_stream(self._handle, xp.cuda.get_current_stream().ptr)
            self._matrix = cusparse.create_bsr(
                starts.size - 1,
                cols // values.shape[2],
                *values.shape,
                *(starts.data.ptr, columns.data.ptr, values.data.ptr),
                *(cusparse.IndexType.INDEX_32I, cusparse.IndexType.INDEX_32I),
                cusparse.IndexBase.ZERO,
                self._storage,
                cusparse.Order.ROW,
            )
            created.callback(cusparse.destroy_sp_mat, self._matrix)
            self._activations = self._describe(activations, order)
            created.callback(cusparse.destroy_dn_mat, self._activations)
            self._result = self._describe(self.out, order)
            created.callback(cusparse.destroy_dn_mat, self._result)
            size = cusparse.sp_mm_buffer_size(*self._arguments())
            self._workspace = xp.empty(max(size, 1), xp.uint8)
            self()  # some refuse only here
            weakref.finalize(self, created.pop_all().close)

    def __call__(self) -> Array:
        self._cusparse.sp_mm(*self._arguments(), self._workspace.data.ptr)
        return self.out

    def _describe(self, values: Array, order: str) -> int:
        rows, cols = values.shape
        orders = self._cusparse.Order
        descriptor: int = self._cusparse.create_dn_mat(
            rows,
            cols,
            cols if order == "C" else rows,
            values.data.ptr,
            self._storage,
            orders.ROW if order == "C" else orders.COL,
        )
        return descriptor

    def _arguments(self) -> tuple[int, ...]:
        as_it_is = self._cusparse.Operation.NON_TRANSPOSE
        return (
            self._handle,
            as_it_is,
            as_it_is,
            self._one.ctypes.data,
            self._matrix,
            self._activations,
            self._zero.ctypes.data,
            self._result,
            self._compute,
            self._cusparse.SpMMAlg.DEFAULT,
        )
