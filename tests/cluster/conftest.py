"""Ray clusters of several nodes on this machine, each with a simulated GPU of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gpuprune.storage import read

ROOT = Path(__file__).parents[2]

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

PATIENCE_S = 240  # for what takes a few seconds on an idle machine

# 20 rates by 10 groups: 200 cases of some 30 ms each on a device whose clock is simulated.
SWEEP_200 = [
    "--device", "fake", "--shape", "512x512x16", "--rates", "0.5:0.975:0.025",
    "--groups", "1,2,3,4,5,6,7,8,9,10", "--contenders", "csr", "--samples", "30",
]  # fmt: skip


class Nodes:
    """A cluster that nodes join and leave."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "num_gpus": 0, "include_dashboard": False},
        )
        self.address: str = self._cluster.address

    def add(self, number: int, **settings: Any) -> Any:
        """Add a node with one GPU, which is the same one for the same number."""
        given = {"num_cpus": 1, "num_gpus": 1} | settings
        own = {"GPUPRUNE_FAKE_DEVICE": f"gpu-{number}", "PYTHONPATH": str(ROOT)}
        given["env_vars"] = own | settings.get("env_vars", {})
        return self._cluster.add_node(**given)

    def kill(self, node: Any) -> None:
        """Take a node away as a power cut does: nobody says goodbye."""
        self._cluster.remove_node(node, allow_graceful=False)

    def kill_head(self, process: str) -> None:
        """Kill a process of the head node: the `raylet`, or the `gcs_server` that all ask."""
        (info,) = self._cluster.head_node.all_processes[process]
        info.process.kill()

    def close(self) -> None:
        self._cluster.shutdown()


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    cluster = Nodes()
    yield cluster
    cluster.close()


@pytest.fixture
def bench(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `gpuprune bench` on a cluster, that of `nodes` if none is named, as a process."""
    started = []

    def start(*arguments: object, address: str = "") -> subprocess.Popen[str]:
        address = address or request.getfixturevalue("nodes").address
        command = [sys.executable, "-m", "gpuprune", "bench", "--ray", address]
        started.append(
            subprocess.Popen(
                [*command, *map(str, arguments)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def results_in(path: Path) -> list[dict[str, Any]]:
    """Read the results of a run file, which may be in use."""
    return list(read(path).results) if path.exists() and path.stat().st_size else []


def wait_until(process: "subprocess.Popen[str]", condition: Callable[[], Any]) -> None:
    """Wait for something that happens while a process runs."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, process.communicate()
        if time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"it never came true: {process.communicate()}")
        time.sleep(0.05)


def assert_every_case_once(path: Path, cases: int, contenders: int = 2) -> None:
    """Each contender has one result a case, and both are from the same device."""
    found = read(path)
    assert found.end is not None
    keys = [(str(one["case"]), one["contender"]) for one in found.results]
    assert len(keys) == len(set(keys)) == cases * contenders
    assert {one["status"] for one in found.results} == {"ok"}
    devices: dict[str, set[object]] = {}
    for one in found.results:
        place = (one["node"], one["device_name"], one["device_id"])
        devices.setdefault(str(one["case"]), set()).add(place)
    assert all(len(measured_by) == 1 for measured_by in devices.values())


def workers_on(device: str) -> list[int]:
    """Find the processes that measure on a device."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_there = (
                f"GPUPRUNE_FAKE_DEVICE={device}".encode() in (process / "environ").read_bytes()
            )
            if is_there and b"ray::Worker" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue  # it has ended
    return found
