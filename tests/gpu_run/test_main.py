"""The whole script as a program, on devices that are no GPU."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.gpu_run.runner import JOURNAL, ROOT, Attempt, Step, latest
from benchmarks.gpu_run.summary import page

COMMAND = [sys.executable, "-m", "benchmarks.gpu_run"]


def gpu_run(*arguments, **more):
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, **more
    )
    return done.returncode, done.stdout, done.stderr


def statuses(folder):
    return {name: attempt.status for name, attempt in latest(folder).items()}


def test_a_sweep_on_the_fake_device_is_kept_and_goes_on_where_it_ended(tmp_path):
    arguments = ("--device", "fake", "--output", tmp_path, "--only", "bench-row-cold", "tests-row")
    code, stdout, stderr = gpu_run(*arguments)
    assert code == 0, stderr
    assert statuses(tmp_path) == {"bench-row-cold": "done", "tests-row": "skipped"}
    assert (tmp_path / "summary.md").read_text() == stdout
    assert "| tests-row | skipped: needs a GPU, and --device is fake |" in stdout
    assert "| check | not run |" in stdout
    lines = (tmp_path / "bench-row-cold.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["record"] == "end"
    assert "Speedup of csr over dense" in (tmp_path / "bench-row-cold.stdout.txt").read_text()
    first = latest(tmp_path)["bench-row-cold"]
    assert gpu_run(*arguments)[0] == 0
    assert latest(tmp_path)["bench-row-cold"] == first


def test_a_step_that_failed_makes_the_exit_code_one(tmp_path):
    (tmp_path / "data").mkdir()
    code, stdout, stderr = gpu_run(
        "--device", "fake", "--output", tmp_path, "--only", "accuracy", "clock-table",
        "--data", tmp_path / "data",
    )  # fmt: skip
    assert code == 1
    assert statuses(tmp_path) == {"accuracy": "failed", "clock-table": "done"}
    assert "| accuracy | failed, exit code 2: Error:" in stdout
    assert "accuracy: failed after" in stderr


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(tmp_path):
    begun = subprocess.Popen(
        [*COMMAND, "--device", "fake", "--output", tmp_path, "--only", "clock-table", "check"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while statuses(tmp_path).get("check") != "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    begun.send_signal(signal.SIGINT)
    stdout, stderr = begun.communicate(timeout=60)
    assert begun.returncode == 130
    assert statuses(tmp_path) == {"clock-table": "done", "check": "interrupted"}
    assert "| check | interrupted |" in stdout
    assert stderr.splitlines()[-1] == "Interrupted. All is kept; the same command goes on."


def test_without_tools_their_steps_are_skipped_and_that_is_no_failure(tmp_path):
    # The way to Python is kept, that to everything of NVIDIA's is not.
    environment = {**os.environ, "PATH": str(tmp_path), "CUDA_HOME": "", "CUDA_PATH": ""}
    code, _, stderr = gpu_run(
        "--output", tmp_path / "run", "--only", "sanitize-*", "profile-*", env=environment
    )
    if any(Path("/").glob("usr/local/cuda*/bin/compute-sanitizer")):
        pytest.skip("a toolkit is installed here: its tools are found without PATH")
    assert code == 0, stderr
    assert set(statuses(tmp_path / "run").values()) == {"skipped"}
    assert "sanitize-racecheck: skipped after 0 s (there is no compute-sanitizer on" in stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Error: there is no folder to write to"),
        (("--output", "x", "--only", "sleep"), "Error: there is no step 'sleep'"),
        (("--output", "x", "--minutes", "0"), "Error: 0.0 are no minutes"),
    ],
)
def test_bad_usage_says_what_to_do(arguments, message):
    code, stdout, stderr = gpu_run(*arguments)
    assert (code, stdout) == (2, "")
    error, hint = stderr.splitlines()
    assert error == message
    assert hint.startswith("Hint: ")


def test_minutes_are_shared_among_the_steps_that_can_be_made():
    code, stdout, _ = gpu_run("--list", "--device", "fake", "--minutes", "2", "--only", "clock*")
    assert code == 0
    assert stdout.splitlines() == [
        "clock            98 s  bench's clock and CUDA graphs, of a few products",
        "clock-ncu       164 s  needs a GPU, and --device is fake",
        "clock-nvbench    65 s  needs a GPU, and --device is fake",
        "clock-table      22 s  bench's clock against the others, a row a product",
        "                2.0 min of what is not lacking",
    ]


def test_a_page_tells_the_machine_the_date_and_what_became_of_each_step():
    def step(name, **more):
        return Step(name=name, does="", commands=(), limit_s=120, **more)

    def attempt(name, status, **more):
        machine = {
            "gpu": "H200, 580.1", "cpu": "a CPU", "cores": 16, "python": "3.12",
            "gpuprune": "0.1", "commit": "abc1234", "packages": {"numpy": "2.5"},
        }  # fmt: skip
        return Attempt(
            step=name, status=status, device="cuda", limit_s=120, commands=(), machine=machine,
            started="2026-11-22T13:00:00+00:00", **more,
        )  # fmt: skip

    attempts = [
        attempt("info", "done", seconds=2.4, exit_code=0),
        attempt("tests", "failed", seconds=80.0, exit_code=1, reason="2 | 3"),
        attempt("bench", "stopped", seconds=120.0, reason="its limit of 120 s was over"),
        attempt("clock", "running"),
        attempt("ncu", "skipped", reason="there is no ncu"),
    ]
    steps = [step(one.step) for one in attempts] + [step("check")]
    files = {"info.stdout.txt", "tests.stdout.txt", "other.txt"}
    assert (
        page({one.step: one for one in attempts}, steps, files)
        == """\
# Run of everything, step by step

- cuda: H200, driver 580.1; 16 cores of a CPU; gpuprune 0.1 (abc1234), Python 3.12, numpy 2.5
- 2026-11-22T13:00:00+00:00 to 2026-11-22T13:00:00+00:00

| step | result | took | limit | files |
|---|---|--:|--:|---|
| info | done | 2 s | 120 s | [info.stdout.txt](info.stdout.txt) |
| tests | failed, exit code 1: 2 \\| 3 | 80 s | 120 s | [tests.stdout.txt](tests.stdout.txt) |
| bench | stopped at its limit | 120 s | 120 s |  |
| clock | cut off |  | 120 s |  |
| ncu | skipped: there is no ncu |  | 120 s |  |
| check | not run |  | 120 s |  |
"""
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("device", "only"),
    [("fake", ()), ("cpu", ("--only", "info", "clock*", "bench-row-cold", "profile-*"))],
    ids=["fake", "cpu"],
)
def test_everything_is_made_on_a_small_layer(tmp_path, device, only):
    code, stdout, stderr = gpu_run("--device", device, "--output", tmp_path, *only)
    assert code == 0, stdout + stderr
    found = latest(tmp_path)
    for name, attempt in found.items():
        assert attempt.status in ("done", "skipped"), name
        if attempt.status == "skipped":
            assert attempt.reason == f"needs a GPU, and --device is {device}"
    with_records = [name for name in found if found[name].status == "done"]
    for name in with_records:
        if (path := tmp_path / f"{name}.jsonl").exists():
            assert all(map(json.loads, path.read_text().splitlines()))
    predicted = [
        json.loads(line) for line in (tmp_path / "profile-row.stdout.txt").read_text().splitlines()
    ]
    assert {one["predicted"] for one in predicted} == {True}
    if not only:
        assert "No regression" in (tmp_path / "check.stdout.txt").read_text()
    assert len((tmp_path / JOURNAL).read_text().splitlines()) == sum(
        1 if attempt.status == "skipped" else 2 for attempt in found.values()
    )
