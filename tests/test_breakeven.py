"""The tables of break-even rates: one where it fits a terminal, several where it does not."""

from dataclasses import replace

import pytest

from gpuprune.contenders import names
from gpuprune.report import fit
from gpuprune.report.breakeven import break_even_tables
from tests.made_runs import made_result, made_results

DENSE = ("dense", "dense_tf32")
PAPERS = {"rows": 4096, "cols": 4096, "batch": 50}


def results_of(*sparse, dense=("dense",), **layer):
    """Make results of some sparse products that break even at 0.9 with single weights only."""
    table = {1: {0.8: 0.5, 0.9: 1.5}, 8: {0.8: 0.4, 0.9: 0.5}}
    found = []
    for one in made_results(table, **layer):
        alike = dense if one.contender == "dense" else sparse
        seconds = one.timing.median_s
        found += [steady(made_result(one.case, name, seconds)) for name in alike]
    return found


def steady(one):
    return replace(one, timing=replace(one.timing, samples_s=(one.timing.median_s,)))


def test_few_contenders_stand_in_one_table():
    found = break_even_tables(results_of("csr", "mkl"), ["csr", "mkl"], markdown=False)
    assert found == [
        """\
Break-even rates, from which on sparse is faster, and speedups at 0.90

  group     csr even     mkl even    csr at 0.90    mkl at 0.90
-------  -----------  -----------  -------------  -------------
      1        0.850        0.850          1.50x          1.50x
      8  not reached  not reached          0.50x          0.50x"""
    ]


def test_the_title_promises_no_speedups_where_the_rate_of_the_paper_was_not_measured():
    results = made_results({1: {0.8: 0.5, 0.95: 1.5}})
    (text,) = break_even_tables(results, ["csr"], markdown=False)
    assert text.startswith("Break-even rates, from which on sparse is faster\n")


def test_a_speedup_from_unsteady_samples_keeps_its_mark():
    results = [
        made_result(one.case, "csr", one.timing.median_s)  # whose samples spread
        if (one.contender, one.case.group) == ("csr", 8)
        else one
        for one in results_of("csr")
    ]
    (text,) = break_even_tables(results, ["csr"], markdown=False)
    single, grouped = (line.split()[-1] for line in text.splitlines()[-2:])
    assert not single.startswith("~")
    assert grouped.startswith("~")


def test_a_layer_that_was_pruned_elsewhere_breaks_even_at_no_rate():
    results = made_results({8: {0.9: 1.5}}, as_is=True)
    assert break_even_tables(results, ["csr"], markdown=False) == []


def test_many_stand_in_a_table_for_each_dense_product_and_one_of_speedups():
    sparse = ["csr", "row_group", "mkl"]
    found = break_even_tables(results_of(*sparse, dense=DENSE), sparse, markdown=False)
    assert [text.partition("\n")[0] for text in found] == [
        "Break-even rates, from which on sparse is faster than dense",
        "Break-even rates, from which on sparse is faster than dense_tf32",
        "Speedups over dense at 0.90",
    ]
    assert found[2].endswith(
        """
  group    csr    row_group    mkl
-------  -----  -----------  -----
      1  1.50x        1.50x  1.50x
      8  0.50x        0.50x  0.50x"""
    )


@pytest.mark.parametrize(
    ("dense", "sparse"),
    [
        (["dense"], ["csr", "mkl", "row_group", "scipy_bsr", "torch_csr"]),
        (DENSE, ["csr", "nvmath", "row_group", "torch_csr"]),
    ],
    ids=["CPU", "GPU"],
)
def test_all_contenders_of_a_device_beside_the_paper_fit_80_columns(dense, sparse):
    results = results_of(*sparse, dense=dense, **PAPERS)
    tables = break_even_tables(results, sparse, markdown=False)
    assert max(len(line) for text in tables for line in fit(text, 80).splitlines()) <= 80
    assert sum("paper" in text for text in tables) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"batch": 1},
        {"dtype": "float64"},
        {"score": "random"},
        {"orientation": "column"},
    ],
    ids=str,
)
def test_the_papers_figures_stand_beside_what_is_comparable_only(other):
    assert "paper" in "".join(break_even_tables(results_of("csr", **PAPERS), ["csr"], False))
    found = break_even_tables(results_of("csr", **PAPERS | other), ["csr"], False)
    assert found != []
    assert "paper" not in "".join(found)


def test_contenders_without_a_time_take_no_room():
    sparse = [name for name in names() if name not in DENSE]
    found = break_even_tables(results_of("csr"), sparse, markdown=False)
    assert [len(text.splitlines()) for text in found] == [6]
    assert break_even_tables(results_of(), sparse, markdown=False) == []
