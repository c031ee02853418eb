"""Scripts that the documentation tells people to run."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.made_runs import made_results, write_run

SCRIPTS = Path(__file__).parents[1] / "benchmarks"


def script(name, *arguments):
    return subprocess.run(
        [sys.executable, SCRIPTS / name, *map(str, arguments)], capture_output=True, text=True
    )


def assert_refused(ended, *words):
    assert (ended.returncode, ended.stdout) == (2, "")
    error, hint = ended.stderr.splitlines()
    assert error.startswith("Error: ")
    assert hint.startswith("Hint: ")
    for word in words:
        assert word in error


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["group_kernels.py", "--groups", "0"], "group 0"),
        (["group_kernels.py", "--rates", "nan"], "rate nan"),
        (["group_kernels.py", "--threads", "0"], "0 threads"),
        (["group_kernels.py", "--samples", "0"], "--samples: '0' is no whole number from 1 on"),
        (["predictions.py"], "RUN.jsonl"),
        (["overhead.py", "--bogus"], "--bogus"),
    ],
)
def test_a_mistake_is_one_error_and_one_hint(arguments, word):
    assert_refused(script(*arguments), word)


@pytest.fixture
def runs(tmp_path):
    """Make a run of each orientation, of the same cases."""
    paths = []
    for orientation in ("row", "column"):
        results = made_results({1: {0.9: 1.0}}, orientation=orientation)
        paths.append(write_run(tmp_path / f"{orientation}.jsonl", results))
    return paths


def test_orientations_are_compared_only_between_a_run_of_each(runs, tmp_path):
    row, column = runs
    assert_refused(script("orientations.py", row, row), f"{row} is no run of column groups")
    assert_refused(script("orientations.py", column, row), f"{column} is no run of row groups")
    assert_refused(script("orientations.py", row, tmp_path / "none"), "none")
    # These have no product that is made for the groups, so that there is nothing to compare.
    assert_refused(script("orientations.py", row, column), "no rate and group size")


def test_predictions_of_a_run_without_any_are_refused(runs):
    assert_refused(script("predictions.py", runs[0]), "no predicted times")
