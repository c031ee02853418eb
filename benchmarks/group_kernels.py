"""How fast the kernels for groups are on the CPU, beside NumPy's dense product and every CSR.

All contenders of a case are timed by turns, with the caches evicted before each sample or, with
--warm, as the one before left them; medians. Then the share of the processor's limits that the
kernels reach, and the goals. The best CSR is the fastest of MKL, torch, SciPy and Numba; MKL's
call is what sparse-dot-mkl does, which makes the handle anew.

"arithmetic" is the share of the multiply-adds that registers allow, which the kept weights take.
"cache" is the share of the rate at which the kernel's operands can come from cache: for panels
their sums, and the activations they hold, from the first one; for gathering the activations from
where all of them fit.

    python benchmarks/group_kernels.py --threads 1 --orientation row
    python benchmarks/group_kernels.py --shape 384x384x8 --groups 1,8 --rates 0.9
"""

import argparse
import time
from collections.abc import Callable
from contextlib import closing
from math import inf
from typing import Any

import numpy as np
from numba import njit
from script import Parser, count, run

from gpuprune import contenders, timing
from gpuprune.backends import Backend, open_backend
from gpuprune.config import PAPER_SHAPE, parse_groups, parse_rates, parse_shapes
from gpuprune.contenders.column_group import strips
from gpuprune.contenders.row_group import blocks
from gpuprune.environment import load_note
from gpuprune.problem import Problem, make_trials
from gpuprune.records import Case, Contract
from gpuprune.steps import Step, aligned_zeros, cut_batch, registers
from gpuprune.vectors import load, multiply_add, store, zeros

CSR = ("csr", "mkl", "torch_csr")
FLOAT32 = np.dtype(np.float32)
_FIRST_CACHE_VALUES = 4096  # 16 KiB, half of the smallest in use


def main() -> int:
    """Print a table and, of the paper's layer, the goals; return 1 where one is missed."""
    options = _options()
    own = f"{options.orientation}_group"
    rows, cols, batch = options.shape
    cases = [
        Case(
            rows=rows,
            cols=cols,
            batch=batch,
            group=group,
            rate=rate,
            orientation=options.orientation,
        )
        for group in options.groups
        for rate in options.rates
    ]
    contract = Contract(samples=options.samples, cache="warm" if options.warm else "cold")
    backend, _ = open_backend("cpu", options.threads)
    with closing(backend):
        busy = backend.facts()["busy_cores"]
        backend.calibrate(("float32",))
        peak = _peak_flops() * (backend.threads or 1)
        print(f"{backend.threads} threads, {registers().name}, {contract.cache} caches")
        print(f"multiply-adds in registers: {peak / 1e9:.0f} GFLOP/s\n")
        print(
            "group  rate      dense  best CSR                     own    of dense  of CSR  of MKL"
            "  of MKL's call  arithmetic  cache"
        )
        found = {}
        for problem in make_trials(cases, backend):
            seconds = _time(problem, backend, own, contract)
            _print_row(problem, seconds, own, peak, backend.threads or 1)
            found[problem.case.group, problem.case.rate] = seconds
    print()
    goals = _goals(found, own, backend.threads or 1) if options.shape == PAPER_SHAPE else []
    for goal, met in goals:
        print(f"{'met   ' if met else 'MISSED'}  {goal}")
    if note := load_note(busy):
        print(note)
    return int(not all(met for _, met in goals))


def _options() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--samples", type=count, default=15)
    parser.add_argument("--orientation", choices=["row", "column"], default="row")
    parser.add_argument("--shape", type=_shape, default=PAPER_SHAPE, metavar="ROWSxCOLSxBATCH")
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("--groups", type=parse_groups, default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--rates", type=parse_rates, default=[0.8, 0.9, 0.95, 0.98])
    return parser.parse_args()


def _shape(text: str) -> tuple[int, int, int]:
    shape, *others = parse_shapes(text)
    if others:
        raise argparse.ArgumentTypeError(f"{text!r} is more than one shape")
    return shape


def _time(
    problem: Problem, backend: Backend, own: str, contract: Contract
) -> dict[tuple[str, str | None], float]:
    """Return the median seconds of every variant that runs here, by contender and variant."""
    works = {}
    for name in ("dense", *CSR, own):
        try:
            for prepared in contenders.load(name)(problem, backend):
                works[name, prepared.variant] = prepared
                if name == "mkl":
                    works[name, "call"] = contenders.Prepared(multiply=prepared.call)
        except contenders.NotApplicable as why:
            print(f"  {name}: {why}")
    return {
        name: taken.median_s for name, taken in timing.measure(works, backend, contract).items()
    }


def _print_row(
    problem: Problem,
    seconds: dict[tuple[str, str | None], float],
    own: str,
    peak: float,
    threads: int,
) -> None:
    case, mine = problem.case, _of(seconds, own)
    best = min((name for name in seconds if name[0] in CSR), key=seconds.__getitem__)
    arithmetic = 2 * problem.nnz * case.batch / mine / peak
    moved, rate = _cache_traffic(problem, own, threads)
    mkl = [f"{seconds.get(('mkl', v), float('nan')) / mine:5.2f}x" for v in (None, "call")]
    print(
        f"{case.group:5}  {case.rate:4.2f}  {_of(seconds, 'dense') * 1e3:6.3f} ms  "
        f"{seconds[best] * 1e3:6.3f} ms {'/'.join(filter(None, best)):12}  {mine * 1e3:6.3f} ms  "
        f"{_of(seconds, 'dense') / mine:7.1f}x  {seconds[best] / mine:5.2f}x  {mkl[0]:>6}  "
        f"{mkl[1]:>13}  {arithmetic:10.0%}  {moved / rate / threads / mine:5.0%}",
        flush=True,
    )


def _of(seconds: dict[tuple[str, str | None], float], *names: str) -> float:
    """Return the least time of some contenders, infinite if none ran."""
    return min((taken for (name, _), taken in seconds.items() if name in names), default=inf)


def _goals(
    found: dict[tuple[int, float], dict[tuple[str, str | None], float]], own: str, threads: int
) -> list[tuple[str, bool]]:
    """Return the goals that the measured cases decide, and whether they are met."""
    goals = []

    def faster(group: int, rate: float, than: str, times: float) -> None:
        seconds = found.get((group, rate), {})
        if _of(seconds, than) < inf:
            ratio = _of(seconds, than) / _of(seconds, own)
            text = f"{rate:.0%}, g={group}: {ratio:.1f}x {than}, at least {times:g}x wanted"
            goals.append((text, ratio >= times))

    if own == "row_group":
        faster(8, 0.9, "dense", 6 if threads == 1 else 5)
        if threads == 1:
            faster(8, 0.9, "mkl", 3)
            faster(8, 0.95, "dense", 9)
    slower = [
        f"{rate:.0%}, g={group}: {ratio:.2f}x the best CSR"
        for (group, rate), seconds in found.items()
        for ratio in [_of(seconds, *CSR) / _of(seconds, own)]
        if not ratio >= (1.0 if group >= 4 else 1 / 1.05)
    ]
    goals += [(text, False) for text in slower]
    if not slower:
        goals.append(("never slower than the best CSR (up to g=2 by 5 % at most)", True))
    return goals


def _cache_traffic(problem: Problem, own: str, threads: int) -> tuple[float, float]:
    """Return the bytes between registers and cache, and the bytes a second of such moves."""
    case = problem.case
    if own == "column_group":
        packed = strips.pack(problem.weights, problem.mask, case.group)
        step, slices = cut_batch(case.batch, packed.depth, 4, registers())
        loaded = packed.columns.size * step.sizes.narrow * slices * 4
        return loaded, _cache_rate(case.cols * step.sizes.narrow, writes=False)
    cut = blocks.Blocks.of(case.cols, case.group)
    height = blocks.panel_height(case.rows, threads)
    counts = blocks.count_by_panel(cut.kept(problem.mask), height)
    step, slices = cut_batch(case.batch, cut.depth, 4, registers())
    entries = int(counts.sum(dtype=np.int64))
    if cut.depth == 1:
        loaded = entries * step.sizes.wide * slices * 4
        return loaded, _cache_rate(cut.count * step.sizes.wide, writes=False)
    held = np.count_nonzero(counts) * step.sizes.wide
    moved = (2 * entries * step.sizes.narrow + held) * slices * 4
    return moved, _cache_rate(_FIRST_CACHE_VALUES, writes=True)


def _peak_flops() -> float:
    """Measure the multiply-adds a second that one thread reaches on operands in registers."""
    step = Step(depth=8, vectors=2, spills=False, lanes=registers().bytes // 4)
    weights, sums = aligned_zeros((8,), FLOAT32), aligned_zeros((step.sizes.wide,), FLOAT32)
    rounds = 200_000
    seconds = _least(lambda: _multiply_registers(step, weights, sums, rounds))
    return 2 * step.sizes.wide * rounds / seconds


def _cache_rate(values: int, *, writes: bool) -> float:
    """Measure at how many bytes a second one thread reads, or reads and writes, so many values."""
    step = Step(depth=1, vectors=4, spills=False, lanes=registers().bytes // 4)
    array = aligned_zeros((values // step.sizes.wide * step.sizes.wide,), FLOAT32)
    sums = aligned_zeros((step.sizes.wide,), FLOAT32)
    seconds = _least(lambda: _pass_over(step, array, sums, writes, 100))
    return (2 if writes else 1) * 100 * array.nbytes / seconds


def _least(function: Callable[[], Any]) -> float:
    taken = []
    for _ in range(6):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return min(taken[1:])


@njit
def _multiply_registers(step: Any, weights: Any, sums: Any, rounds: Any) -> None:
    operand = load(sums, 0, step.narrow)
    total = zeros(sums, step.wide)
    for _ in range(rounds):
        total = multiply_add(step, weights, 0, operand, total)
    store(sums, 0, total)


@njit
def _pass_over(step: Any, array: Any, sums: Any, writes: Any, rounds: Any) -> None:
    total = zeros(sums, step.wide)
    weight = array[:1]
    for _ in range(rounds):
        for at in range(0, array.size, step.wide * step.lanes):
            total = multiply_add(step, weight, 0, load(array, at, step.wide), total)
            if writes:
                store(array, at, total)
    store(sums, 0, total)


if __name__ == "__main__":
    run(main)
