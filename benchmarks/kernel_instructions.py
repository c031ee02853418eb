"""What the kernels for groups ask of a GPU, read from their machine code: no time is measured.

    python -m pip install nvidia-cuda-nvdisasm
    python benchmarks/kernel_instructions.py

Packs the paper's layer, compiles each kernel that it is multiplied with, and finds the loop that
multiplies. The first table has that loop's instructions for each weight and the whole batch. The
second has predicted times, in microseconds, each with everything else for free:

- issue: the schedulers issue the loop, and the loop around it but what comes once in many passes
- waits: each warp waits for what it loads, and for all that the machine code counts with the same
  counter, and the others of its scheduler work meanwhile
- memory: caches and main memory move what the kernel states (`gpuprune/roofline.py`)
- after: starting, and the kernel that adds the parts
- wanted: what the design hopes for

The predicted time is the longest of the first three, and what comes after; the share is what the
most loaded multiprocessor has, over the average. What is before and after the loops is not in it.
"""

import argparse
import heapq
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from machine_code import KINDS, Code, compile_kernel, count
from script import Parser, run
from script import count as whole

from gpuprune import report
from gpuprune.contenders.column_group import device as column_device
from gpuprune.contenders.row_group import device as row_device
from gpuprune.kernels import Launch, Recorder
from gpuprune.problem import Problem, load_weights, rank
from gpuprune.records import Calibration, Case
from gpuprune.roofline import predict

_DEVICES = {"row": row_device, "column": column_device}
# Microseconds for the paper's layer in float32, that the kernels were designed for.
_WANTED = {
    ("row", 1): {0.8: 38, 0.9: 22, 0.95: 19, 0.98: 14.5},
    ("row", 8): {0.8: 22.4, 0.9: 13.5, 0.95: 8.9, 0.98: 7.8},
    ("row", 32): {0.8: 16.1, 0.9: 10.2, 0.95: 8.1, 0.98: 7.7},
    ("column", 8): {0.8: 19.3, 0.9: 10.9, 0.95: 6.7, 0.98: 4.2},
    ("column", 32): {0.8: 12.5, 0.9: 7.5, 0.95: 5.0, 0.98: 3.5},
}
_TILE = 128  # weights of a product on tensor cores, 16 entries of 8 rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shares:
    """How the multiplying is shared out, for one slab of the batch."""

    work: np.ndarray  # (blocks, warps), stored weights, in the order of the blocks
    passes: int  # of the outer loop, by all warps, each through all inner loops


def main() -> None:
    """Print both tables."""
    options = _options()
    variants: dict[Any, list[str]] = {}
    times = []
    for case, problem in _problems(options):
        launch, work = _launch(case, problem, options)
        code = compile_kernel(launch.source, options.architecture, launch.constants)
        key = (launch.source.name, *launch.constants.items())
        variants.setdefault(key, _describe(case, launch, code))
        times.append(_predict(case, launch, code, work, options))
    header = ["kernel", "weights", "registers", "spilled", *KINDS, "all"]
    print(report.table(header, list(variants.values()), markdown=True, left=[0]))
    print()
    header = ["groups", "rate", "blocks", "warps a multiprocessor", "share", "issue", "waits"]
    header += ["memory", "after", "predicted", "wanted", "bound"]
    print(report.table(header, times, markdown=True, left=[0, 11]))


def _options() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--groups", type=whole, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--rates", type=float, nargs="+", default=[0.8, 0.9, 0.95, 0.98])
    parser.add_argument("--side", type=whole, default=4096, help="rows and columns of the layer")
    parser.add_argument("--batch", type=whole, default=50)
    parser.add_argument("--architecture", default="90", help="compute capability without the dot")
    machine = parser.add_argument_group("the GPU, an H200 unless said otherwise")
    for name, default, text in [
        ("multiprocessors", 132, None),
        ("shared-kib", 227, "shared memory that a block may have"),
        ("clock-ghz", 1.98, None),
        ("memory-tb-s", 4.3, "main memory"),
        ("cache-tb-s", 6.5, "the second cache"),
        ("cache-mib", 50, None),
        ("empty-us", 2.5, "a product of nothing"),
        ("start-us", 1.0, "one more kernel"),
        ("memory-cycles", 600, "latency of main memory and, to be safe, of the second cache"),
        ("shared-cycles", 30, "latency of shared memory"),
        ("tensor-cycles", 8, "from one product on tensor cores to the next of a scheduler"),
    ]:
        machine.add_argument(f"--{name}", type=type(default), default=default, help=text)
    return parser.parse_args()


def _problems(options: argparse.Namespace) -> Iterable[tuple[Case, Problem]]:
    kinds = [("row", "float32"), ("column", "float32"), ("column", "float16")]
    for orientation, dtype in kinds:
        for group in options.groups:
            cases = [
                Case(
                    rows=options.side,
                    cols=options.side,
                    batch=options.batch,
                    dtype=dtype,
                    rate=rate,
                    group=group,
                    orientation=orientation,
                )
                for rate in options.rates
            ]
            weights = load_weights(cases[0])
            ranking = rank(weights, cases)
            for case in cases:
                yield case, _problem(case, weights, ranking.mask(case.rate))


def _problem(case: Case, weights: np.ndarray, mask: np.ndarray) -> Problem:
    zeros = np.zeros((case.cols, case.batch), case.dtype)  # whose values change no instruction
    return Problem(
        case=case,
        weights=weights.astype(case.dtype),
        mask=mask,
        activations=zeros,
        activations_fortran=np.asfortranarray(zeros),
        nnz=int(mask.sum()),
    )


def _launch(case: Case, problem: Problem, options: argparse.Namespace) -> tuple[Launch, Any]:
    gpu = Recorder(
        xp=np,
        multiprocessors=options.multiprocessors,
        shared_bytes=options.shared_kib << 10,
        free_bytes=1 << 40,
        capability=(int(options.architecture[:-1]), int(options.architecture[-1])),
    )
    prepared = _DEVICES[case.orientation].prepare(problem, gpu)
    prepared.multiply()
    return gpu.launches[0], prepared.work


def _describe(case: Case, launch: Launch, code: Code) -> list[str]:
    """Count the instructions of the inner loop for a stored weight and its whole batch."""
    kinds = count(code.inner[0])
    weights = _weights(launch, code) / launch.grid[1]
    depth = launch.constants["DEPTH"]
    return [
        launch.source.name,
        f"{depth} in {case.dtype}",
        str(code.registers),
        str(code.spilled_bytes),
        *(f"{kinds[kind] / weights:.2f}" for kind in KINDS),
        f"{len(code.inner[0]) / weights:.2f}",
    ]


def _weights(launch: Launch, code: Code) -> float:
    """Count the weights that an iteration of the inner loop multiplies with a slab."""
    if "TILES" in launch.constants:
        return code.per_iteration * _TILE / launch.constants["TILES"]
    return code.per_iteration / launch.constants["SLOTS"]


def _predict(
    case: Case, launch: Launch, code: Code, work: Any, options: argparse.Namespace
) -> list[str]:
    shares = _SHARES[launch.source.name](launch, len(code.inner))
    slabs, hertz = launch.grid[1], options.clock_ghz * 1e9
    iterations = slabs * shares.work.sum() / _weights(launch, code)
    passes = slabs * shares.passes if code.overhead else iterations
    resident = _resident(launch, code)
    warps = min(resident, math.ceil(shares.work.shape[0] * slabs / options.multiprocessors))
    warps *= launch.warps
    uneven = _most_loaded(shares.work, options.multiprocessors, slabs)
    schedulers = 4 * options.multiprocessors * hertz / uneven
    # A scheduler's tensor cores take several cycles, other instructions one.
    slow = (options.tensor_cycles - 1) * code.per_iteration if "TILES" in launch.constants else 0
    issue = (iterations * (len(code.inner[0]) + slow) + passes * code.overhead) / schedulers
    alone = code.cycles_alone(
        max(1, round(iterations / passes / len(code.inner))),
        {
            "LDG": options.memory_cycles,
            "LDS": options.shared_cycles,
            "SHFL": options.shared_cycles,
            "HMMA": 4 * options.tensor_cycles,
            "other": 5,
        },
    )
    waits = passes * alone / (warps * options.multiprocessors * hertz / uneven)
    first, *rest = work.phases
    memory = _moving(replace(work, phases=(first,), starts=0), case, options) - _empty_s(options)
    after = _moving(replace(work, phases=tuple(rest)), case, options)
    named = {"issue": issue, "waits": waits, "memory": memory}
    wanted = _WANTED.get((case.orientation, case.group), {}).get(case.rate)
    if case.dtype != "float32" or (options.side, options.batch) != (4096, 50):
        wanted = None
    return [
        f"{case.orientation}, {case.group}, {case.dtype}",
        f"{case.rate:g}",
        str(shares.work.shape[0] * slabs),
        str(warps),
        f"{uneven:.2f}",
        *(f"{1e6 * seconds:.1f}" for seconds in named.values()),
        f"{1e6 * after:.1f}",
        f"{1e6 * (max(named.values()) + after):.1f}",
        "" if wanted is None else f"{wanted:g}",
        max(named, key=named.__getitem__),
    ]


def _resident(launch: Launch, code: Code) -> int:
    """Count the blocks that fit a multiprocessor, of compute capability 9.0."""
    registers = math.ceil(code.registers / 8) * 8 * 32 * launch.warps
    by_threads = min(32, 64 // launch.warps)
    return min(by_threads, 65536 // registers, (228 << 10) // (launch.shared_bytes + 1024))


def _most_loaded(work: np.ndarray, multiprocessors: int, slabs: int) -> float:
    """Share out blocks as they come, and return the largest load over the average."""
    loads = [0.0] * multiprocessors
    for block in np.tile(work.max(axis=1) * work.shape[1], slabs):  # as long as its longest warp
        heapq.heapreplace(loads, loads[0] + block)
    return max(loads) * multiprocessors / (work.sum() * slabs)


def _moving(work: Any, case: Case, options: argparse.Namespace) -> float:
    cycles = options.multiprocessors * options.clock_ghz * 1e9
    calibration = Calibration(
        empty_s=_empty_s(options),
        resolution_s=0.0,
        memory_bytes_per_s=options.memory_tb_s * 1e12,
        cache_bytes_per_s=options.cache_tb_s * 1e12,
        cache_bytes=options.cache_mib << 20,
        evict_bytes=0,
        flops_per_s={case.dtype: math.inf},  # which the instructions tell better
        core_cache_bytes_per_s=128 * cycles,
        core_cache_bytes=228 << 10,
        start_s=options.start_us * 1e-6,
    )
    return predict(work, calibration, cache="cold", precision=case.dtype).seconds


def _empty_s(options: argparse.Namespace) -> float:
    return options.empty_us * 1e-6


def _panels(launch: Launch, loops: int) -> _Shares:
    *_, splits, shares, _, starts, _, _, _, _, _ = launch.arguments
    _, of_block, slices = launch.block
    entries = np.diff(starts[shares], axis=1)  # (panels, parts)
    tiles = launch.grid[0] // splits
    whole_tiles = np.zeros((tiles * of_block, splits * slices), entries.dtype)
    whole_tiles[: len(entries)] = entries
    by_block = whole_tiles.reshape(tiles, of_block, splits, slices).transpose(0, 2, 1, 3)
    work = by_block.reshape(tiles * splits, -1) * launch.constants["DEPTH"]
    records = np.diff(shares, axis=1)
    # Two turns a pass, each with as many records; a share's first turn has nothing to multiply.
    turns = np.where(records, -(-records // (loops // 2)) + 1, 0)
    return _Shares(work=work, passes=math.ceil(turns.sum() / 2))


def _windows(launch: Launch, _: int) -> _Shares:
    rows, _, _, _, blocks, shares, starts, *_ = launch.arguments
    lists = np.arange(len(shares))[:, None] * np.int64(rows)
    steps = np.diff(starts[lists + shares], axis=1)  # (windows, workers)
    return _Shares(work=4 * steps.reshape(len(shares) * blocks, -1), passes=starts.size - 1)


def _strips(launch: Launch, _: int) -> _Shares:
    order, starts, columns = launch.arguments[4:7]
    chunk, warps = launch.constants["CHUNK"], launch.warps
    chunks = np.diff(starts)[order] // chunk
    of_warp = (chunks[:, None] + warps - 1 - np.arange(warps)) // warps
    return _Shares(work=of_warp * chunk * launch.constants["DEPTH"], passes=columns.size // chunk)


_SHARES: Mapping[str, Callable[[Launch, int], _Shares]] = {
    "panel.cu": _panels,
    "staged.cu": _windows,
    "gather.cu": _strips,
    "fragments.cu": _strips,
}


if __name__ == "__main__":
    run(main)
