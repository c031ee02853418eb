"""What keeps a sweep from a cluster: each case one error, one hint, exit code 2."""

import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from gpuprune.storage import read
from tests.cluster.conftest import (
    PATIENCE_S,
    ROOT,
    SWEEP_200,
    assert_every_case_once,
    results_in,
    wait_until,
    workers_on,
)
from tests.conftest import assert_refused

SMALL = ["--device", "fake", "--shape", "64x64x5", "--rates", "0.4,0.9", "--groups", "1"]


def assert_refuses(process, *words):
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, stdout) == (2, ""), stderr
    error, hint = (line for line in stderr.splitlines() if line.startswith(("Error: ", "Hint: ")))
    assert len(hint) > len("Hint: ")
    for word in words:
        assert word in stderr
    assert "Traceback" not in stderr
    return error


def test_without_ray_the_hint_says_how_to_install_it(run, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("gpuprune.cluster.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert_refused(run("bench", *SMALL, "--ray", "local"), "needs Ray", "gpuprune[ray]")


@pytest.mark.parametrize(("option", "value"), [("--accelerator", "H100"), ("--deadline", "900")])
def test_what_asks_something_of_a_cluster_needs_one(run, option, value):
    assert_refused(run("bench", *SMALL, option, value), f"{option} needs a Ray cluster", "--ray")


@pytest.mark.parametrize("kinds", [",", "H100,,A100"])
def test_accelerators_are_a_list(run, kinds):
    assert_refused(run("bench", *SMALL, "--ray", "local", "--accelerator", kinds), repr(kinds))


@pytest.mark.parametrize(
    ("seconds", "named"),
    [("0", "0"), ("-1", "-1"), ("nan", "nan"), ("inf", "inf"), ("1e400", "inf"),
     ("1e30", "1e+30"), ("31536001", "3.1536e+07")],
)  # fmt: skip
def test_a_deadline_is_a_time(run, seconds, named):
    result = run("bench", *SMALL, "--ray", "local", "--deadline", seconds)
    assert_refused(result, f"--deadline {named} is no time", "at most those of a year")


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("nonsense", "is no HOST:PORT"),
        ("host:port", "is no HOST:PORT"),
        ("host:99999", "is no HOST:PORT"),
        (":6379", "is no HOST:PORT"),
        ("ray://head:10001", "is an address of Ray's client"),
    ],
)
def test_an_address_that_is_none_is_refused(run, address, word):
    pytest.importorskip("ray")
    assert_refused(run("bench", *SMALL, "--ray", address), address, word)


def test_nobody_at_the_address_is_told_at_once(run):
    pytest.importorskip("ray")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        result = run("bench", *SMALL, "--ray", f"127.0.0.1:{port}")
    assert_refused(result, f"no Ray cluster answers at 127.0.0.1:{port}", "ray start --head")


def test_telemetry_is_off_before_ray_is_asked_for_anything(run, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    run("bench", *SMALL, "--ray", "127.0.0.1:1")
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_a_cluster_that_is_no_more_is_not_waited_for_though_the_environment_names_it(
    run, monkeypatch
):
    pytest.importorskip("ray")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        result = run("bench", *SMALL, "--ray", "auto")
    assert_refused(result, f"no Ray cluster answers at {address}", "ray start --head")


@pytest.mark.slow
def test_who_listens_and_is_not_ray_is_not_waited_for(run):
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        result = run("bench", *SMALL, "--ray", f"127.0.0.1:{deaf.getsockname()[1]}")
    assert_refused(result, "does not answer as Ray does", "6379")


@pytest.mark.slow
def test_a_cluster_that_died_without_a_word_is_not_waited_for(run, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        note = tmp_path / "ray" / "ray_current_cluster"  # as Ray leaves it
        note.parent.mkdir()
        note.write_text(f"127.0.0.1:{unused.getsockname()[1]}")
        monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        result = run("bench", *SMALL, "--ray", "auto")
    assert_refused(result, "that this machine belonged to does not answer", "ray stop")


@pytest.mark.slow
@pytest.mark.timeout(3 * PATIENCE_S)
class TestOnACluster:
    """Refusals of a real cluster."""

    pytest.importorskip("ray")

    def test_an_accelerator_that_nobody_has_is_named_with_those_there_are(self, nodes, bench):
        nodes.add(1, resources={"accelerator_type:A100": 1})
        process = bench(*SMALL, "--accelerator", "H100,A100")
        assert_refuses(process, "has no accelerator 'H100'", "it has A100")

    def test_only_the_asked_accelerators_measure(self, nodes, bench, tmp_path):
        nodes.add(1, resources={"accelerator_type:A100": 1})
        nodes.add(2, resources={"accelerator_type:H100": 1})
        path = tmp_path / "run.jsonl"
        process = bench(*SMALL, "--accelerator", "H100", "--output", path)
        assert process.wait(timeout=PATIENCE_S) == 0
        assert {one["device_id"] for one in read(path).results} == {"gpu-2"}

    def test_a_cluster_without_gpus_is_none_for_cuda(self, nodes, bench):
        nodes.add(1, num_gpus=0)
        assert_refuses(bench(*SMALL, "--device", "cuda"), "has no GPU", "--device cpu")

    def test_a_gpu_that_does_not_work_is_told_with_its_node(self, nodes, bench):
        nodes.add(1)
        error = assert_refuses(bench(*SMALL, "--device", "cuda"), "no device is left")
        assert os.uname().nodename in error

    def test_another_version_of_gpuprune_on_a_node_is_refused(self, nodes, bench, tmp_path):
        shutil.copytree(ROOT / "gpuprune", tmp_path / "old" / "gpuprune")
        (tmp_path / "old" / "gpuprune" / "__init__.py").write_text('__version__ = "0.0.9"\n')
        nodes.add(1, env_vars={"PYTHONPATH": str(tmp_path / "old")})
        assert_refuses(bench(*SMALL), "has gpuprune 0.0.9, and this process has")

    def test_another_python_on_a_node_is_refused(self, nodes, bench, tmp_path):
        site = tmp_path / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(
            "import platform\nplatform.python_version = lambda: '3.99.0'\n"
        )
        nodes.add(1, env_vars={"PYTHONPATH": f"{site}:{ROOT}"})
        path = tmp_path / "run.jsonl"
        assert_refuses(bench(*SMALL, "--output", path), "has Python 3.99.0, and this process has")
        assert not path.exists()

    def test_a_cluster_without_tokens_is_joined_by_who_has_one(
        self, nodes, bench, tmp_path, monkeypatch
    ):
        nodes.add(1)
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text("a" * 64)
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        path = tmp_path / "run.jsonl"
        process = bench(*SMALL, "--output", path, address="auto")
        assert process.wait(timeout=PATIENCE_S) == 0, process.communicate()
        assert_every_case_once(path, 2, contenders=3)

    def test_a_node_that_joins_with_another_version_gets_no_case(self, nodes, bench, tmp_path):
        shutil.copytree(ROOT / "gpuprune", tmp_path / "old" / "gpuprune")
        (tmp_path / "old" / "gpuprune" / "__init__.py").write_text('__version__ = "0.0.9"\n')
        nodes.add(1)
        path = tmp_path / "run.jsonl"
        process = bench(*SWEEP_200[:-1], 90, "--output", path)
        wait_until(process, lambda: len(results_in(path)) > 10)
        nodes.add(2, env_vars={"PYTHONPATH": str(tmp_path / "old")})
        _, stderr = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, stderr
        assert "has gpuprune 0.0.9, and this process has" in stderr
        assert {one["device_id"] for one in read(path).results} == {"gpu-1"}

    def test_a_device_that_ray_gave_to_others_gets_no_case(self, nodes, bench, tmp_path):
        nodes.add(1)
        hog = subprocess.Popen(
            [sys.executable, "-c", HOG, nodes.address], stdin=subprocess.PIPE, stdout=-1, text=True
        )
        assert hog.stdout.readline() == "taken\n"
        nodes.add(2)
        path = tmp_path / "run.jsonl"
        assert bench(*SMALL, "--output", path).wait(timeout=PATIENCE_S) == 0
        hog.communicate("\n")
        assert {one["device_id"] for one in read(path).results} == {"gpu-2"}

    def test_a_device_that_a_process_still_measures_on_is_waited_for(self, nodes, bench, tmp_path):
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert holder.stdout.readline() == "held\n"
        nodes.add(1)
        path = tmp_path / "run.jsonl"
        process = bench(*SMALL, "--output", path)
        waiting = f"Waiting for a device of {os.uname().nodename}: another process measures on it."
        wait_until(process, lambda: process.stderr.readline().rstrip() == waiting)
        time.sleep(3)  # long enough to ask again
        assert process.poll() is None
        assert not path.exists()
        holder.communicate("\n")
        _, stderr = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, stderr
        assert waiting not in stderr
        assert_every_case_once(path, 2, contenders=3)

    def test_weights_that_a_node_does_not_have_are_sent_to_it(self, nodes, bench, tmp_path):
        import numpy as np

        np.save(tmp_path / "layer.npy", np.random.default_rng(0).random((64, 32), np.float32))
        nodes.add(1)
        path = tmp_path / "run.jsonl"
        sweep = ["--device", "fake", "--rates", "0.4,0.9", "--groups", "1,4", "--batch", "4"]
        # What "self" stands for is another folder for every process.
        process = bench(*sweep, "--weights", "/proc/self/cwd/layer.npy", "--output", path)
        assert process.wait(timeout=PATIENCE_S) == 0, process.communicate()
        assert_every_case_once(path, 4, contenders=3)
        nnz = {(one["case"]["rate"], one["case"]["group"]): one["nnz"] for one in results_in(path)}
        assert nnz[0.9, 1] == 205

    def test_a_full_disk_says_how_many_results_are_safe(self, nodes, tmp_path):
        nodes.add(1)
        path = tmp_path / "run.jsonl"
        command = [sys.executable, "-m", "gpuprune", "bench", "--ray", nodes.address, *SWEEP_200]
        process = subprocess.Popen(
            ["bash", "-c", 'ulimit -f 100; exec "$@"', "bash", *command, "--output", path],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        error = assert_refuses(process, "--resume", "ulimit -f")
        assert f"{len(read(path).results)} results are safe" in error

    @pytest.mark.parametrize(
        ("process", "words"),
        [
            ("raylet", ["Ray's node of this machine", "has ended", "`ray start`"]),
            ("gcs_server", ["the head of the Ray cluster", "not answered for 20 s"]),
        ],
    )
    def test_a_head_that_is_lost_is_told_and_the_run_goes_on_later(
        self, nodes, bench, tmp_path, process, words
    ):
        path = tmp_path / "run.jsonl"
        nodes.add(1)
        nodes.add(2)
        sweep = bench(*SWEEP_200[:-1], 4000, "--output", path)
        wait_until(sweep, lambda: len(results_in(path)) > 5)
        nodes.kill_head(process)
        error = assert_refuses(sweep, *words, "--resume")
        assert f"{len(results_in(path))} results are safe in {path}" in error

    def test_workers_that_run_out_of_memory_are_told_and_what_was_measured_is_kept(
        self, nodes, bench, tmp_path
    ):
        nodes.add(1)
        path = tmp_path / "run.jsonl"
        # The second layer needs 32 MiB at once, and its worker has what the first one needed.
        shapes = ["--shape", "512x512x16,4096x2048x4", "--rates", "0.5:0.975:0.025"]
        process = bench(*SMALL, *shapes, "--samples", "30", "--output", path)
        wait_until(process, lambda: len(results_in(path)) > 10)
        while process.poll() is None:
            for pid in workers_on("gpu-1"):
                refuse_memory(pid)
        assert_refuses(process, "a worker on", "ran out of memory", "--resume")
        assert {one["case"]["rows"] for one in results_in(path)} == {512}

    def test_a_deadline_too_short_to_begin_is_named(self, nodes, bench, tmp_path):
        nodes.add(1)
        process = bench(*SMALL, "--deadline", "0.0001", "--output", tmp_path / "run.jsonl")
        assert_refuses(process, "within the --deadline of 0.0001 s", "take a longer --deadline")


@pytest.fixture
def guarded(tmp_path):
    """The address of a head node that asks for the token a...a, of a user at home in tmp_path."""
    pytest.importorskip("ray")
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("a" * 32)
    with socket.socket() as unused:
        unused.bind(("", 0))
        port = unused.getsockname()[1]
    head = subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", f"--port={port}",
         "--num-cpus=1", "--include-dashboard=false", "--block"],
        env={**os.environ, "HOME": str(tmp_path), "RAY_AUTH_MODE": "token",
             "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        wait_until(head, lambda: "--block" in head.stdout.readline())
        yield f"{socket.gethostbyname(socket.gethostname())}:{port}"
    finally:
        head.terminate()
        head.communicate(timeout=PATIENCE_S)


@pytest.mark.slow
def test_a_wrong_token_names_the_variable_at_once(run, guarded, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "b" * 32)
    assert_refused(run("bench", *SMALL, "--ray", guarded), "token", "RAY_AUTH_TOKEN")


@pytest.mark.slow
def test_who_has_no_token_is_told_that_one_is_asked_for(run, guarded, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    assert_refused(run("bench", *SMALL, "--ray", guarded), "asks for one", "RAY_AUTH_TOKEN")


@pytest.mark.slow
def test_the_users_own_token_is_shown_to_a_cluster_that_asks_for_it(
    guarded, bench, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    process = bench(*SMALL, "--output", tmp_path / "run.jsonl", address=guarded)
    assert process.wait(timeout=PATIENCE_S) == 0, process.communicate()
    assert_every_case_once(tmp_path / "run.jsonl", 2, contenders=3)


def refuse_memory(pid):
    """Let a process have no memory beyond what it has."""
    with suppress(OSError):  # it may have ended
        resource.prlimit(pid, resource.RLIMIT_AS, (1 << 20, 1 << 20))


HOLDER = """
from gpuprune.cluster.locks import lock_device
assert lock_device("gpu-1", 0) is not None
print("held", flush=True)
input()
"""
HOG = """
import ray, sys
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="error")
@ray.remote(num_gpus=1, num_cpus=0)
class Hog:
    def ready(self):
        return True
hog = Hog.remote()
ray.get(hog.ready.remote())
print("taken", flush=True)
input()
"""
