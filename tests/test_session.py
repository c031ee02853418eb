import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import islice

import pytest

from gpuprune import config, session
from gpuprune.errors import GpupruneError
from gpuprune.execution import Local
from gpuprune.records import Case
from gpuprune.storage import read

SWEEP = replace(
    config.paper(), shape=((16, 32, 3),), rates=(0.5, 0.8, 0.9), groups=(1, 4), device="fake"
)


def job(fake, **changes):
    return session.resolve(replace(SWEEP, **changes), Local(fake))


def measure(fake, path, resume=False, **changes):
    with session.start(job(fake, **changes), path, resume=resume) as running:
        for _ in running:
            pass
    return running


def lines(path):
    return path.read_bytes().splitlines(keepends=True)


def test_a_run_file_holds_the_run_every_result_and_the_end(fake, tmp_path):
    path = tmp_path / "run.jsonl"
    running = measure(fake, path)
    run, results, warning = session.load(path)
    assert warning is None
    assert run == running.run
    assert results == running.results
    assert len(results) == 6 * len(running.job.contenders)
    end = read(path).end
    assert end["results"] == len(results)
    assert end["wall_s"] >= end["measuring_s"] > 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.jsonl"]


@pytest.mark.parametrize("kept", [1, 2, 4, 5])
def test_resuming_keeps_what_is_there_byte_for_byte_and_measures_the_rest(fake, tmp_path, kept):
    path = tmp_path / "run.jsonl"
    whole = measure(fake, path)
    before = lines(path)[:kept]
    path.write_bytes(b"".join(before))
    resumed = measure(fake, path, resume=True)
    assert lines(path)[:kept] == before
    assert resumed.run == whole.run
    key = [(one.case, one.contender) for one in resumed.results]
    assert key == [(one.case, one.contender) for one in whole.results]
    assert read(path).end is not None


def test_resuming_a_complete_run_measures_nothing(fake, tmp_path):
    path = tmp_path / "run.jsonl"
    measure(fake, path)
    before = path.read_bytes()
    assert measure(fake, path, resume=True).pending == []
    assert path.read_bytes() == before


def test_resuming_what_is_not_there_begins_it(fake, tmp_path):
    path = tmp_path / "run.jsonl"
    assert len(measure(fake, path, resume=True).results) > 0


def test_a_torn_last_line_is_dropped_with_a_warning_and_measured_again(fake, tmp_path):
    path = tmp_path / "run.jsonl"
    measure(fake, path)
    path.write_bytes(b"".join(lines(path)[:4])[:-9])
    resumed = measure(fake, path, resume=True)
    assert "the last line is incomplete" in resumed.warning
    assert len(resumed.results) == 6 * len(resumed.job.contenders)


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"rates": (0.5,)}, {"cache": "warm"}, {"contenders": ("dense",)}]
)
def test_a_run_of_another_configuration_is_not_resumed(fake, tmp_path, change):
    path = tmp_path / "run.jsonl"
    measure(fake, path)
    before = path.read_bytes()
    with pytest.raises(GpupruneError, match=next(iter(change))):
        measure(fake, path, resume=True, **change)
    assert path.read_bytes() == before


def test_a_run_of_another_machine_is_not_resumed(fake, tmp_path, monkeypatch):
    path = tmp_path / "run.jsonl"
    measure(fake, path)
    monkeypatch.setattr(fake, "facts", lambda: {"device_name": "another device"})
    with pytest.raises(GpupruneError, match="ran on device-name 'a fake device'"):
        measure(fake, path, resume=True)


def test_changed_weights_are_not_resumed(fake, tmp_path):
    import numpy as np

    path, weights = tmp_path / "run.jsonl", tmp_path / "w.npy"
    np.save(weights, np.ones((8, 8), np.float32))
    measure(fake, path, weights=str(weights))
    np.save(weights, np.full((8, 8), 2, np.float32))
    with pytest.raises(GpupruneError, match="weights-sha256"):
        measure(fake, path, resume=True, weights=str(weights))


def test_an_existing_file_is_never_written_over(fake, tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text("mine")
    with pytest.raises(GpupruneError) as error:
        measure(fake, path)
    assert "--resume" in error.value.hint
    assert path.read_text() == "mine"


def test_a_run_file_without_what_a_result_needs_is_refused(fake, tmp_path):
    path = tmp_path / "run.jsonl"
    measure(fake, path)
    header = json.loads(lines(path)[0])
    del header["crc"], header["calibration"]
    path.write_text(json.dumps(header) + "\n")
    with pytest.raises(GpupruneError, match="calibration"):
        session.load(path)


def test_resume_without_a_file_is_refused(fake):
    with pytest.raises(GpupruneError, match="--resume"):
        measure(fake, None, resume=True)


class OnRay(Local):
    """This process, which says that it is a cluster."""

    def describe(self):
        return {**super().describe(), "executor": "ray"}


@pytest.mark.parametrize(
    ("first", "then", "message", "hint"),
    [
        (OnRay, Local, "was measured with --ray, and now --ray is missing", "add --ray"),
        (Local, OnRay, "was measured without --ray, and now --ray is asked for", "leave out"),
    ],
)
def test_a_run_goes_on_with_a_cluster_only_if_it_began_with_one(
    fake, tmp_path, first, then, message, hint
):
    path = tmp_path / "run.jsonl"
    with session.start(session.resolve(SWEEP, first(fake)), path, resume=False):
        pass
    with (
        pytest.raises(GpupruneError, match=message) as refusal,
        session.start(session.resolve(SWEEP, then(fake)), path, resume=True),
    ):
        pass
    assert hint in refusal.value.hint


class LostAfterTwo(Local):
    """A device that can be had no more after two cases."""

    def measure(self, work, stopwatch):
        yield from islice(super().measure(work, stopwatch), 2)
        raise GpupruneError("the cluster is lost", hint="start it again")


def test_what_stops_a_run_says_how_many_results_are_safe(fake, tmp_path):
    path = tmp_path / "run.jsonl"
    lost = session.resolve(SWEEP, LostAfterTwo(fake))
    with pytest.raises(GpupruneError) as refusal, session.start(lost, path, resume=False) as run:
        list(run)
    safe = 2 * len(lost.contenders)
    assert len(read(path).results) == safe
    assert str(refusal.value) == f"the cluster is lost; {safe} results are safe in {path}"
    assert refusal.value.hint == "start it again"
    with pytest.raises(GpupruneError, match=r"^the cluster is lost$"):
        list(session.start(lost, None, resume=False).__enter__())


COMMAND = [
    sys.executable, "-m", "gpuprune", "bench", "--device", "cpu", "--threads", "1", "--shape",
    "512x512x16", "--rates", "0.5:0.9:0.2", "--groups", "1,2,4,8", "--samples", "2",
]  # fmt: skip


def start_and_wait_for_results(path):
    process = subprocess.Popen(
        [*COMMAND, "--output", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and path.read_bytes().count(b"\n") > 5:
            return process
        time.sleep(0.02)
    raise AssertionError(process.communicate())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_a_stopped_run_loses_nothing_that_was_measured(tmp_path, number):
    path = tmp_path / "run.jsonl"
    process = start_and_wait_for_results(path)
    safe = path.read_bytes().count(b"\n")
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    results = read(path).results
    assert len(results) >= safe - 1
    assert read(path).end is None
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert f"{len(results)} results safe" in stderr
        assert stderr.endswith(
            "results safe; the same command with --resume goes on.\n\nInterrupted.\n"
        )
        assert "Speedup of csr over dense" in stdout
        assert "No advice: the run was stopped before its last case." in stdout
        assert "stay dense" not in stdout
    kept = path.read_bytes()
    done = subprocess.run(
        [*COMMAND, "--output", path, "--resume", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert path.read_bytes().startswith(kept[: kept.rfind(b"\n") + 1])
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(read(path).results)
    assert len({(row["rate"], row["group"], row["contender"]) for row in rows}) == len(rows)
    assert all(row["speedup"] for row in rows if row["status"] == "ok")


def test_cases_are_those_of_the_sweep(fake):
    assert job(fake).cases[0] == Case(rows=16, cols=32, batch=3, rate=0.5, group=1)


def test_a_run_of_one_thread_which_nobody_starts_is_read(run, tmp_path):
    path = tmp_path / "run.jsonl"
    sweep = ["--device", "fake", "--shape", "8x8x2", "--rates", "0.5", "--groups", "1"]
    assert run("bench", *sweep, "--output", path).exit_code == 0
    head, *rest = [json.loads(line) for line in path.read_text().splitlines()]
    head["calibration"]["start_s"] = 0.0
    for line in (head, *rest):
        del line["crc"]
    path.write_text("".join(json.dumps(line) + "\n" for line in (head, *rest)))
    found, results, _ = session.load(path)
    assert found.calibration.start_s == 0.0
    assert results
