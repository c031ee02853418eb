"""What Ray costs: a sweep of 200 cases on a cluster of one node against the same in one process.

Both run the cases one after another on one device; their wall time is that between the first
record of the run file and the last, so that starting Ray and Python is left out. The goal is at
most 10 % more. Then one process measures the same cases beside an idle cluster of three nodes
and without one, in turns: the medians should be the same.

    python benchmarks/ray_overhead.py [--rounds 3]
"""

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median
from typing import Any

from script import Parser, count, run

from gpuprune.storage import read

_CASES = [
    "--device", "cpu", "--threads", "1", "--shape", "512x512x16", "--rates", "0.5:0.975:0.025",
    "--groups", "1,2,4,8,16,32,64,128,256,512", "--contenders", "csr", "--budget", "0.1",
    "--cache", "warm",
]  # fmt: skip


def main() -> None:
    """Print both ratios."""
    parser = Parser(__doc__)
    parser.add_argument("--rounds", type=count, default=3)
    rounds = parser.parse_args().rounds
    walls: dict[str, list[float]] = {"one process": [], "one worker on Ray": []}
    for _ in range(rounds):
        walls["one process"].append(_sweep()["wall_s"])
        walls["one worker on Ray"].append(_sweep("--ray", "local")["wall_s"])
    for name, seconds in walls.items():
        print(f"200 cases in {name}: {min(seconds):.2f} s (of {rounds}: {_list(seconds)})")
    alone, on_ray = map(min, walls.values())
    print(f"Ray costs {100 * (on_ray / alone - 1):+.1f} % of wall time")

    ratios = []
    for _ in range(rounds):
        quiet, beside = _medians(nullcontext()), _medians(_idle_cluster())
        ratios.append(median(beside[key] / quiet[key] for key in quiet))
    print(f"Idle engine of three nodes: medians change by {100 * (median(ratios) - 1):+.2f} %")
    print(f"  (of {rounds}: {_list([100 * (ratio - 1) for ratio in ratios])} %)")


def _sweep(*more: str) -> dict[str, Any]:
    """Run the cases, and return the end of the run file with the results in it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        command = [sys.executable, "-m", "gpuprune", "bench", *_CASES, *more, "-q"]
        subprocess.run([*command, "--output", str(path)], check=True, stdout=subprocess.DEVNULL)
        file = read(path)
    assert file.end is not None
    return {**file.end, "results": file.results}


def _medians(beside: Any) -> dict[str, float]:
    with beside:
        results = _sweep()["results"]
    return {
        f"{one['case']} {one['contender']}": median(one["samples_s"])
        for one in results
        if one["status"] == "ok"
    }


@contextmanager
def _idle_cluster() -> Iterator[None]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    logging.getLogger("ray").setLevel(logging.ERROR)
    cluster = Cluster(initialize_head=True, head_node_args={"include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        yield
    finally:
        cluster.shutdown()


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


if __name__ == "__main__":
    run(main)
