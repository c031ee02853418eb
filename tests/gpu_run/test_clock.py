"""What other clocks say of the same products, and how they are compared with ours."""

import sys
import textwrap
from dataclasses import replace

import pytest

from benchmarks.gpu_run.clock import Time, cases, main, read, times, write
from benchmarks.gpu_run.clock_peers import durations, read_summaries
from benchmarks.gpu_run.clock_table import compare
from gpuprune.profiler.command import Profiler
from gpuprune.records import Case
from tests.profiler.test_live import NCU

CASE = Case(rows=64, cols=96, batch=8, rate=0.9, group=8)


def told(clock, seconds, **more):
    values = {"contender": "csr", "variant": "row-major, ALG2", "cache": "warm"} | more
    return Time(case=CASE, clock=clock, seconds=seconds, **values)


def test_the_clock_of_bench_times_every_variant_cold_and_warm(fake, tmp_path):
    found = list(times(cases("16x24x3"), fake, 0.01))
    write(tmp_path / "clock.jsonl", found)
    assert read(tmp_path / "clock.jsonl") == found
    first = [one for one in found if one.case == cases("16x24x3")[0] and one.clock == "bench"]
    assert [(one.contender, one.variant, one.cache) for one in first] == [
        (*product, cache)
        for cache in ("cold", "warm")
        for product in (
            ("dense", None), ("csr", "Numba"), ("csr", "SciPy"),
            ("row_group", first[-1].variant),
        )
    ]  # fmt: skip
    assert all(one.seconds and one.samples >= 10 and one.reason is None for one in first)
    graphs = [one for one in found if one.clock == "CUDA graph"]
    assert {(one.seconds, one.reason) for one in graphs} == {(None, "fake has no CUDA graphs")}


def test_a_table_tells_each_difference_and_which_are_within_five_percent_or_a_microsecond():
    found = [
        told("bench", 100e-6),
        told("bench", 12e-6, cache="cold"),
        told("bench", 50e-6, contender="dense", variant=None),
        told("bench", 60e-6, contender="dense_tf32", variant=None),
        told("ncu", 94e-6, kernels=2),
        told("ncu", 11.1e-6, cache="cold", kernels=2),
        told("CUDA graph", 49e-6, contender="dense", variant=None),
        told("CUDA graph", None, reason="cannot be captured"),
        told("ncu", 1.0, contender="dense", variant="of which bench knows nothing"),
    ]
    assert compare(found) == textwrap.dedent("""\
        | clock      | cache   | contender   | variant         | rate   |   group | orientation   |   kernels | its time   | bench   | difference in us   | share   | agrees   |
        |:-----------|:--------|:------------|:----------------|:-------|--------:|:--------------|----------:|:-----------|:--------|:-------------------|:--------|:---------|
        | ncu        | warm    | csr         | row-major, ALG2 | 0.9    |       8 | row           |         2 | 94.0 µs    | 100 µs  | +6.00              | +6.4 %  | no       |
        | ncu        | cold    | csr         | row-major, ALG2 | 0.9    |       8 | row           |         2 | 11.1 µs    | 12.0 µs | +0.90              | +8.1 %  | yes      |
        | CUDA graph | warm    | dense       | -               | 0.9    |       8 | row           |         - | 49.0 µs    | 50.0 µs | +1.00              | +2.0 %  | yes      |

        - ncu, warm caches: 0 of 1 products agree with bench within 5 % or 1.00 µs
        - ncu, cold caches: 1 of 1 products agree with bench within 5 % or 1.00 µs
        - CUDA graph, warm caches: 1 of 1 products agree with bench within 5 % or 1.00 µs
        - cuda-bench: not measured
        - CUDA graph: 1 times of csr missing: cannot be captured""")  # noqa: E501


def test_a_table_of_nothing_says_so(tmp_path, capsys):
    assert main(["table", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"- {clock}: not measured" for clock in ("bench", "CUDA graph", "ncu", "cuda-bench")
    ]


# Two kernels a product, of which product n takes 1000 (n + 1) and 500 ns; flushed, 100 ns more.
TWO_KERNELS = """
    flushed = 100 if after("--cache-control").name == "all" else 0
    units[:] = ["ns"]
    page[-1] = ",".join(f'"{cell}"' for cell in (*[""] * 13, *units))
    def row(launch, number, kernel, duration):
        case, contender = products[number]
        name = f"gpuprune {number} rate={case['rate']:g} group={case['group']} {contender}"
        nvtx = f'7  ""<default domain>:{name}:none:none:none:none:ASCII:{name}"" '
        cells = [launch, 7, "python3", "127.0.0.1", nvtx, "", kernel, 1, 13, "(256, 1, 1)",
                 "(64, 1, 1)", 0, "9.0", duration + flushed]
        page.append(",".join(f'"{cell}"' for cell in cells))
    for number, (case, contender) in enumerate(products):
        if contender in ("dense", "csr"):
            row(2 * number, number, "partition", 1000 * (number % 5 + 1))
            row(2 * number + 1, number, "csrmm", 500)
    finish()
"""


def test_ncu_times_a_product_by_all_of_its_kernels(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = tmp_path / "ncu"
    head = f"#!{sys.executable}\nMETRICS = ('gpu__time_duration.sum',)\nRUNS_PROGRAM = False\n"
    path.write_text(head + textwrap.dedent(NCU) + textwrap.dedent(TWO_KERNELS))
    path.chmod(0o755)
    found = list(durations([CASE], "fake", Profiler(tool="ncu", path=path)))
    expected = told("ncu", 0.0, samples=2, kernels=2, variant=None)
    assert [replace(one, seconds=0.0) for one in found] == [
        replace(expected, contender=name, cache=cache)
        for cache in ("warm", "cold")
        for name in ("dense", "csr")
    ]
    assert [one.seconds for one in found] == pytest.approx([1.5e-6, 2.5e-6, 1.7e-6, 2.7e-6])


def test_the_summaries_of_nvbench_are_read_by_benchmark_and_tag():
    def summary(tag, kind, value):
        return {"tag": tag, "data": [{"name": "value", "type": kind, "value": value}]}

    written = {
        "benchmarks": [
            {
                "name": "product_0",
                "states": [
                    {
                        "summaries": [
                            summary("nv/cold/time/gpu/mean", "float64", "1.25e-05"),
                            summary("nv/cold/sample_size", "int64", "512"),
                            summary("nv/cold/note", "string", "of no use"),
                        ]
                    }
                ],
            },
            {"name": "product_1", "states": [{"is_skipped": True, "summaries": None}]},
        ]
    }
    assert read_summaries(written) == {
        "product_0": {"nv/cold/time/gpu/mean": 1.25e-5, "nv/cold/sample_size": 512.0}
    }
