"""The part of nvmath-python's bindings to cuSPARSE that is called, in NumPy on bare addresses.

Formats are read as NVIDIA documents them, so that what is passed must describe the right product.
"""

import ctypes
from dataclasses import dataclass
from enum import IntEnum
from types import SimpleNamespace

import ml_dtypes
import numpy as np

STORAGE = {0: np.float32, 1: np.float64, 2: np.float16, 14: ml_dtypes.bfloat16}
SCALE = {0: np.float32, 1: np.float64}


class IndexType(IntEnum):
    INDEX_32I = 2


class IndexBase(IntEnum):
    ZERO = 0


class Order(IntEnum):
    COL = 1
    ROW = 2


class Operation(IntEnum):
    NON_TRANSPOSE = 0


class SpMMAlg(IntEnum):
    DEFAULT = 0
    BLOCKED_ELL_ALG1 = 13


class cuSPARSEError(Exception):  # noqa: N801
    """As the bindings raise it."""

    def __init__(self, status):
        super().__init__(f"status {status}")
        self.status = status


@dataclass
class Matrix:
    read: object  # returns what it holds now, dense
    write: object = None
    algorithms: tuple = ()


class Library:
    """Descriptors by number, as handles are; all must be destroyed in the end."""

    def __init__(self):
        self.live = {}
        self._next = 1

    IndexType, IndexBase, Order, Operation, SpMMAlg = (
        IndexType,
        IndexBase,
        Order,
        Operation,
        SpMMAlg,
    )
    cuSPARSEError = cuSPARSEError  # noqa: N815

    def create(self):
        return self._keep("handle")

    def destroy(self, handle):
        assert self.live.pop(handle) == "handle"

    def set_stream(self, handle, stream_id):
        assert self.live[handle] == "handle"
        assert stream_id == 7

    def create_bsr(
        self, brows, bcols, bnnz, row_block_size, col_block_size, bsr_row_offsets, bsr_col_ind,
        bsr_values, bsr_row_offsets_type, bsr_col_ind_type, idx_base, value_type, order,
    ):  # fmt: skip
        assert (bsr_row_offsets_type, bsr_col_ind_type, idx_base) == (2, 2, 0)
        assert order == Order.ROW

        def read():
            starts = at(bsr_row_offsets, np.int32, brows + 1)
            columns = at(bsr_col_ind, np.int32, bnnz)
            shape = (bnnz, row_block_size, col_block_size)
            values = at(bsr_values, STORAGE[value_type], *shape)
            dense = np.zeros((brows, bcols, row_block_size, col_block_size), np.float64)
            dense[np.repeat(np.arange(brows), np.diff(starts)), columns] = values
            return together(dense)

        return self._keep(Matrix(read, algorithms=(SpMMAlg.DEFAULT,)))

    def create_blocked_ell(
        self, rows, cols, ell_block_size, ell_cols, ell_col_ind, ell_value, ell_idx_type, idx_base,
        value_type,
    ):  # fmt: skip
        assert (ell_idx_type, idx_base) == (2, 0)
        side, width = ell_block_size, ell_cols // ell_block_size
        if rows % side or cols % side or ell_cols % side:
            raise cuSPARSEError(3)

        def read():
            columns = at(ell_col_ind, np.int32, rows // side, width)
            values = at(ell_value, STORAGE[value_type], rows // side, side, width, side)
            dense = np.zeros((rows // side, cols // side, side, side), np.float64)
            for slot in range(width):  # added: no column may stand twice with values
                dense[np.arange(rows // side), columns[:, slot]] += values[:, :, slot]
            return together(dense)

        return self._keep(Matrix(read, algorithms=(SpMMAlg.BLOCKED_ELL_ALG1,)))

    def destroy_sp_mat(self, sp_mat_descr):
        assert self.live.pop(sp_mat_descr).algorithms

    def create_dn_mat(self, rows, cols, ld, values, value_type, order):
        def view():
            if order == Order.ROW:
                return at(values, STORAGE[value_type], rows, ld)[:, :cols]
            return at(values, STORAGE[value_type], cols, ld)[:, :rows].T

        def write(product):
            view()[...] = product

        return self._keep(Matrix(lambda: view().astype(np.float64), write))

    def destroy_dn_mat(self, dn_mat_descr):
        assert self.live.pop(dn_mat_descr).write

    def sp_mm_buffer_size(
        self, handle, op_a, op_b, alpha, mat_a, mat_b, beta, mat_c, compute_type, alg
    ):
        assert (op_a, op_b) == (0, 0)
        assert at(alpha, SCALE[compute_type], 1)[0] == 1
        assert at(beta, SCALE[compute_type], 1)[0] == 0
        assert alg in self.live[mat_a].algorithms
        return 64

    def sp_mm(
        self, handle, op_a, op_b, alpha, mat_a, mat_b, beta, mat_c, compute_type, alg,
        external_buffer,
    ):  # fmt: skip
        self.sp_mm_buffer_size(
            handle, op_a, op_b, alpha, mat_a, mat_b, beta, mat_c, compute_type, alg
        )
        at(external_buffer, np.uint8, 64)[:] = 0xAA
        self.live[mat_c].write(self.live[mat_a].read() @ self.live[mat_b].read())

    def _keep(self, what):
        self.live[self._next] = what
        self._next += 1
        return self._next - 1


def at(address, dtype, *shape):
    """Read or write what lies at an address."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), dtype).reshape(shape)


def together(blocks):
    """Lay blocks (block rows, block columns, height, width) out as a matrix."""
    rows, cols, height, width = blocks.shape
    return blocks.transpose(0, 2, 1, 3).reshape(rows * height, cols * width)


class DeviceArray(np.ndarray):
    """An array whose `data` has an address, as CuPy's."""

    @property
    def data(self):
        return SimpleNamespace(ptr=self.ctypes.data)


class ArrayModule:
    """NumPy in CuPy's place: what it returns are device arrays."""

    cuda = SimpleNamespace(get_current_stream=lambda: SimpleNamespace(ptr=7))

    def __getattr__(self, name):
        found = getattr(np, name)
        if isinstance(found, type):
            return found
        return lambda *arguments, **options: on_device(found(*arguments, **options))


def on_device(values):
    """View arrays as device arrays."""
    if isinstance(values, tuple):
        return tuple(map(on_device, values))
    return values.view(DeviceArray) if isinstance(values, np.ndarray) else values
