from dataclasses import replace

import pytest

from gpuprune.analysis import (
    BreakEven,
    best_speedups,
    break_even,
    break_evens,
    by_layer,
    pays_after,
    speedups,
)
from gpuprune.records import Case, Result, Timing


def case(rate, group, rows=8):
    return Case(rows=rows, cols=8, batch=2, rate=rate, group=group)


def result(of, contender, seconds, status="ok"):
    timing = Timing(samples_s=(seconds,) * 3, cache="cold", stopped_by="samples")
    return Result(case=of, contender=contender, status=status, timing=timing)


def sweep(table, **others):
    """Make results of a dense second, and csr at the speedups of {group: {rate: speedup}}."""
    results = []
    for group, row in table.items():
        for rate, speedup in row.items():
            results.append(result(case(rate, group), "dense", 1.0))
            results.append(result(case(rate, group), "csr", 1.0 / speedup))
            for name, factor in others.items():
                results.append(result(case(rate, group), name, factor))
    return results


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(0.8, 0.5), (0.9, 1.5)], BreakEven(rate=pytest.approx(0.85))),
        ([(0.9, 1.5), (0.8, 0.5)], BreakEven(rate=pytest.approx(0.85))),
        ([(0.8, 0.5), (0.9, 0.9)], BreakEven(rate=None)),
        ([(0.8, 1.1), (0.9, 1.5)], BreakEven(rate=0.8, is_bound=True)),
        ([(0.8, 0.5), (0.9, 1.0)], BreakEven(rate=0.9)),
        # Where noise crosses the line more than once, the last time counts.
        ([(0.8, 1.1), (0.84, 0.9), (0.88, 1.1)], BreakEven(rate=pytest.approx(0.86))),
        ([(0.8, 1.1), (0.84, 1.2), (0.88, 0.9)], BreakEven(rate=None, is_lost=True)),
        ([(0.9, 2.0)], BreakEven(rate=0.9, is_bound=True)),
        ([], BreakEven(rate=None)),
    ],
)
def test_break_even_is_where_the_speedup_rises_to_one_and_stays(points, expected):
    assert break_even(points) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (BreakEven(rate=None), "not reached"),
        (BreakEven(rate=0.8, is_bound=True), "≤ 0.80"),
        (BreakEven(rate=None, is_lost=True), "lost again"),
        (BreakEven(rate=0.8567), "0.857"),
        (BreakEven(rate=0.9), "0.900"),
    ],
)
def test_break_even_is_said_plainly(value, text):
    assert str(value) == text


def test_speedup_is_the_dense_median_of_the_same_case_over_the_own():
    results = sweep({1: {0.8: 0.5}, 8: {0.8: 2.0}})
    assert speedups(results, "csr") == {case(0.8, 1): 0.5, case(0.8, 8): 2.0}


def test_what_has_no_right_time_has_no_speedup():
    wrong = [result(case(0.8, 1), "dense", 1.0), result(case(0.8, 1), "csr", 0.1, "wrong")]
    assert speedups(wrong, "csr") == {}
    no_dense = [result(case(0.8, 1), "csr", 0.1)]
    assert speedups(no_dense, "csr") == {}


def test_the_best_is_the_fastest_sparse_one_never_dense_tf32():
    results = sweep({1: {0.8: 0.5}}, row_group=0.4, dense_tf32=0.01)
    assert best_speedups(results) == {case(0.8, 1): pytest.approx(2.5)}
    assert best_speedups(results, over="dense_tf32") == {case(0.8, 1): pytest.approx(0.025)}


def test_break_evens_are_told_by_group():
    found = speedups(sweep({1: {0.8: 0.5, 0.9: 0.9}, 8: {0.8: 0.5, 0.9: 1.5}}), "csr")
    assert {group: str(at) for group, at in break_evens(found).items()} == {
        1: "not reached",
        8: "0.850",
    }


def test_layers_are_kept_apart():
    results = [result(case(0.8, 1), "dense", 1.0), result(case(0.9, 2, rows=4), "dense", 1.0)]
    assert len(by_layer(results)) == 2


@pytest.mark.parametrize(
    ("seconds", "spread", "expected"),
    [
        (0.5, 0.0, 5),  # 2.3 seconds of packing at half a second saved
        (0.5, 0.2, 5),
        (0.9, 0.2, None),  # the middle halves of the samples overlap
        (1.0, 0.0, None),
        (2.0, 0.0, None),
    ],
)
def test_packing_pays_after_what_it_took_over_what_a_product_saves(seconds, spread, expected):
    one = case(0.9, 8)
    samples = tuple(seconds * (1 + spread * i) for i in (-1, -1, 0, 1, 1))
    timing = Timing(samples_s=samples, cache="cold", stopped_by="samples")
    own = Result(case=one, contender="csr", status="ok", prepare_s=2.3, timing=timing)
    dense = result(one, "dense", 1.0)
    assert pays_after(own, dense) == expected
    assert pays_after(own, None) is None
    assert pays_after(replace(own, prepare_s=None), dense) is None
    assert pays_after(replace(own, status="disturbed"), dense) is None
