"""The command: what it prints, and what it refuses."""

import json

import pytest

from tests.accuracy.digits import idx_files
from tests.conftest import assert_refused, json_rows

QUICK = ["--epochs", 2, "--retrain-epochs", 2, "--groups", "1,64", "--layers", 7]
QUICK += ["--device", "cpu", "--threads", 1]

FIELDS = (
    "seed layers rate group score orientation min_groups_per_row skip_last epochs retrain_epochs "
    "accuracy test_accuracy one_shot_accuracy achieved_rate empty_rows dead_classes"
).split()


@pytest.fixture
def folder(tmp_path):
    idx_files(tmp_path / "data")
    return tmp_path / "data"


def test_json_is_one_object_a_network(run, folder):
    result = run("accuracy", "--data", folder, *QUICK, "--format", "json")
    assert result.exit_code == 0, result.output
    rows = json_rows(result)
    assert [list(row) for row in rows] == [FIELDS] * 3
    assert [row["group"] for row in rows] == [None, 1, 64]
    assert rows[0]["retrain_epochs"] == 0
    assert all(0 <= row["accuracy"] <= 1 and 0 <= row["test_accuracy"] <= 1 for row in rows)


def test_the_table_has_a_row_a_group_and_warns_of_dead_classes(run, folder):
    result = run("accuracy", "--data", folder, *QUICK)
    assert result.exit_code == 0, result.output
    header, _, *rows = result.stdout.splitlines()
    titles = "group seeds accuracy test lost one shot removed energy empty dead"
    assert header.split() == titles.split()
    assert len(header) <= 100
    assert [row.split()[0] for row in rows] == ["unpruned", "1", "64"]
    assert result.stderr.startswith(
        "Training on unknown data, which is not the data of the paper: 7 matrices, 2 + 2 epochs"
    )
    assert "Take --min-groups-per-row 1 or --skip-last." in result.stderr


@pytest.mark.parametrize("output_format", ["json", "csv", "markdown"])
def test_dead_classes_are_warned_of_in_every_format(run, folder, output_format):
    result = run("accuracy", "--data", folder, *QUICK, "--format", output_format)
    assert "Take --min-groups-per-row 1 or --skip-last." in result.stderr


def test_a_loss_that_diverges_leaves_no_file_that_is_in_the_way(run, folder, tmp_path):
    out = tmp_path / "run.jsonl"
    arguments = ["accuracy", "--data", folder, *QUICK, "--output", out]
    assert_refused_after_start(run(*arguments, "--learning-rate", 100), "--learning-rate 0.1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
    assert run(*arguments, "--learning-rate", 0.1).exit_code == 0


def assert_refused_after_start(result, word):
    assert result.exit_code == 2, result.output
    assert result.stderr.splitlines()[-1].startswith("Hint: ")
    assert word in result.stderr


def test_a_figure_takes_no_runs_place(run, folder, tmp_path):
    path = tmp_path / "run.svg"
    result = run("accuracy", "--data", folder, *QUICK, "--output", path, "--figure", path)
    assert_refused(result, "run.svg", "two names")
    assert not path.exists()


def test_a_rate_that_was_not_reached_is_told(run, folder):
    result = run("accuracy", "--data", folder, *QUICK, "--min-groups-per-row", 1)
    assert "Take --min-groups-per-row 1" not in result.stderr
    rows = json_rows(
        run("accuracy", "--data", folder, *QUICK, "--min-groups-per-row", 1, "--format", "json")
    )
    achieved = f"{100 * rows[-1]['achieved_rate']:.1f} %"
    assert f"Groups of 64: {achieved} of the weights are removed, not 90.0 %" in result.stderr
    assert rows[-1]["achieved_rate"] == pytest.approx(0.815, abs=0.02)


def test_seeds_show_their_spread(run, folder):
    result = run("accuracy", "--data", folder, *QUICK, "--seeds", 2, "--format", "markdown")
    assert result.stdout.count("±") >= 6


def test_output_and_resume_give_the_same_rows(run, folder, tmp_path):
    command = ["accuracy", "--data", folder, *QUICK, "--output", tmp_path / "run.jsonl"]
    first = run(*command, "--format", "csv")
    again = run(*command, "--format", "csv", "--resume")
    assert first.stdout == again.stdout
    assert "3 networks are there already." in again.stderr
    header = json.loads((tmp_path / "run.jsonl").read_text().splitlines()[0])
    assert (header["record"], header["kind"]) == ("run", "accuracy")
    assert_refused(run(*command, "-q"), "--resume")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rate", "1"], "rate 1 is not between 0 and 1"),
        (["--epochs", "0"], "epochs 0"),
        (["--groups", "1,1000"], "group 1000 is not in 1 to 784"),
        (["--groups", ""], "is no list"),
        (["--layers", "6"], "no network of 6 layers"),
        (["--resume"], "--resume needs"),
    ],
)
def test_bad_options_are_refused(run, folder, options, words):
    assert_refused(run("accuracy", "--data", folder, "-q", "--device", "cpu", *options), words)


def test_a_folder_without_the_files_is_refused(run, tmp_path):
    assert_refused(run("accuracy", "--data", tmp_path), "train-images-idx3-ubyte", "--download")
