"""Clocks that NVIDIA made: ncu's duration of each kernel, and the cold times of nvbench."""

import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.gpu_run.clock import Time, variants
from gpuprune import contenders
from gpuprune.backends import Backend, open_backend
from gpuprune.contenders import Prepared
from gpuprune.errors import GpupruneError
from gpuprune.problem import BEFORE, Trial, make_trials
from gpuprune.profiler.command import Profiler, find_profiler
from gpuprune.profiler.live import Launch, profile_live
from gpuprune.profiler.target import Job
from gpuprune.records import Case

DURATION = "gpu__time_duration.sum"
_SEEDS = range(2)  # a product each: other weights of the same kind
_NANO = 1e-9

_COLD = "nv/cold/time/gpu/"  # nvbench's summaries: the median where it has one, else the mean
_CENTRES = (f"{_COLD}median", f"{_COLD}mean")
_SAMPLES = "nv/cold/sample_size"


def by_ncu(compared: Sequence[Case], device: str) -> Iterator[Time]:
    """Run the products under ncu, with the caches as they are and with flushed ones.

    Raises GpupruneError where there is no ncu, or it cannot profile.
    """
    backend, _ = open_backend(device)
    with closing(backend):
        capability = str(backend.facts()["compute_capability"])
    major, minor = map(int, capability.split("."))
    profiler = find_profiler((major, minor))
    if profiler.tool != "ncu":
        raise GpupruneError(
            f"ncu knows no GPU of compute capability {capability}",
            hint="compare with a CUDA graph and with cuda-bench",
        )
    return durations(compared, device, profiler)


def durations(compared: Sequence[Case], device: str, profiler: Profiler) -> Iterator[Time]:
    """Yield ncu's time of each product that it saw: the sum over its kernels."""
    names = [contenders.BASELINE, "csr", "dense_tf32", "row_group", "column_group"]
    job = Job(
        tool=profiler.tool,
        device=device,
        contenders=tuple(name for name in names if name in contenders.names()),
        cases=tuple(replace(case, seed=seed) for seed in _SEEDS for case in compared),
        cold=False,
    )
    for cache in ("warm", "cold"):
        asked = replace(job, cold=cache == "cold")
        capture = profile_live(asked, profiler, (DURATION,), flush=asked.cold)
        for warning in capture.warnings:
            print(f"Warning: {warning}", file=sys.stderr)
        yield from _medians(capture.launches, cache)


def by_nvbench(compared: Sequence[Case], backend: Backend, budget_s: float) -> list[Time]:
    """Time the products by nvbench's cold measurement, through its package for Python.

    Raises GpupruneError where it measured none of them.
    """
    trials = list(make_trials(compared, backend))  # all at once: nvbench runs them together
    products = [(trial, *one) for trial in trials for one in variants(trial, backend)]
    with tempfile.TemporaryDirectory(prefix="gpuprune-") as name:
        path = Path(name) / "nvbench.json"
        _run_nvbench([_ready(trial, one) for trial, _, one in products], path, budget_s, backend)
        summaries = read_summaries(json.loads(path.read_text(encoding="utf-8")))
    if not summaries:
        raise GpupruneError(
            "nvbench measured none of the products", hint="see what it printed to stdout"
        )
    return [
        _of_nvbench(trial.case, name, prepared, summaries.get(f"product_{number}", {}))
        for number, (trial, name, prepared) in enumerate(products)
    ]


def read_summaries(written: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Read nvbench's JSON: the summaries of each benchmark that has some, by tag."""
    found = {}
    for benchmark in written["benchmarks"]:
        for state in benchmark["states"]:
            values = {
                summary["tag"]: float(data["value"])
                for summary in state.get("summaries") or ()
                for data in summary["data"]
                if data["name"] == "value" and data["type"] in ("float64", "int64")
            }
            if values:
                found[benchmark["name"]] = values
    return found


def _medians(launches: Iterable[Launch], cache: str) -> Iterator[Time]:
    kernels: dict[tuple[Case, str, str | None], dict[int, list[float]]] = {}
    for one in launches:
        if DURATION not in one.profile.metrics:
            continue
        product = (replace(one.case, seed=0), one.contender, one.variant)
        by_seed = kernels.setdefault(product, defaultdict(list))
        by_seed[one.case.seed].append(one.profile.metrics[DURATION] * _NANO)
    for (case, name, variant), by_seed in kernels.items():
        yield Time(
            case=case,
            contender=name,
            variant=variant,
            clock="ncu",
            cache=cache,
            seconds=median(map(sum, by_seed.values())),
            samples=len(by_seed),
            kernels=max(map(len, by_seed.values())),
        )


def _run_nvbench(
    works: Sequence[Callable[[], Any]], path: Path, budget_s: float, backend: Backend
) -> None:
    from cuda import bench  # an optional package, of which this is all that is used

    def benchmark(multiply: Callable[[], Any]) -> Callable[[Any], None]:
        def measured(state: Any) -> None:
            def launch(launched: Any) -> None:
                with backend.xp.cuda.Stream.from_external(launched.get_stream()):
                    multiply()

            state.exec(launch, batched=False)

        return measured

    for number, multiply in enumerate(works):
        registered = bench.register(benchmark(multiply))
        registered.set_name(f"product_{number}")
        registered.set_timeout(budget_s)
    backend.synchronize()  # nvbench has a stream of its own
    device = str(backend.xp.cuda.Device().id)
    bench.run_all_benchmarks(["nvbench", "--devices", device, "--json", str(path)])


def _ready(trial: Trial, prepared: Prepared) -> Callable[[], Any]:
    """Return a product on which nothing is done for the first time any more."""
    trial.renew(BEFORE)
    prepared.multiply()
    return prepared.multiply


def _of_nvbench(case: Case, name: str, prepared: Prepared, summaries: Mapping[str, float]) -> Time:
    seconds = next((summaries[tag] for tag in _CENTRES if tag in summaries), None)
    return Time(
        case=case,
        contender=name,
        variant=prepared.variant,
        clock="cuda-bench",
        cache="cold",
        seconds=seconds,
        samples=int(summaries.get(_SAMPLES, 0)),
        reason=None if seconds is not None else "nvbench skipped it",
    )
