import json
from dataclasses import replace

import pytest

from gpuprune.records import Calibration, Case, Contract, Result, Run, Timing
from gpuprune.report import flatten

CASE = Case(rows=8, cols=16, batch=3, rate=0.9, group=4, weights="a.npy", orientation="column")
TIMING = Timing(
    samples_s=(1.0, 3.0, 2.0), cache="cold", stopped_by="budget", call_samples_s=(4.0,)
)
CALIBRATION = Calibration(
    empty_s=1e-7,
    resolution_s=1e-9,
    memory_bytes_per_s=1e10,
    cache_bytes_per_s=4e10,
    cache_bytes=10**6,
    evict_bytes=10**7,
    flops_per_s={"float32": 1e11},
)


def through_json(record):
    return json.loads(json.dumps(record, allow_nan=False))


@pytest.mark.parametrize(
    ("weights", "name"),
    [
        (None, "8x16x3"),
        ("folder/a.npy", "a.npy"),
        ("folder/model.safetensors::layer.0", "layer.0"),
        ("model.safetensors::x::y", "x::y"),
        ("model.safetensors::", "''"),
    ],
)
def test_a_layer_is_named_by_its_tensor_or_its_file_or_its_shape(weights, name):
    assert replace(CASE, weights=weights).name == name


def test_a_result_survives_its_line_in_a_run_file():
    result = Result(case=CASE, contender="csr", status="ok", variant="SciPy", timing=TIMING)
    line = through_json(result.to_record())
    assert line["record"] == "result"
    assert line["case"]["rate"] == 0.9
    assert line["samples_s"] == [1.0, 3.0, 2.0]
    assert Result.from_record(line) == result


def test_a_result_without_a_time_survives_too():
    result = Result(case=CASE, contender="csr", status="skipped", reason="too large")
    line = through_json(result.to_record())
    assert line["samples_s"] is None
    assert Result.from_record(line) == result


def test_a_result_keeps_who_measured_it_and_an_older_line_has_nobody():
    place = {"node": "n2", "device_name": "NVIDIA H100", "device_id": "GPU-7"}
    result = Result(case=CASE, contender="csr", status="ok", timing=TIMING, **place)
    line = through_json(result.to_record())
    assert Result.from_record(line) == result
    for name in place:
        del line[name]
    assert Result.from_record(line) == Result(
        case=CASE, contender="csr", status="ok", timing=TIMING
    )


def test_a_row_names_the_node_and_device_of_its_result_where_a_run_has_several():
    here = {"device": "cuda", "device_name": "NVIDIA A100", "node": "n1", "threads": None}
    run = Run(
        version="1.2.3",
        started="2026-01-02T03:04:05+00:00",
        arguments=(),
        configuration={},
        environment=here,
        contract=Contract(),
        calibration=CALIBRATION,
    )
    own = Result(case=CASE, contender="dense", status="ok", timing=TIMING)
    other = replace(own, contender="csr", node="n2", device_name="NVIDIA H100")
    rows = flatten(run, [own, other])
    assert [(row["node"], row["device_name"]) for row in rows] == [
        ("n1", "NVIDIA A100"),
        ("n2", "NVIDIA H100"),
    ]


def test_a_run_survives_its_line_in_a_run_file():
    run = Run(
        version="1.2.3",
        started="2026-01-02T03:04:05+00:00",
        arguments=("bench", "--quick"),
        configuration={"rates": [0.9]},
        environment={"node": "here"},
        contract=Contract(samples=7),
        calibration=CALIBRATION,
    )
    line = through_json(run.to_record())
    assert (line["record"], line["schema"]) == ("run", 1)
    assert Run.from_record(line) == run


def test_the_median_counts_not_the_mean():
    assert TIMING.median_s == 2.0
