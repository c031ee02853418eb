import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.gpu


@pytest.mark.timeout(300)
def test_a_quick_sweep_on_the_gpu_prints_results_that_make_sense(gpu):
    done = subprocess.run(
        [
            sys.executable, "-m", "gpuprune", "bench", "--quick", "--device", "cuda",
            "--format", "json",
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["device"] for row in rows} == {"cuda"}
    assert {row["device_name"] for row in rows} == {gpu.facts()["device_name"]}
    assert {row["threads"] for row in rows} == {None}
    assert {row["contender"] for row in rows} >= {"dense", "csr", "dense_tf32"}
    for row in rows:
        assert row["status"] in ("ok", "disturbed", "skipped"), row
        if row["status"] != "skipped":
            assert 1e-6 < row["median_s"] < 0.1
            assert row["error"] <= (1e-3 if row["contender"] == "dense_tf32" else 1e-6)
            assert row["roofline_share"] < 1.1
            assert row["predicted_s"] >= row["roofline_s"]
        if row["contender"] in ("dense", "csr"):
            assert row["call_median_s"] > 0
            assert row["variant"]
            assert row["bound"] in ("memory", "cache", "arithmetic")
