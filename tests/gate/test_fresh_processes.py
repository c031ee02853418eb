"""The gate with processes of its own: slow ones, so few."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import gpuprune
from tests.conftest import json_rows
from tests.gate.runs import SWEEP

pytestmark = pytest.mark.slow  # every check starts processes of its own


def test_record_and_check_in_fresh_processes(run, tmp_path):
    path = tmp_path / "baseline.json"
    result = run("baseline", "record", "-o", path, "--runs", "2", *SWEEP)
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[-2] == f"{path} holds 16 cells of 2 runs."
    result = run("check", "--baseline", path, "--runs", "2", "-q")
    assert result.exit_code == 0, result.output
    assert result.stdout == "No regression: 18 SAME (2 runs against 2, floor 10 %).\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["baseline.json"]


def test_head_and_base_take_turns_and_the_same_code_is_the_same(run, tmp_path):
    python = python_with(tmp_path, Path(gpuprune.__file__).parents[1])
    result = run("check", "--base", python, "--runs", "2", *SWEEP)
    assert result.exit_code == 0, result.output
    assert result.stdout == "No regression: 18 SAME (2 runs against 2, floor 10 %).\n"
    turns = [line.partition(" took")[0] for line in result.stderr.splitlines()]
    assert turns[1:] == [
        "Run 1 of 2 of base", "Run 1 of 2 of head", "Run 2 of 2 of head", "Run 2 of 2 of base"
    ]  # fmt: skip


def test_a_base_that_is_this_interpreter_is_told(run):
    result = run("check", "--base", sys.executable, "--runs", "2", *SWEEP)
    assert result.stderr.startswith(f"Warning: {sys.executable} is the Python that runs this")


def test_what_is_slower_is_confirmed_in_fresh_runs_before_it_fails(recorded, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "gpuprune", "check", "--baseline", recorded, "--runs", "2"],
        env={**os.environ, "PYTHONPATH": str(slower_package(tmp_path))},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("A regression: 1 SLOW, 17 SAME (2 runs against 5")
    said = [line.partition(" took")[0] for line in done.stderr.splitlines()]
    assert said == [
        "Run 1 of 2", "Run 2 of 2", "1 verdict is SLOW; confirming in fresh runs.",
        "Run 1 of 2", "Run 2 of 2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_an_interrupted_check_leaves_nothing_behind(recorded, tmp_path, number, code):
    junit, summary = tmp_path / "junit.xml", tmp_path / "summary.md"
    process = subprocess.Popen(
        [sys.executable, "-m", "gpuprune", "check", "--baseline", recorded, "--runs", "99",
         "--junit", junit],
        env={**os.environ, "GITHUB_STEP_SUMMARY": str(summary), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # even if these run under nohup
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline().startswith("Run 1 of 99")
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (code, "")
    assert "Traceback" not in stderr
    assert not [one for one in running() if str(tmp_path) in one]  # nothing goes on measuring
    assert [path.name for path in tmp_path.iterdir()] == ["baseline.json"]


def test_calibrate_says_what_the_runner_can_see(run):
    result = run("calibrate", "--runs", "2", *SWEEP)
    assert result.exit_code == 0, result.output
    assert "The floor here is 10.0 %; 1.5 times the largest drift is 0.0 %." in result.stdout
    rows = json_rows(run("calibrate", "--runs", "2", *SWEEP, "--format", "json", "-q"))
    assert [(row["level"], row["contender"], row["verdicts"]) for row in rows] == [
        ("device", "dense", 1), ("contender", "csr", 1), ("cell", "dense", 8), ("cell", "csr", 8)
    ]  # fmt: skip
    assert all(row["visible"] >= 0.1 and row["drift_max"] == 0 for row in rows)


def python_with(folder, package):
    """An interpreter that has a gpuprune of its own, as that of a virtual environment."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nPYTHONPATH={package} exec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return path


def slower_package(folder):
    """Copy the package, with a CSR product that reads twice as much."""
    package = folder / "slower" / "gpuprune"
    shutil.copytree(Path(gpuprune.__file__).parent, package)
    csr = package / "contenders" / "csr" / "__init__.py"
    csr.write_text(csr.read_text() + SLOWER)
    return package.parent


SLOWER = """

_prepare = prepare


def prepare(problem, backend):
    from dataclasses import replace

    return [replace(one, bytes=2 * one.bytes) for one in _prepare(problem, backend)]
"""


def running():
    """Return the command lines of all processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            found.append(path.read_text(errors="replace"))
    return found
