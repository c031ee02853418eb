from dataclasses import replace

import pytest

from gpuprune.advice import advice, advice_for_all
from gpuprune.analysis import by_layer
from tests.test_analysis import case, result, sweep


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


def test_advice_names_the_share_of_the_weights_where_it_is_another_than_the_rate():
    def missing(one):
        return replace(one, achieved_rate=one.case.rate + (one.case.group > 1) * 0.03)

    pays = [missing(one) for one in sweep({1: {0.8: 0.5, 0.9: 1.5}, 64: {0.8: 0.8, 0.9: 1.8}})]
    assert advice(pays) == (
        "For this layer on this machine: prune groups of 64 to 0.82 (0.85 of the weights) or "
        "more, or stay dense. Single weights break even at 0.850. "
        "At 0.9, groups of 64 (0.93 of the weights) are 1.80x as fast as dense, single weights "
        "1.50x. The fastest measured is 1.80x, groups of 64 at 0.9 (0.93 of the weights)."
    )
    slow = [missing(one) for one in sweep({1: {0.9: 0.4}, 64: {0.9: 0.8}})]
    assert advice(slow).endswith("0.80x with groups of 64 at 0.9 (0.93 of the weights).")
    assert "of the weights" not in advice([one for one in pays if one.case.group == 1])


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


def shaken(one, least=0.1, most=9):
    samples = tuple(one.timing.median_s * factor for factor in (least, 1, most))
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


def test_a_noisy_product_that_is_faster_than_noise_explains_is_the_headline():
    results = sweep({1: {0.9: 0.4}}, mkl=0.5)
    results = [shaken(one, 0.8, 1.2) if one.contender == "mkl" else one for one in results]
    assert "The fastest measured is 2.00x, single weights at 0.9." in advice(results)


def test_what_noise_may_have_beaten_is_not_called_the_fastest_measured():
    results = sweep({1: {0.9: 1.0}}, mkl=0.5, torch_csr=0.25)
    bounds = {"mkl": (0.8, 1.2), "torch_csr": (0.1, 9)}
    noisy = [shaken(one, *bounds.get(one.contender, (1, 1))) for one in results]
    assert "The fastest beyond noise is 2.00x" in advice(noisy)


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
