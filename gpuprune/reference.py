"""Products in float64, and how far from them another may be: what every product is judged by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuprune.backends import Array, Backend
from gpuprune.records import ITEM_BYTES, Case

_BLOCK_ROWS = 512  # of the float64 weights, so that no second matrix is needed
_LARGEST_FACTOR = 8.0  # that the activations of a timed call are multiplied by, in 16 bits
_ROOM = 2.0  # between a product and the largest number, for the sums on the way to it


@dataclass(frozen=True, slots=True)
class Variation:
    """How the activations of a timed call differ from those of the first check."""

    order: NDArray[np.int64]  # (batch,), the columns in their new order
    factors: NDArray[np.float64]  # (batch,), what each of these is multiplied by


class Reference:
    """The products of a problem in float64, and the norms that its errors are measured by.

    `held` are the pruned weights (rows, cols) in the dtype of the case, `unit` the power of two
    that they are multiplied by so that their squares stay in range, `activations` two draws,
    each (cols, batch).
    """

    def __init__(
        self, case: Case, held: Array, unit: float, activations: Sequence[Array], backend: Backend
    ) -> None:
        xp = backend.xp
        rows, cols = held.shape
        self._case, self._unit = case, unit
        self._dtype = held.dtype
        operand = xp.concatenate(activations, axis=1).astype(xp.float64)
        products = xp.empty((rows, operand.shape[1]))  # (rows, 2 * batch)
        norms = xp.empty(rows)
        block = xp.empty((min(rows, _BLOCK_ROWS), cols))
        for start in range(0, rows, _BLOCK_ROWS):
            some = block[: min(_BLOCK_ROWS, rows - start)]
            xp.multiply(held[start : start + _BLOCK_ROWS], self._unit, out=some, dtype=xp.float64)
            xp.matmul(some, operand, out=products[start : start + _BLOCK_ROWS])
            norms[start : start + _BLOCK_ROWS] = xp.sqrt(xp.einsum("ij,ij->i", some, some))
        scale = norms[:, None] * xp.sqrt(xp.einsum("ij,ij->j", operand, operand))
        self._least = _least_product(case) * unit
        self._products = np.split(backend.numpy(products), 2, axis=1)  # by draw: (rows, batch)
        self._scales = np.split(backend.numpy(scale), 2, axis=1)  # by draw: (rows, batch)

    def error(self, product: NDArray[Any], draw: int, variation: Variation | None) -> float:
        """Compare a product (rows, batch) with that of a draw, 0 or 1: see `Trial.error`."""
        expected, scale = self._products[draw], self._scales[draw]
        if variation is not None:
            expected = expected[:, variation.order] * variation.factors
            scale = scale[:, variation.order] * np.abs(variation.factors)
        difference = np.abs(product.astype(np.float64) * self._unit - expected)
        if not np.isfinite(difference).all():
            return float("nan") if np.isnan(difference).any() else float("inf")
        empty = scale == 0
        if (difference[empty] != 0).any():
            return float("inf")
        # The dtype of the case and not the product's, which may be coarser than it should be.
        if product.dtype == self._dtype and product.dtype.itemsize == 2:
            stored = np.spacing(np.abs(product)).astype(np.float64) / 2 * self._unit
            difference = np.maximum(difference - stored, 0.0)
        held = np.maximum(scale, self._least)
        return float((difference / np.where(empty, 1.0, held)).max(initial=0.0))

    def out_of_range(self) -> str | None:
        """Say which weights give products that their dtype cannot hold, None if it can."""
        dtype, label = self._case.dtype, self._case.weights or "random"
        largest, _ = _range(dtype)
        most = (
            max(float(np.abs(products).max(initial=0.0)) for products in self._products)
            / self._unit
        )
        if most * _ROOM * (_LARGEST_FACTOR if ITEM_BYTES[dtype] <= 2 else 1.0) > largest:
            return f"{label} gives products near {dtype}'s largest number, {largest:.1e}"
        scale = max(float(scales.max(initial=0.0)) for scales in self._scales)
        if 0 < scale < self._least:
            return (
                f"{label} gives products near {dtype}'s smallest numbers, where no error is known "
                "from rounding"
            )
        return None


def _range(dtype: str) -> tuple[float, float]:
    """Return the largest number of a dtype, and the smallest with all its digits."""
    limits = np.finfo("float32" if dtype == "bfloat16" else dtype)  # the same range
    return float(limits.max), float(limits.smallest_normal)


def _least_product(case: Case) -> float:
    """Return the product from which on rounding to the dtype's smallest numbers does not show.

    Each of the multiplications may round to one of these; 16-bit types round but the sum.
    """
    _, smallest = _range(case.dtype)
    return smallest if ITEM_BYTES[case.dtype] <= 2 else case.cols * smallest
