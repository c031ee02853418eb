"""The model's own table, to the letter."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from gpuprune.analysis import by_layer
from gpuprune.records import Case, Result, Timing
from gpuprune.report.model import is_model, layers_table, totals_table
from gpuprune.report.summary import conclusion, summary
from tests.conftest import assert_refused
from tests.made_runs import made_results, made_run

NOISY = {"samples_s": (0.001, 0.002, 0.004)}


def result(tensor, rate, group, contender, milliseconds, **changes):
    values = {"rows": 64, "cols": 32, "batch": 8} | changes
    case = Case(weights=f"model::{tensor}", rate=rate, group=group, **values)
    seconds = milliseconds and milliseconds / 1000
    timing = seconds and Timing(samples_s=(seconds,), cache="cold", stopped_by="samples")
    status = "ok" if timing else "failed"
    return Result(case=case, contender=contender, status=status, timing=timing)


SAMPLE = by_layer(
    [
        result("up", 0.8, 1, "dense", 4.0),
        result("up", 0.8, 1, "csr", 5.0),
        result("up", 0.8, 8, "dense", 4.0),
        result("up", 0.8, 8, "csr", 4.5),
        result("up", 0.9, 1, "dense", 4.0),
        result("up", 0.9, 1, "csr", 3.0),
        result("up", 0.9, 8, "dense", 4.0),
        result("up", 0.9, 8, "row_group", 2.0),
        result("[/down]", 0.8, 1, "dense", 2.0),
        result("[/down]", 0.8, 1, "csr", 1.0),
        result("[/down]", 0.9, 1, "dense", 2.0),
        result("[/down]", 0.9, 1, "csr", 2.5),
        result("<script>\n", 0.8, 1, "dense", 1.0),
        result("<script>\n", 0.8, 1, "csr", None),
        result("<script>\n", 0.9, 1, "dense", 1.0),
        result("<script>\n", 0.9, 1, "csr", None),
    ]
)


@pytest.mark.parametrize(
    ("results", "conclusion"),
    [
        (made_results(), "For this layer on this machine"),
        ([*made_results(), *made_results(rows=32)], "All 2 layers together take"),
        ([one for own in SAMPLE.values() for one in own], "All 3 layers together"),
        (
            [one for own in SAMPLE.values() for one in own[:2]],
            "All 3 layers together",
        ),
    ],
    ids=["a layer", "layers", "a model", "a model of one case each"],
)
def test_of_an_unfinished_run_nothing_is_concluded(results, conclusion):
    told = "No advice: the run was stopped before its last case."
    whole = summary(made_run(), results)
    part = summary(made_run(), results, unfinished=True)
    assert (conclusion in whole, told in whole) == (True, False)
    assert (conclusion in part, told in part) == (False, True)


def test_the_model_is_told_layer_by_layer_and_as_a_whole():
    assert (
        f"{layers_table(SAMPLE, markdown=False)}\n\n{totals_table(SAMPLE, markdown=False)}"
        == """\
The model layer by layer, at 0.9: the fastest product of any group size, and dense where that \
gains no more than noise

layer         shape    dense    sparse  best         group    speedup
----------  -------  -------  --------  ---------  -------  ---------
up          64x32x8  4.00 ms   2.00 ms  row_group        8      2.00x
[/down]     64x32x8  2.00 ms   2.50 ms  dense                   1.00x
<script>\\n  64x32x8  1.00 ms            dense                   1.00x

All 3 layers together

  rate    dense    sparse everywhere    best per layer    speedup    left dense
------  -------  -------------------  ----------------  ---------  ------------
   0.8  6.00 ms              5.50 ms           5.00 ms      1.20x        1 of 2
   0.9  6.00 ms              4.50 ms           4.00 ms      1.50x        1 of 2

In no sum, for want of a time: <script>\\n."""
    )


def test_a_product_without_a_time_is_never_the_best():
    layers = by_layer(
        [
            result("no dense", 0.9, 8, "dense", None),
            result("no dense", 0.9, 8, "csr", 1.0),
            result("no sparse", 0.9, 8, "dense", 2.0),
            result("no sparse", 0.9, 8, "csr", None),
            result("neither", 0.9, 8, "dense", None),
            result("neither", 0.9, 8, "csr", None),
        ]
    )
    assert (
        layers_table(layers, markdown=False)
        == """\
The model layer by layer, at 0.9: the fastest product of any group size, and dense where that \
gains no more than noise

layer        shape    dense    sparse  best      group    speedup
---------  -------  -------  --------  ------  -------  ---------
no dense   64x32x8            1.00 ms  csr           8
no sparse  64x32x8  2.00 ms            dense                1.00x
neither    64x32x8"""
    )


def test_markdown_escapes_names():
    assert "\\<script\\>" in layers_table(SAMPLE, markdown=True)


def test_one_layer_and_random_weights_are_no_model():
    up, down, _ = SAMPLE
    assert is_model({up: SAMPLE[up], down: SAMPLE[down]})
    assert not is_model({up: SAMPLE[up]})
    assert not is_model({replace(up, weights=None): [], replace(down, weights=None, rows=3): []})


@pytest.mark.parametrize("rates", ["0.9", "0.5,0.9"])
def test_bench_on_a_model_ends_with_its_table(run, tmp_path, rates):
    random = np.random.default_rng(0)
    tensors = {f"layers.{i}.weight": random.random((64, 32), np.float32) for i in range(3)}
    save_file(tensors, tmp_path / "model.safetensors")
    result = run(
        "bench", "--device", "fake", "--weights", tmp_path / "model.safetensors", "--rates", rates,
        "--groups", "8", "--batch", "4",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "All 3 layers together" in result.stdout
    # With one cell a layer, the table of every contender says it all.
    tables = 1 if rates == "0.9" else 2
    assert result.stdout.count("layers.2.weight") == tables
    assert result.stdout.count("The model layer by layer, at 0.9") == tables - 1


def test_a_layer_that_is_too_large_is_named_and_the_others_are_planned(run, tmp_path):
    path = tmp_path / "model.safetensors"
    large = {"dtype": "F16", "shape": [2**18, 2**18], "data_offsets": [0, 2**37]}
    small = {"dtype": "F16", "shape": [64, 64], "data_offsets": [2**37, 2**37 + 2**13]}
    header = json.dumps({"large": large, "small": small}).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 2**37 + 2**13)  # takes no room on the disk
    command = ["bench", "--device", "cpu", "--weights", path, "--rates", "0.9", "--groups", "8"]
    assert_refused(run(*command), f"{path}::large (shape 262144x262144x50) needs", "--tensor")
    planned = run(*command, "--tensor", "small", "--dry-run")
    assert planned.exit_code == 0
    assert "1 case of" in planned.stdout


def made_noisy(results):
    return [
        replace(one, timing=one.timing and replace(one.timing, **NOISY))
        if one.contender != "dense" and one.case.weights.endswith("up")
        else one
        for one in results
    ]


@pytest.mark.parametrize("kept", [None, 2], ids=["a model", "one case each"])
def test_speedups_of_samples_that_spread_widely_are_marked_in_every_table(kept):
    quiet = [one for own in SAMPLE.values() for one in own[:kept]]
    told = [line for line in summary(made_run(), made_noisy(quiet)).splitlines() if "~" in line]
    assert [line for line in told if "spread over more than 10 %" in line] != []
    assert [line for line in told if line.startswith("up ") and "x" in line] != []
    assert "~" not in summary(made_run(), quiet)


def test_of_each_layer_the_fastest_steady_cell_is_named_and_said_to_be_that():
    quiet = [one for own in SAMPLE.values() for one in own]
    noisy = [
        replace(one, timing=replace(one.timing, samples_s=(0.002, 0.0025, 0.005)))
        if one.contender == "row_group"
        else one
        for one in quiet
    ]
    told = summary(made_run(), noisy)
    assert (
        """\
Break-even rate of each group size, by the fastest sparse product

layer         shape    dense         g=1    g=8    fastest, steady ones first
----------  -------  -------  ----------  -----  ----------------------------
up          64x32x8  4.00 ms       0.838  0.816              1.33x (g=1, 0.9)
[/down]     64x32x8  2.00 ms  lost again                     2.00x (g=1, 0.8)
"""
        in told
    )


def test_conclusion_on_a_model_doubts_times_that_are_mostly_noise():
    quiet = [one for own in SAMPLE.values() for one in own]
    assert conclusion(by_layer(quiet)) == (
        "2 layers together take 6.00 ms dense; each pruned to 0.9 in its fastest group size, or "
        "left dense where it gains no more than noise, 4.00 ms (1.50x)."
    )
    assert "measure again when the machine is quiet" in conclusion(by_layer(made_noisy(quiet)))


def test_the_best_of_a_layer_gains_most_over_the_dense_product_beside_it():
    layers = by_layer(
        [
            result("up", 0.9, 1, "dense", 4.0),
            result("up", 0.9, 1, "csr", 2.0),
            result("up", 0.9, 8, "dense", 5.0),  # the machine was busier then
            result("up", 0.9, 8, "csr", 2.2),
        ]
    )
    row = layers_table(layers, markdown=False).splitlines()[-1]
    assert row.split()[-3:] == ["csr", "8", "2.27x"]


def spread(one, share):
    """Let the samples of a result lie by a share of their median to both sides of it."""
    seconds = one.timing.median_s
    samples = tuple(seconds * (1 + share * i) for i in (-1, -1, 0, 1, 1))
    return replace(one, timing=replace(one.timing, samples_s=samples))


def test_a_gain_within_noise_leaves_a_layer_of_the_model_dense():
    results = [
        result("up", 0.9, 8, "dense", 4.0),
        result("up", 0.9, 8, "csr", 3.9),
        result("down", 0.9, 8, "dense", 4.0),
        result("down", 0.9, 8, "csr", 2.0),
    ]
    layers = by_layer([spread(one, 0.02) for one in results])
    rows = layers_table(layers, markdown=False).splitlines()[-2:]
    assert [row.split()[2:] for row in rows] == [
        ["4.00", "ms", "3.90", "ms", "dense", "1.00x"],
        ["4.00", "ms", "2.00", "ms", "csr", "8", "2.00x"],
    ]
    total = totals_table(layers, markdown=False).splitlines()[-1]
    assert total.split() == "0.9 8.00 ms 5.90 ms 6.00 ms 1.33x 1 of 2".split()
    assert "6.00 ms (1.33x)" in conclusion(layers)


def test_the_model_tells_the_same_product_of_a_layer_as_the_table_above_it():
    results = [
        result("up", 0.9, 1, "dense", 4.0),
        result("up", 0.9, 1, "csr", 2.0),
        result("up", 0.9, 8, "dense", 4.0),
        spread(result("up", 0.9, 8, "csr", 1.6), 0.4),
        result("down", 0.9, 1, "dense", 4.0),
        result("down", 0.9, 1, "csr", 3.0),
    ]
    told = [
        line.split() for line in summary(made_run(), results).splitlines() if "up " in line[:3]
    ]
    assert told[0][-3:] == ["2.00x", "(g=1,", "0.9)"]
    assert told[1][-3:] == ["csr", "1", "2.00x"]


def test_what_was_skipped_everywhere_has_no_column_in_the_table_of_one_case_each():
    skipped = [
        replace(result(tensor, 0.9, 8, name, None), status="skipped", reason="not here")
        for tensor in ("up", "down")
        for name in ("nvmath", "dense_tf32")
    ]
    timed = [
        result(tensor, 0.9, 8, name, milliseconds)
        for tensor in ("up", "down")
        for name, milliseconds in (("dense", 4.0), ("csr", 2.0))
    ]
    text = summary(made_run(), [*timed, *skipped])
    header = next(line for line in text.splitlines() if line.startswith("layer"))
    assert header.split() == ["layer", "shape", "rate", "group", "dense", "csr"]
    assert "nvmath skipped (2 cases): not here" in text
