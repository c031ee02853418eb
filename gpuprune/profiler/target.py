"""The watched process: multiplies once for each case and contender, inside a named range.

Run by a profiler as `python -m gpuprune.profiler.target JOB.json`. What surrounds the one product
(pruning, packing, compiling, warming up) lies outside of the ranges, where profiling is off.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Self

from gpuprune import contenders, timing
from gpuprune.backends import Backend, open_backend
from gpuprune.contenders import NotApplicable
from gpuprune.errors import GpupruneError
from gpuprune.problem import Trial, make_trials
from gpuprune.records import Case

NAME = "gpuprune"  # before the number in a range's name
MARKER = f"{NAME}_range_"  # before the number in the name of the kernel that marks it for nvprof
PROGRESS = "progress.jsonl"

Watch = Callable[["Range"], AbstractContextManager[None]]
Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to multiply, and which profiler watches."""

    tool: str  # "ncu" or "nvprof"
    device: str
    contenders: tuple[str, ...]
    cases: tuple[Case, ...]
    cold: bool  # whether variants are chosen with evicted caches, as the sweep's samples are taken

    @property
    def ranges(self) -> list["Range"]:
        """List the products: contender after contender, case after case."""
        products = ((case, name) for case in self.cases for name in self.contenders)
        return [
            Range(number=i, case=case, contender=name) for i, (case, name) in enumerate(products)
        ]

    def to_json(self) -> str:
        """Write it down for another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        return cls(
            tool=values["tool"],
            device=values["device"],
            contenders=tuple(values["contenders"]),
            cases=tuple(Case(**case) for case in values["cases"]),
            cold=values["cold"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """One product, and the name under which the profiler sees it."""

    number: int
    case: Case
    contender: str

    @property
    def name(self) -> str:
        """Tell people which product it is, and programs its number."""
        case = self.case
        return f"{NAME} {self.number} rate={case.rate:g} group={case.group} {self.contender}"


def run(job: Job, backend: Backend, watch: Watch, tell: Tell) -> None:
    """Multiply each case by each contender once inside `watch`.

    `tell` gets a JSON-ready line after each range: its `number`, the `variant` that bench would
    time, too, and the `reason` where there was nothing to watch.
    """
    products = iter(job.ranges)
    for trial in make_trials(job.cases, backend):
        for product in islice(products, len(job.contenders)):
            told = _run_one(product, trial, backend, watch, cold=job.cold)
            trial.restore()  # whatever became of it: the others come after it
            tell({"number": product.number, **told})


def main(path: Path) -> int:
    """Do a job, with a line on each range in a file beside it; return the exit code."""
    job = Job.from_json(path.read_text())
    with path.with_name(PROGRESS).open("a") as progress:

        def tell(line: dict[str, Any]) -> None:
            progress.write(json.dumps(line) + "\n")
            progress.flush()

        try:
            backend, _ = open_backend(job.device)
            with closing(backend):
                run(job, backend, _watch(job, backend), tell)
        except GpupruneError as error:
            tell({"error": str(error), "hint": error.hint})
            return 2
    return 0


def _run_one(
    product: Range, trial: Trial, backend: Backend, watch: Watch, *, cold: bool
) -> dict[str, str | None]:
    try:
        variants = contenders.load(product.contender)(trial.problem, backend)
        prepared = variants[timing.fastest(list(variants), backend, cold=cold)]
        prepared.multiply()
        backend.synchronize()
        with watch(product):
            prepared.multiply()
            backend.synchronize()
    except NotApplicable as why:
        return {"variant": None, "reason": str(why)}
    except timing.FAILURES as error:
        return {"variant": None, "reason": f"{type(error).__name__}: {error}"}
    return {"variant": prepared.variant, "reason": None}


def _watch(job: Job, backend: Backend) -> Watch:
    """Return what switches the profiler on for a range; only CUDA has one to switch."""
    if backend.name != "cuda":
        return lambda product: nullcontext()
    cuda = backend.xp.cuda
    if job.tool == "ncu":
        return lambda product: _named_range(cuda, product)
    marks = _marker_kernels(backend.xp, len(job.ranges))
    return lambda product: _marked_range(cuda, marks[product.number])


@contextmanager
def _named_range(cuda: Any, product: Range) -> Iterator[None]:
    """Open an NVTX range, which ncu keeps with every kernel launched in it."""
    cuda.nvtx.RangePush(product.name)
    cuda.runtime.profilerStart()
    try:
        yield
    finally:
        cuda.runtime.profilerStop()
        cuda.nvtx.RangePop()


@contextmanager
def _marked_range(cuda: Any, mark: Callable[[], None]) -> Iterator[None]:
    """Launch an empty kernel first, whose name is the range's: nvprof keeps no ranges."""
    cuda.runtime.profilerStart()
    try:
        mark()
        yield
    finally:
        cuda.runtime.profilerStop()


def _marker_kernels(xp: Any, count: int) -> list[Callable[[], None]]:
    code = "\n".join(f'extern "C" __global__ void {MARKER}{i}() {{}}' for i in range(count))
    module = xp.RawModule(code=code)
    kernels = [module.get_function(f"{MARKER}{i}") for i in range(count)]
    return [partial(kernel, (1,), (1,), ()) for kernel in kernels]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
