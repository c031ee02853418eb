"""Whole sweeps on a real cluster of several nodes."""

import json
import os
import signal
from collections import Counter

import pytest

from gpuprune.storage import read
from tests.cluster.conftest import (
    PATIENCE_S,
    SWEEP_200,
    assert_every_case_once,
    results_in,
    wait_until,
    workers_on,
)

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * PATIENCE_S)]


def devices_of(results):
    return Counter(one["device_id"] for one in results)


def test_a_node_killed_in_the_middle_costs_no_result_and_repeats_none(nodes, bench, tmp_path):
    path = tmp_path / "run.jsonl"
    first = nodes.add(1)
    nodes.add(2)
    nodes.add(3)
    process = bench(*SWEEP_200, "--output", path, "--format", "json")
    wait_until(process, lambda: devices_of(results_in(path))["gpu-1"] > 10)
    nodes.kill(first)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    assert_every_case_once(path, 200)
    # Ray has much to say, and none of it is a result.
    assert len([json.loads(line) for line in stdout.splitlines()]) == 400
    measured = devices_of(read(path).results)
    assert set(measured) == {"gpu-1", "gpu-2", "gpu-3"}
    # One process a device measures all of its cases: what compiled stays.
    workers = read(path).end["workers"]
    assert Counter({one["device_id"]: 2 * one["cases"] for one in workers}) == measured
    assert len({one["pid"] for one in workers}) == 3


def test_a_driver_that_is_killed_goes_on_with_resume(nodes, bench, tmp_path):
    path = tmp_path / "run.jsonl"
    for number in (1, 2):
        nodes.add(number)
    process = bench(*SWEEP_200, "--output", path)
    wait_until(process, lambda: len(results_in(path)) > 40)
    process.kill()
    process.communicate()
    kept = path.read_bytes()
    process = bench(*SWEEP_200, "--output", path, "--resume")
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    assert path.read_bytes().startswith(kept[: kept.rfind(b"\n") + 1])
    assert_every_case_once(path, 200)


def test_ctrl_c_keeps_what_is_there_and_frees_the_devices(nodes, bench, tmp_path):
    path = tmp_path / "run.jsonl"
    nodes.add(1)
    process = bench(*SWEEP_200, "--output", path)
    wait_until(process, lambda: len(results_in(path)) > 10)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    results = results_in(path)
    assert process.returncode == 130, stderr
    assert f"{len(results)} results safe" in stderr
    again = bench(*SWEEP_200, "--output", path, "--resume")
    _, stderr = again.communicate(timeout=PATIENCE_S)
    assert again.returncode == 0, stderr
    assert_every_case_once(path, 200)


def test_a_worker_that_hangs_is_killed_and_its_case_measured_again(nodes, bench, tmp_path):
    path = tmp_path / "run.jsonl"
    nodes.add(1)
    process = bench(*SWEEP_200, "--output", path, "--deadline", "10")
    wait_until(process, lambda: len(results_in(path)) > 10)
    (worker,) = workers_on("gpu-1")
    os.kill(worker, signal.SIGSTOP)  # as a driver of a GPU hangs
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    assert "Measuring a case again: a worker on" in stderr
    assert "gave no answer within the --deadline of 10 s" in stderr
    assert_every_case_once(path, 200)


def test_a_node_that_joins_while_the_sweep_goes_on_takes_its_share(nodes, bench, tmp_path):
    path = tmp_path / "run.jsonl"
    nodes.add(1)
    process = bench(*SWEEP_200[:-1], 90, "--output", path)
    wait_until(process, lambda: len(results_in(path)) > 10)
    nodes.add(2)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    assert_every_case_once(path, 200)
    assert devices_of(read(path).results)["gpu-2"] > 0


def test_a_node_that_is_lost_and_comes_back_with_its_device_goes_on(nodes, bench, tmp_path):
    path = tmp_path / "run.jsonl"
    first = nodes.add(1)
    process = bench(*SWEEP_200, "--output", path)
    wait_until(process, lambda: len(results_in(path)) > 10)
    nodes.kill(first)  # its worker may still be in a case, and holds the device until that is done
    nodes.add(1)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    assert_every_case_once(path, 200)
    workers = read(path).end["workers"]
    assert [one["device_id"] for one in workers] == ["gpu-1", "gpu-1"]
    assert sum(one["cases"] for one in workers) == 200
