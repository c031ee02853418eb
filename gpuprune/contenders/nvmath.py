"""Blocks through cuSPARSE on a GPU: BSR and Blocked-ELL (package nvmath-python).

CuPy has no way to these, and nvmath-python's own bindings have.
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from math import lcm
from types import ModuleType
from typing import Any

from gpuprune import bsr
from gpuprune.backends import Array, Backend
from gpuprune.backends.cuda.cusparse import Bindings, Order, Product, Refused
from gpuprune.contenders import NotApplicable, Prepared
from gpuprune.problem import Problem
from gpuprune.roofline import Phase, Work, operations


def prepare(problem: Problem, backend: Backend) -> list[Prepared]:
    """Return the product in each format and layout that this cuSPARSE takes."""
    case, xp = problem.case, backend.xp
    if backend.name != "cuda":
        raise NotApplicable("nvmath-python multiplies on a GPU")
    if reason := backend.unsupported(case.dtype):
        raise NotApplicable(reason)
    height, width = bsr.block_shape(case)
    if reason := bsr.too_ragged(case, "cuSPARSE", height, width):
        raise NotApplicable(reason)
    if not bsr.fits_int32(case.rows, case.cols, height, width):
        raise NotApplicable("it is called with indices of 32 bits, and this matrix needs more")
    try:
        from nvmath.bindings import cusparse
    except ImportError:
        raise NotApplicable("needs a package: pip install nvmath-python[cu12]") from None
    if not problem.nnz:
        raise NotApplicable("cuSPARSE wants a block at least, and everything is removed")
    formats = [_block_rows(cusparse, problem, height, width, xp)]
    if ell := pack_ell(problem.weights, problem.mask, lcm(height, width), xp):
        formats.append(_blocked_ell(cusparse, problem, *ell))
    bindings = _bindings(cusparse, xp)
    layouts: tuple[tuple[str, Order, Array], ...] = (
        ("row-major", "C", problem.activations),
        ("column-major", "F", problem.activations_fortran),
    )
    prepared, refusals = [], []
    for packed in formats:
        for layout, order, activations in layouts:
            try:
                product = Product(
                    bindings, packed.describe, packed.algorithm, case.rows, activations, order
                )
            except Refused as reason:
                refusals.append(f"{packed.name}, {layout}: {reason}")
                continue
            arrays = (*packed.arrays, activations, product.out)
            size = sum(int(array.nbytes) for array in arrays)
            prepared.append(
                Prepared(
                    multiply=product,
                    variant=f"{packed.name}, {layout}",
                    bytes=size,
                    work=_work(problem, packed, size),
                )
            )
    if not prepared:
        raise NotApplicable(f"cuSPARSE refuses such blocks; {'; '.join(refusals)}")
    return prepared


def pack_ell(weights: Array, mask: Array, side: int, xp: Any) -> tuple[Array, Array] | None:
    """Pack weights (rows, cols) in square blocks, as many in each block row.

    Returns values (rows, side * width) and block columns (block rows, width), where width is the
    most blocks that the mask keeps in a block row; others have blocks of zeros beside theirs.
    None where blocks do not divide the matrix, or some block row is kept whole: that is dense.
    """
    rows, cols = weights.shape
    if rows % side or cols % side:
        return None
    cut = (rows // side, side, cols // side, side)
    kept = mask.reshape(cut).any(axis=(1, 3))  # (block rows, block columns)
    width = int(xp.count_nonzero(kept, axis=1).max())
    if width == kept.shape[1]:
        return None
    columns = xp.sort(xp.argsort(~kept, axis=1)[:, :width], axis=1)  # of the kept ones, and more
    row = xp.arange(kept.shape[0])[:, None]
    blocks = weights.reshape(cut).transpose(0, 2, 1, 3)[row, columns]
    values = blocks.transpose(0, 2, 1, 3).reshape(rows, side * width)
    return xp.ascontiguousarray(values), columns.astype(xp.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Packed:
    """The weights in a format of cuSPARSE."""

    name: str
    arrays: tuple[Array, ...]
    describe: Callable[[int], int]  # makes the descriptor of values of a cudaDataType
    algorithm: int
    height: int  # rows of a block, which share what they gather
    stored: int  # weights, zeros among them


def _block_rows(
    cusparse: ModuleType, problem: Problem, height: int, width: int, xp: Any
) -> _Packed:
    blocks = bsr.pack(problem.weights, problem.mask, height, width, xp)
    values, columns, starts = blocks

    def describe(storage: int) -> int:
        descriptor: int = cusparse.create_bsr(
            problem.case.rows // height,
            problem.case.cols // width,
            *values.shape,
            *(starts.data.ptr, columns.data.ptr, values.data.ptr),
            *(cusparse.IndexType.INDEX_32I, cusparse.IndexType.INDEX_32I),
            cusparse.IndexBase.ZERO,
            storage,
            cusparse.Order.ROW,
        )
        return descriptor

    return _Packed(
        name=f"BSR {height} x {width}",
        arrays=blocks,
        describe=describe,
        algorithm=cusparse.SpMMAlg.DEFAULT,
        height=height,
        stored=values.size,
    )


def _blocked_ell(cusparse: ModuleType, problem: Problem, values: Array, columns: Array) -> _Packed:
    side = problem.case.rows // columns.shape[0]

    def describe(storage: int) -> int:
        descriptor: int = cusparse.create_blocked_ell(
            *problem.weights.shape,
            side,
            values.shape[1],
            *(columns.data.ptr, values.data.ptr),
            cusparse.IndexType.INDEX_32I,
            cusparse.IndexBase.ZERO,
            storage,
        )
        return descriptor

    return _Packed(
        name=f"Blocked-ELL {side} x {side}",
        arrays=(values, columns),
        describe=describe,
        algorithm=cusparse.SpMMAlg.BLOCKED_ELL_ALG1,
        height=side,
        stored=values.size,
    )


def _work(problem: Problem, packed: _Packed, size: int) -> Work:
    """Account for what any product by blocks does: rows of activations for each block."""
    phase = Phase(
        moved=size,
        flops=operations(problem.case, packed.stored),
        gathered=packed.stored / packed.height * problem.case.batch * problem.weights.itemsize,
        gathered_from=problem.activations.nbytes,
    )
    return Work(phases=(phase,))


def _bindings(cusparse: ModuleType, xp: Any) -> Bindings:
    """Open a handle for the current stream, which is destroyed with the last product."""
    handle = cusparse.create()
    bindings = Bindings(
        xp=xp,
        handle=handle,
        create_dn_mat=cusparse.create_dn_mat,
        destroy_dn_mat=cusparse.destroy_dn_mat,
        destroy_sp_mat=cusparse.destroy_sp_mat,
        sp_mm_buffer_size=cusparse.sp_mm_buffer_size,
        sp_mm=cusparse.sp_mm,
        error=cusparse.cuSPARSEError,
    )
    weakref.finalize(bindings, cusparse.destroy, handle)
    cusparse.set_stream(handle, xp.cuda.get_current_stream().ptr)
    return bindings
