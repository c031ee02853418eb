import math

import pytest

from gpuprune.stats import interquartile_range, relative_spread, relative_standard_error


def test_interquartile_range_of_five_numbers():
    assert interquartile_range([1, 2, 3, 4, 100]) == 2


def test_one_sample_has_no_range_and_no_known_error():
    assert interquartile_range([3.0]) == 0.0
    assert math.isinf(relative_standard_error([3.0]))


def test_spread_is_the_range_over_the_median():
    assert relative_spread([1, 2, 3, 4, 100]) == pytest.approx(2 / 3)


def test_standard_error_shrinks_with_the_root_of_the_count():
    few, many = [1.0, 3.0] * 2, [1.0, 3.0] * 200
    assert relative_standard_error(few) / relative_standard_error(many) == pytest.approx(
        11.5, 0.01
    )
