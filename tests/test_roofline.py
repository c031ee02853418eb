from dataclasses import replace

import pytest

from gpuprune.records import Case
from gpuprune.roofline import roofline
from tests.test_records import CALIBRATION

CASE = Case(rows=1000, cols=1000, batch=10, rate=0.9, group=1)


def test_a_sparse_product_is_bound_by_the_bytes_it_cannot_avoid():
    line = roofline(CASE, 100_000, CALIBRATION, cache="cold")
    assert line.seconds == pytest.approx((100_000 + 2 * 10_000) * 4 / 1e10)
    assert line.bound == "memory"


def test_a_wide_batch_is_bound_by_arithmetic():
    line = roofline(replace(CASE, batch=1000), 10**6, CALIBRATION, cache="cold")
    assert line.seconds == pytest.approx(2 * 10**6 * 1000 / 1e11)
    assert line.bound == "arithmetic"


def test_warm_operands_that_fit_move_at_the_rate_of_the_cache():
    line = roofline(CASE, 10_000, CALIBRATION, cache="warm")
    assert line.seconds == pytest.approx((10_000 + 2 * 10_000) * 4 / 4e10)
    assert line.bound == "cache"
    too_large = roofline(replace(CASE, batch=1), 10**6, CALIBRATION, cache="warm")
    assert too_large.bound == "memory"


def test_without_a_measured_rate_there_is_no_bound():
    assert roofline(replace(CASE, dtype="float64"), 1, CALIBRATION, cache="cold") is None
