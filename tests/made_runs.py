"""Run files as `gpuprune bench` and `accuracy` write them, of times that a test chooses."""

import json
from pathlib import Path

from gpuprune.accuracy.records import KIND, MatrixFacts, Outcome
from gpuprune.records import Calibration, Case, Contract, Header, Result, Run, Timing
from gpuprune.storage import Journal

ENVIRONMENT = {
    "device": "cuda",
    "device_name": "GPU A",
    "node": "here",
    "threads": None,
    "packages": {"numpy": "2.1"},
}
CALIBRATION = Calibration(
    empty_s=1e-6,
    resolution_s=1e-9,
    memory_bytes_per_s=1e11,
    cache_bytes_per_s=4e11,
    cache_bytes=10**6,
    evict_bytes=10**7,
    flops_per_s={"float32": 1e13},
)
DENSE_S = 1e-3
SPEEDUPS = {1: {0.8: 0.5, 0.9: 1.5}, 8: {0.8: 1.25, 0.9: 2.0}}
ACCURACIES = {None: 0.978, 1: 0.972, 8: 0.967, 32: 0.90}  # by group
FACTS = MatrixFacts(
    rows=10, cols=512, removed_groups=0.9, removed_weights=0.9, empty_rows=0, energy_kept=0.3
)


def made_run(*, contract=None, configuration=None, started="2026-01-01", **environment):
    return Run(
        version="1.2.3",
        started=started,
        arguments=("bench",),
        configuration={"dtype": "float32", "orientation": "row", "score": "rms"}
        | (configuration or {}),
        environment=ENVIRONMENT | environment,
        contract=contract or Contract(),
        calibration=CALIBRATION,
    )


def made_results(speedups=None, **layer):
    """Make results of dense and csr at the speedups of {group: {rate: speedup}}."""
    results = []
    for group, row in (speedups or SPEEDUPS).items():
        for rate, speedup in row.items():
            values = {"rows": 64, "cols": 100, "batch": 10} | layer
            case = Case(rate=rate, group=group, **values)
            results.append(made_result(case, "dense", DENSE_S))
            results.append(made_result(case, "csr", DENSE_S / speedup))
    return results


def made_result(case, contender, seconds):
    # The middle half of the samples lies between 0.9 and 1.2 of the median.
    samples = tuple(seconds * factor for factor in (0.9, 0.9, 1.0, 1.2, 1.2))
    return Result(
        case=case,
        contender=contender,
        status="ok",
        nnz=round(case.rows * case.cols * (1 - case.rate)),
        roofline_s=seconds / 2,
        bound="memory",
        timing=Timing(samples_s=samples, cache="cold", stopped_by="samples"),
    )


def write_run(path, results=None, *, run=None, is_finished=True):
    results = made_results() if results is None else results
    with Journal.create(Path(path), (run or made_run()).to_record()) as journal:
        if results:
            journal.append([one.to_record() for one in results])
        if is_finished:
            journal.finish({"record": "end", "results": len(results)})
    return path


def write_training(path, outcomes):
    header = Header(
        version="1.2.3",
        started="2026-01-01",
        arguments=("accuracy",),
        configuration={"rate": 0.9, "orientation": "row"},
        environment=ENVIRONMENT,
    )
    with Journal.create(path, header.to_record() | {"kind": KIND}) as journal:
        journal.append([one.to_record() for one in outcomes])
        journal.finish({"record": "end", "results": len(outcomes)})
    return path


def predicted_row(**changes):
    """Make a line of `gpuprune profile --predict --format json`."""
    values = {
        "predicted": True,
        "weights": None,
        "rows": 64,
        "cols": 100,
        "batch": 10,
        "dtype": "float32",
        "orientation": "row",
        "score": "rms",
        "seed": 0,
        "rate": 0.8,
        "group": 1,
        "mapping": "row_major",
        "gld_efficiency_pct": 60.0,
        "nvprof_style_pct": 70.0,
    }
    return values | changes


def write_profile(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def outcome(group, accuracy, seed=0):
    """Make the network of a group, None for the unpruned one."""
    return Outcome(
        seed=seed,
        layers=8,
        rate=0.9 if group else 0.0,
        group=group,
        score="rms",
        orientation="row",
        min_groups_per_row=0,
        skip_last=False,
        epochs=20,
        retrain_epochs=40 if group else 0,
        accuracy=accuracy,
        test_accuracy=None,
        one_shot_accuracy=None,
        achieved_rate=0.9,
        empty_rows=0,
        dead_classes=0,
        matrices=(FACTS,),
    )


def trained(accuracies=ACCURACIES, seed=0):
    """Make the networks of a seed, by group."""
    return [outcome(group, accuracy, seed) for group, accuracy in accuracies.items()]
