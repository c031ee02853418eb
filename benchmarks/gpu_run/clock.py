"""The truth of our clock: what other clocks say of the same products.

    python3 -m benchmarks.gpu_run.clock times clock.jsonl --device cuda     bench's, a CUDA graph's
    python3 -m benchmarks.gpu_run.clock ncu clock-ncu.jsonl                 ncu's
    python3 -m benchmarks.gpu_run.clock nvbench clock-nvbench.jsonl         cuda-bench's
    python3 -m benchmarks.gpu_run.clock table FOLDER                        all of them, compared

Every variant of every contender is timed by bench's clock, because each of the others finds
another one the fastest now and then.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from gpuprune import contenders, timing
from gpuprune.backends import Array, Backend, open_backend
from gpuprune.config import parse_shapes
from gpuprune.contenders import NotApplicable, Prepared
from gpuprune.errors import GpupruneError
from gpuprune.problem import AFTER, BEFORE, Trial, make_trials
from gpuprune.records import Case, Contract
from gpuprune.verification import TOLERANCE

# Rate, group, orientation: from much work to hardly any.
PRUNINGS = ((0.8, 1, "row"), (0.9, 8, "row"), (0.98, 32, "row"), (0.9, 8, "column"))

_CAPTURED = 20  # products in a graph: the host takes longer to launch one than to run a product
_LAUNCHES = 20
_ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """What one clock says of one product: a line of a clock's file."""

    case: Case
    contender: str
    variant: str | None
    clock: str  # "bench", "CUDA graph", "ncu" or "cuda-bench"
    cache: str  # "cold" or "warm"
    seconds: float | None  # of the product, median
    samples: int = 0
    kernels: int | None = None  # that it launches, where the clock sees them
    reason: str | None = None  # why there is no time

    @property
    def product(self) -> tuple[Case, str, str | None, str]:
        """What two clocks must agree in to be compared."""
        return self.case, self.contender, self.variant, self.cache


def cases(shape: str) -> list[Case]:
    """List the cases that are compared, of a layer such as `4096x4096x50`."""
    rows, cols, batch = parse_shapes(shape)[0]
    return [
        Case(rows=rows, cols=cols, batch=batch, rate=rate, group=group, orientation=orientation)
        for rate, group, orientation in PRUNINGS
    ]


def variants(trial: Trial, backend: Backend) -> list[tuple[str, Prepared]]:
    """Prepare a trial by each contender of an ordinary run; returns what can be timed, by name.

    A contender that breaks is told on stderr and left out.
    """
    found = []
    for name in contenders.defaults(trial.case.orientation, backend.name):
        try:
            found += [(name, one) for one in contenders.load(name)(trial.problem, backend)]
        except NotApplicable:
            continue
        except timing.FAILURES as error:
            print(f"Warning: {name} failed: {_why(error)}", file=sys.stderr)
    return found


def times(compared: Sequence[Case], backend: Backend, budget_s: float) -> Iterator[Time]:
    """Time each product by bench's clock, cold and warm, and then as a replayed CUDA graph.

    Graphs come last: a capture that breaks can take the device's context with it.
    """
    for trial in make_trials(compared, backend):
        yield from _by_bench(trial, backend, budget_s)
    for trial in make_trials(compared, backend):
        yield from _by_graph(trial, backend)


def replay_s(prepared: Prepared, trial: Trial, backend: Backend) -> float:
    """Replay a product many times as a CUDA graph; return what one takes by the host's clock.

    Neither events nor the host's work for a launch are in that time. Raises NotApplicable where
    the device has no graphs or the replayed product is wrong, and what CuPy raises where the
    product cannot be captured, as it does for calls of cuBLAS and cuSPARSE.
    """
    if backend.name != "cuda":
        raise NotApplicable(f"{backend.name} has no CUDA graphs")
    stream = backend.xp.cuda.get_current_stream()
    prepared.multiply()
    backend.synchronize()
    graph, product = _capture(prepared.multiply, stream)
    trial.renew(AFTER)
    rounds = [_launch_s(graph, stream) for _ in range(1 + _ROUNDS)][1:]
    error = trial.error(backend.numpy(product), AFTER)
    if not error <= TOLERANCE[prepared.precision or trial.case.dtype]:
        raise NotApplicable(f"the replayed product is wrong, its error is {error:.1e}")
    return median(rounds)


def write(path: Path, found: Iterable[Time]) -> None:
    """Write a line for each time, as soon as it is there."""
    with path.open("x", encoding="utf-8") as file:
        for one in found:
            file.write(json.dumps(asdict(one), allow_nan=False) + "\n")
            file.flush()


def read(path: Path) -> list[Time]:
    """Read what `write` wrote."""
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [Time(**{**line, "case": Case(**line["case"])}) for line in lines]


def _by_bench(trial: Trial, backend: Backend, budget_s: float) -> Iterator[Time]:
    trial.renew(BEFORE)
    products = variants(trial, backend)
    works = {str(number): one for number, (_, one) in enumerate(products)}
    for cache in ("cold", "warm"):
        contract = Contract(cache=cache, budget_s=budget_s)
        taken = timing.measure(works, backend, contract, trial.vary)
        for (name, prepared), found in zip(products, taken.values(), strict=True):
            about = _about(trial.case, name, prepared, cache)
            if isinstance(found, BaseException):
                yield replace(about, reason=_why(found))
            else:
                yield replace(about, seconds=found.median_s, samples=len(found.samples_s))


def _by_graph(trial: Trial, backend: Backend) -> Iterator[Time]:
    trial.renew(BEFORE)
    for name, prepared in variants(trial, backend):
        about = replace(_about(trial.case, name, prepared, "warm"), clock="CUDA graph")
        try:
            seconds = replay_s(prepared, trial, backend)
        except timing.FAILURES as error:
            yield replace(about, reason=_why(error))
            continue
        yield replace(about, seconds=seconds, samples=_ROUNDS)


def _about(case: Case, name: str, prepared: Prepared, cache: str) -> Time:
    return Time(
        case=case, contender=name, variant=prepared.variant, clock="bench", cache=cache,
        seconds=None,
    )  # fmt: skip


def _why(failure: BaseException) -> str:
    """Say what went wrong, with its kind where it was not said for people."""
    is_told = isinstance(failure, NotApplicable | timing.HostBound)
    return str(failure) if is_told else f"{type(failure).__name__}: {failure}"


def _capture(multiply: Callable[[], Array], stream: Any) -> tuple[Any, Array]:
    stream.begin_capture()
    try:
        for _ in range(_CAPTURED):
            product = multiply()
    except BaseException:
        with suppress(Exception):  # what is not to be captured spoils the capture itself, too
            stream.end_capture()
        raise
    return stream.end_capture(), product


def _launch_s(graph: Any, stream: Any) -> float:
    stream.synchronize()
    start = time.perf_counter()
    for _ in range(_LAUNCHES):
        graph.launch(stream)
    stream.synchronize()
    return (time.perf_counter() - start) / (_LAUNCHES * _CAPTURED)


def main(arguments: Sequence[str]) -> int:
    """Time the products by one clock, or compare what the clocks found; return the exit code."""
    from benchmarks.gpu_run import clock_peers, clock_table

    parser = argparse.ArgumentParser(prog="python3 -m benchmarks.gpu_run.clock")
    parser.add_argument("command", choices=("times", "ncu", "nvbench", "table"))
    parser.add_argument("path", type=Path, help="the new file, or the folder of the files")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shape", default="4096x4096x50")
    parser.add_argument("--budget", type=float, default=0.5, help="seconds of samples a case")
    asked = parser.parse_args(arguments)
    try:
        if asked.command == "table":
            files = sorted(asked.path.glob("clock*.jsonl"))
            print(clock_table.compare([one for path in files for one in read(path)]))
        elif asked.command == "ncu":
            write(asked.path, clock_peers.by_ncu(cases(asked.shape), asked.device))
        else:
            backend, _ = open_backend(asked.device)
            with closing(backend):
                compared = cases(asked.shape)
                found = (
                    times(compared, backend, asked.budget)
                    if asked.command == "times"
                    else clock_peers.by_nvbench(compared, backend, asked.budget)
                )
                write(asked.path, found)
    except GpupruneError as error:
        print(f"Error: {error}\nHint: {error.hint}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
