"""Compressed sparse rows, packed by NumPy (or CuPy) and by all threads of the CPU."""

import numpy as np
import pytest

from gpuprune import csr
from gpuprune.csr.host import compress
from gpuprune.records import Case
from gpuprune.roofline import Phase

WEIGHTS = np.array([[0, 2, 0, 3], [0, 0, 0, 0], [4, 0, 0, 6]], np.float32)
MASK = np.array([[1, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 1]], bool)  # an exact zero is kept


def lists(packed):
    return packed.values.tolist(), packed.columns.tolist(), packed.offsets.tolist()


@pytest.mark.parametrize("packed", [csr.compress(WEIGHTS, MASK, np), compress(WEIGHTS, MASK, 5)])
def test_rows_hold_what_the_mask_keeps_exact_zeros_among_it(packed):
    assert lists(packed) == ([0, 2, 3, 4, 6], [0, 1, 3, 0, 3], [0, 3, 3, 5])
    assert packed.shape == (3, 4)
    assert (packed.values.dtype, packed.columns.dtype, packed.offsets.dtype) == (
        np.float32, np.int32, np.int32,
    )  # fmt: skip
    assert packed.nbytes == 4 * (5 + 5 + 4)


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (64, 40), (33, 129)])
@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
def test_both_ways_of_packing_agree(shape, rate):
    random = np.random.default_rng(0)
    mask = random.random(shape) >= rate
    weights = random.standard_normal(shape) * mask
    expected = csr.compress(weights, mask, np)
    found = compress(weights, mask, int(np.count_nonzero(mask)))
    assert lists(found) == lists(expected)
    assert found.columns.dtype == expected.columns.dtype == np.int32


def test_indices_are_as_wide_as_asked_or_needed():
    assert csr.compress(WEIGHTS, MASK, np, index=np.int64).columns.dtype == np.int64
    assert csr.index_type(1 << 31, (4, 4)) is np.int64
    assert csr.index_type((1 << 31) - 1, (4, 4)) is np.int32


def test_a_product_reads_a_row_of_activations_a_weight():
    case = Case(rows=3, cols=4, batch=10, rate=0.5, group=1, dtype="float64")
    assert csr.multiplying(case, 5, moved=700, kept=80.0) == Phase(
        moved=700, flops=100, gathered=5 * 10 * 8, gathered_from=4 * 10 * 8, kept=80.0
    )
