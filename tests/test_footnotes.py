"""What stands below the tables of a layer."""

from dataclasses import replace

from gpuprune.report.footnotes import rates_not_reached, variants
from gpuprune.report.summary import summary
from tests.made_runs import made_results, made_run

TABLE = {1: {0.5: 2.0, 0.9: 3.0}, 64: {0.5: 2.0, 0.9: 3.0}}


def results_of(variant=None, share=None):
    """Make csr results whose variant and share removed follow from their case."""
    return [
        replace(
            one,
            variant=variant(one.case) if variant and one.contender == "csr" else None,
            achieved_rate=share(one.case) if share else one.case.rate,
        )
        for one in made_results(TABLE)
    ]


def test_a_contender_that_always_took_one_variant_names_it():
    assert variants(results_of(variant=lambda case: "SciPy")) == "Variant of csr: SciPy."


def test_several_variants_are_told_with_their_group_sizes():
    def chosen(case):
        return "Numba" if case.group == 1 or case.rate == 0.9 else "SciPy"

    assert variants(results_of(chosen)) == "Variants of csr: Numba (g=1, 64); SciPy (g=64)."


def test_a_contender_without_variants_is_left_out():
    assert variants(results_of()) == ""


def test_rates_that_were_reached_are_not_told():
    assert rates_not_reached(results_of(share=lambda case: case.rate + 0.004)) == ""


def test_the_share_furthest_from_its_rate_is_told_for_each_group_size():
    def share(case):
        return {0.5: 0.4439, 0.9: 0.96923}[case.rate] if case.group == 64 else case.rate

    assert rates_not_reached(results_of(share=share)) == (
        "Rates are those asked. Share of the weights removed where it is furthest from the rate: "
        "g=64 0.9692 at 0.90."
    )


def test_of_several_layers_the_one_that_missed_its_rates_is_named():
    ragged = [replace(one, achieved_rate=0.97) for one in made_results(TABLE, rows=3)]
    text = summary(made_run(), [*made_results(TABLE), *ragged])
    assert "In 3x100x10 some group sizes remove another share of the weights" in text
