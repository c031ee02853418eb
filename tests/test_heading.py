"""What the first line of a summary names."""

from dataclasses import replace

import pytest

from gpuprune import contenders, environment
from gpuprune.report.heading import _ARITHMETIC, heading
from tests.made_runs import made_result, made_results, made_run

CASE = made_results()[0].case


@pytest.mark.parametrize(
    ("device", "timed", "named"),
    [
        ("cpu", ["dense"], "numpy 1"),
        ("cpu", ["dense", "csr"], "numpy 1 · scipy 1 · numba 1"),
        ("cpu", ["dense", "mkl"], "numpy 1 · sparse-dot-mkl 1 · mkl 1"),
        ("cpu", ["dense", "row_group", "torch_csr"], "numpy 1 · numba 1 · torch 1"),
        ("cuda", ["dense", "row_group"], "cupy-cuda12x 1"),
        ("cuda", ["dense", "nvmath"], "cupy-cuda12x 1 · nvmath-python 1"),
        ("cpu", ["dense", "of_a_user"], "numpy 1"),
    ],
)
def test_the_packages_that_took_part_are_named_and_no_others(device, timed, named):
    installed = {name: "1" for name in environment.PACKAGES if name != "cupy-cuda13x"}
    run = made_run(device=device, threads=2, packages=installed)
    results = [made_result(CASE, name, 1e-3) for name in timed]
    results.append(replace(made_result(CASE, "scipy_bsr", 1e-3), status="skipped", timing=None))
    assert heading(run, results, markdown=False) == (
        f"gpuprune 1.2.3 · GPU A, 2 threads · {named} · cold caches"
    )


def test_every_package_named_is_looked_for():
    assert set(_ARITHMETIC) <= set(contenders.names())
    known = {name for devices in _ARITHMETIC.values() for names in devices for name in names}
    assert known == set(environment.PACKAGES)
