"""`gpuprune plot` and `gpuprune report` as commands: files, messages, exit codes."""

import pytest

from gpuprune import plots
from gpuprune.cli.plot import FIGURES
from gpuprune.records import Contract
from tests.conftest import assert_refused
from tests.made_runs import (
    made_results,
    made_run,
    predicted_row,
    trained,
    write_profile,
    write_run,
    write_training,
)


@pytest.fixture
def bench(tmp_path):
    return write_run(tmp_path / "run.jsonl")


def test_the_options_name_every_figure_there_is():
    assert tuple(plots.FIGURES) == FIGURES


def test_a_measured_run_becomes_a_figure_and_a_page(run, tmp_path):
    path = tmp_path / "run.jsonl"
    options = ["--device", "fake", "--shape", "64x64x5", "--groups", "1,8", "--rates", "0.4,0.9"]
    assert run("bench", *options, "--contenders", "csr", "--output", path).exit_code == 0
    drawn = run("plot", path, "-o", tmp_path / "figure.svg")
    assert (drawn.exit_code, drawn.stdout) == (0, "")
    assert drawn.stderr == f"{tmp_path / 'figure.svg'} shows speedup.\n"
    told = run("report", path, "-o", tmp_path / "page.html")
    assert (told.exit_code, told.output) == (0, "")
    assert "64x64 times 64x5" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("figure", ["speedup", "breakeven", "roofline"])
def test_a_figure_is_chosen_by_name(run, bench, tmp_path, figure):
    drawn = run("plot", bench, "-o", tmp_path / "a.svg", "--figure", figure)
    assert drawn.stderr.endswith(f"shows {figure}.\n")


def test_files_that_a_figure_does_not_show_are_told(run, bench, tmp_path):
    trainings = [write_training(tmp_path / f"{i}.jsonl", trained()) for i in range(2)]
    efficiency = write_profile(tmp_path / "efficiency.jsonl", predicted_row())
    output = tmp_path / "a.svg"
    drawn = run("plot", bench, *trainings, efficiency, "-o", output, "--figure", "roofline")
    assert drawn.stderr == (
        f"{output} shows roofline.\n"
        f"Note: {trainings[0]}, {trainings[1]} are not in it; --figure accuracy shows them.\n"
        f"Note: {efficiency} is not in it; --figure efficiency shows it.\n"
    )
    drawn = run("plot", bench, efficiency, "-o", output, "--figure", "efficiency")
    assert drawn.stderr.endswith(f"Note: {bench} is not in it; --figure speedup shows it.\n")
    assert run("plot", bench, "-o", output).stderr == f"{output} shows speedup.\n"


def test_quiet_says_nothing(run, bench, tmp_path):
    assert run("plot", bench, "-o", tmp_path / "a.svg", "-q").output == ""


def test_a_torn_end_is_warned_about(run, bench, tmp_path):
    bench.write_bytes(bench.read_bytes()[:-3])
    drawn = run("plot", bench, "-o", tmp_path / "a.svg")
    assert drawn.exit_code == 0
    assert "Warning: " in drawn.stderr
    assert "the last line is incomplete" in drawn.stderr


def test_layers_are_chosen_by_a_pattern(run, tmp_path):
    results = made_results(weights="m.npz::a") + made_results(weights="m.npz::b")
    path = write_run(tmp_path / "run.jsonl", results)
    drawn = run("plot", path, "-o", tmp_path / "a.svg", "--layer", "b")
    assert drawn.stderr.endswith("shows speedup.\n")
    assert_refused(run("plot", path, "-o", tmp_path / "a.svg", "--layer", "c"), "no layer matches")


@pytest.mark.parametrize("command", ["plot", "report"])
def test_load_efficiencies_in_csv_are_asked_for_in_json(run, tmp_path, command):
    path, output = tmp_path / "efficiency.csv", tmp_path / "a.html"
    options = ["--shape", "64x64x5", "--rates", "0.9", "--groups", "8", "--format", "csv"]
    path.write_text(run("profile", "--predict", *options).stdout)
    refused = run(command, path, "-o", output)
    assert (refused.exit_code, refused.stderr) == (
        2,
        f"Error: {path} is CSV of `gpuprune profile`\nHint: give the same with --format json\n",
    )
    assert not output.exists()


@pytest.mark.parametrize("command", ["plot", "report"])
def test_what_cannot_be_shown_is_refused_and_nothing_is_written(run, bench, tmp_path, command):
    empty = write_run(tmp_path / "empty.jsonl", [])
    warm = write_run(tmp_path / "warm.jsonl", run=made_run(contract=Contract(cache="warm")))
    out = tmp_path / "out.html"
    assert_refused(run(command, empty, "-o", out), "holds no results")
    assert_refused(run(command, bench, warm, "-o", out), "timed in different ways")
    assert_refused(run(command, tmp_path / "missing.jsonl", "-o", out), "cannot read")
    assert_refused(run(command, bench, "-o", tmp_path / "run.jsonl"), "run.jsonl")
    assert_refused(run(command, "-o", out), "RUN")
    assert_refused(run(command, bench), "--output")
    assert not out.exists()
    assert len(list(tmp_path.iterdir())) == 3


def test_a_report_is_a_page_and_nothing_else(run, bench, tmp_path):
    assert_refused(run("report", bench, "-o", tmp_path / "a.png"), "ends in .html")


def test_an_unknown_figure_is_refused(run, bench, tmp_path):
    refused = run("plot", bench, "-o", tmp_path / "a.png", "--figure", "pie")
    assert_refused(refused, "'pie' is not one of")


def test_the_tradeoff_command_draws_figure_5(run, tmp_path):
    bench = write_run(tmp_path / "run.jsonl")
    accuracy = write_training(tmp_path / "accuracy.jsonl", trained())
    figure = tmp_path / "five.svg"
    assert run("tradeoff", bench, accuracy, "--figure", figure).exit_code == 0
    assert ">unpruned</text>" in figure.read_text()


def test_an_unknown_kind_of_figure_is_refused_before_training(run, tmp_path):
    refused = run("accuracy", "--figure", tmp_path / "four.jpeg")
    assert_refused(refused, "'four.jpeg' does not say how", ".png or .svg")
