"""The page has what its runs tell, side by side, and names are only ever text."""

import csv
import io
import json
import re

import pytest

from gpuprune import page
from gpuprune.evidence import read
from tests.made_runs import (
    made_results,
    made_run,
    predicted_row,
    trained,
    write_profile,
    write_run,
    write_training,
)

HOSTILE = [
    "<script>alert(1)</script>",
    "../../x",
    "[/x]",
    "</style><b>",
    "a|b*c_`d`",
    "[click](http://there.invalid)",
    "&lt;i&gt;",
    "\x1b[31m\nred",
]


def contents(text):
    """Read what the page gives its script."""
    (found,) = re.findall(r'<script type="application/json" id="contents">(.*?)</script>', text)
    return json.loads(found)


def body(text):
    """Return the page as a browser shows it before its script runs."""
    return re.sub(r"<script.*?</script>", "", text.partition("<main>")[2], flags=re.DOTALL)


def test_a_page_of_one_layer_has_advice_figures_tables_and_machine(tmp_path):
    text = page.render(read([write_run(tmp_path / "run.jsonl")]))
    shown = body(text)
    for told in (
        "For this layer on this machine: prune",
        '<figure data-figure="speedup">',
        '<figure data-figure="roofline">',
        "Speedup of csr over dense",
        '<td style="text-align:right">~1.50</td>',
        "Break-even rates",
        '<th scope="row">device name</th><td>GPU A</td>',
        '<th scope="row">timing: cache</th><td>cold</td>',
        '<th scope="row">measured: memory rate</th><td>93.1 GiB/s</td>',
        '<th scope="row">measured: arithmetic float32</th><td>10000 GFLOP/s</td>',
        'data-download="gpuprune-bench.csv"',
    ):
        assert told in shown, told
    assert list(contents(text)["figures"]) == ["speedup", "roofline"]


def test_runs_stand_side_by_side(tmp_path):
    paths = [
        write_run(tmp_path / "a.jsonl"),
        write_run(tmp_path / "b.jsonl", run=made_run(device_name="GPU B")),
        write_training(tmp_path / "accuracy.jsonl", trained()),
        write_profile(tmp_path / "efficiency.jsonl", predicted_row()),
    ]
    text = page.render(read(paths))
    assert '<th scope="row">device name</th><td>GPU A</td><td>GPU B</td><td>GPU A</td>' in text
    assert list(contents(text)["figures"]) == [
        "speedup", "roofline", "efficiency", "accuracy", "tradeoff"
    ]  # fmt: skip
    assert "<summary>Accuracy: accuracy.jsonl</summary>" in text


def test_load_efficiencies_of_two_orientations_are_told_apart(tmp_path):
    rows = [predicted_row(orientation=one) for one in ("row", "column")]
    path = write_profile(tmp_path / "efficiency.jsonl", *rows)
    text = page.render(read([path]))
    for name in ("row", "column"):
        assert f">64x100x10, {name} groups</td>" in text
    first, *_ = contents(text)["downloads"]["gpuprune-efficiency.jsonl"].splitlines()
    assert json.loads(first)["path"] == str(path)


def test_the_data_can_be_taken_along(tmp_path):
    text = page.render(read([write_run(tmp_path / "run.jsonl")]))
    files = contents(text)["downloads"]
    assert list(files) == ["gpuprune-bench.csv", "gpuprune-bench.jsonl"]
    rows = [json.loads(line) for line in files["gpuprune-bench.jsonl"].splitlines()]
    assert [(row["run"], row["contender"], row["rate"]) for row in rows[:2]] == [
        ("GPU A", "dense", 0.8),
        ("GPU A", "csr", 0.8),
    ]
    table = list(csv.DictReader(io.StringIO(files["gpuprune-bench.csv"])))
    assert [float(row["speedup"]) for row in table] == [row["speedup"] for row in rows]


def test_several_layers_have_a_map_and_a_section_each(tmp_path):
    results = made_results() + made_results(batch=256)
    text = page.render(read([write_run(tmp_path / "run.jsonl", results)]))
    assert list(contents(text)["figures"]) == ["breakeven", "roofline", "layer-0", "layer-1"]
    assert re.findall(r"<details( open)?><summary>(.*?)</summary>", text) == [
        (" open", "64x100x10 (64x100x10)"),
        ("", "64x100x256 (64x100x256)"),
    ]
    assert "All 2 layers together take" in body(text)


def test_names_of_tensors_are_text_and_nothing_else(tmp_path):
    results = [one for name in HOSTILE for one in made_results(weights=f"m.npz::{name}")]
    text = page.render(read([write_run(tmp_path / "run.jsonl", results)]))
    shown = body(text)
    assert "<script>alert" not in text
    assert "<b>" not in shown
    assert "<i>" not in shown
    assert "<a " not in shown
    assert "\x1b" not in text
    for told in (
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "../../x",
        "[/x]",
        "&lt;/style&gt;&lt;b&gt;",
        "a|b*c_`d`",
        "[click](http://there.invalid)",
        "&amp;lt;i&amp;gt;",
        r"\x1b[31m\nred",
    ):
        assert shown.count(told) >= 2, told  # in the table of all, and above the layer's own
    assert {row["layer"] for row in contents(text)["figures"]["layer-0"]["datasets"]["rows"]} == {
        "<script>alert(1)</script>"
    }


def test_a_figure_that_cannot_be_drawn_is_told_and_the_rest_stays(tmp_path):
    other = trained()
    paths = [
        write_run(tmp_path / "run.jsonl", made_results({8: {0.8: 1.2}})),
        write_training(tmp_path / "accuracy.jsonl", other),
    ]
    text = page.render(read(paths))
    assert list(contents(text)["figures"]) == ["speedup", "roofline", "accuracy"]
    assert "No figure: the runs do not belong together: accuracy was told at rate 0.9" in text


def test_a_run_that_has_not_ended_says_so(tmp_path):
    path = write_run(tmp_path / "run.jsonl", is_finished=False)
    shown = body(page.render(read([path])))
    assert "the run has not ended" in shown
    assert "No advice: the run was stopped before its last case." in shown
    assert "For this layer on this machine" not in shown


@pytest.mark.parametrize("result", ["failed", "wrong", "skipped"])
def test_what_has_no_time_has_its_reason(tmp_path, result):
    from dataclasses import replace

    results = [
        replace(one, status=result, reason="because <b>", timing=None)
        if one.contender == "csr"
        else one
        for one in made_results()
    ]
    shown = body(page.render(read([write_run(tmp_path / "run.jsonl", results)])))
    assert f"csr {result} (4 cases): because &lt;b&gt;" in shown
    assert "No figure: no sparse product was measured beside a dense one" in shown


def test_whoever_waits_for_a_page_of_many_layers_is_told_how_many_are_drawn(tmp_path):
    layers = [*made_results(), *made_results(rows=32), *made_results(rows=16)]
    evidence = read([write_run(tmp_path / "run.jsonl", layers)])
    told: list[int] = []
    page.write(evidence, tmp_path / "page.html", told.append)
    assert told == [1, 2, 3]
    assert page.count_layers(evidence) == 3
    assert page.count_layers(read([write_run(tmp_path / "one.jsonl")])) == 0
