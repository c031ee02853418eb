from dataclasses import replace

import pytest

from gpuprune.analysis import (
    BreakEven,
    advice,
    advice_for_all,
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


def test_advice_takes_the_smallest_group_that_is_about_as_good_as_any():
    table = {
        1: {0.8: 0.4, 0.9: 0.8, 0.98: 1.2},
        8: {0.8: 0.8, 0.9: 1.5, 0.98: 3.0},
        32: {0.8: 0.85, 0.9: 1.6, 0.98: 3.2},
    }
    assert advice(sweep(table)) == (
        "For this layer on this machine: prune groups of 8 to 0.83 or more, or stay dense. "
        "Single weights break even at 0.940. "
        "At 0.9, groups of 8 are 1.50x as fast as dense, single weights 0.80x. "
        "The fastest measured is 3.20x, groups of 32 at 0.98."
    )


def test_advice_is_to_stay_dense_where_nothing_breaks_even():
    assert advice(sweep({1: {0.8: 0.2, 0.9: 0.4}, 8: {0.8: 0.5, 0.9: 0.9}})) == (
        "For this layer on this machine: stay dense. No group size broke even up to a rate of "
        "0.9; the nearest was 0.90x with groups of 8 at 0.9."
    )


@pytest.mark.parametrize(
    ("seconds", "choice"),
    [(0.5, "multiply it by row_group, 2.00x"), (1.25, "stay dense; the nearest was csr, 0.83x")],
)
def test_a_layer_pruned_elsewhere_is_not_told_to_be_pruned(seconds, choice):
    results = sweep({8: {0.9: 1 / 1.2}}, row_group=seconds)
    results = [replace(one, case=replace(one.case, as_is=True)) for one in results]
    assert advice(results) == (
        f"For this layer as it is, on this machine: {choice} as fast as dense."
    )


def shaken(one):
    samples = tuple(one.timing.median_s * factor for factor in (0.1, 1, 9))
    return replace(one, timing=replace(one.timing, samples_s=samples))


def test_what_is_noise_is_no_headline_and_is_doubted():
    results = sweep({1: {0.8: 1.2, 0.9: 1.5}, 8: {0.8: 1.1, 0.9: 1.4}})
    winner = case(0.9, 1)
    once = [shaken(one) if one.case == winner else one for one in results]
    assert "The fastest steady one is 1.40x, groups of 8 at 0.9." in advice(once)
    assert "quiet" not in advice(once)
    everywhere = advice([shaken(one) for one in results])
    assert "The fastest measured is 1.50x, single weights at 0.9." in everywhere
    assert everywhere.endswith("measure again when the machine is quiet.")


def test_noise_of_a_slower_product_takes_nothing_from_the_fastest_of_its_cell():
    results = sweep({1: {0.8: 1.2, 0.9: 1.5}, 8: {0.8: 1.1, 0.9: 1.4}}, mkl=5.0)
    results = [shaken(one) if one.contender == "mkl" else one for one in results]
    assert advice(results).endswith("The fastest measured is 1.50x, single weights at 0.9.")


def test_a_steady_product_is_the_headline_although_a_noisy_one_beats_it_in_its_cell():
    results = sweep({1: {0.8: 1.2, 0.9: 1.5}, 8: {0.8: 1.1, 0.9: 1.4}}, mkl=0.5)
    results = [shaken(one) if one.contender == "mkl" else one for one in results]
    assert "The fastest steady one is 1.50x, single weights at 0.9." in advice(results)


def test_without_a_measurement_there_is_no_advice():
    assert "no advice" in advice([result(case(0.8, 1), "dense", 1.0)])


def test_layers_together_are_told_at_ninety_percent_each_dense_where_that_is_faster():
    results = []
    for rows, speedup in ((8, 4.0), (16, 0.5)):
        for group in (1, 8):
            for rate in (0.8, 0.9):
                factor = speedup if group == 8 and rate == 0.9 else 0.1
                one = case(rate, group, rows)
                results += [result(one, "dense", 1e-3), result(one, "csr", 1e-3 / factor)]
    assert advice_for_all(by_layer(results)) == (
        "All 2 layers together take 2.00 ms dense; groups of 8 pruned to 0.9, and dense where "
        "that is faster, 1.25 ms (1.60x)."
    )


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
