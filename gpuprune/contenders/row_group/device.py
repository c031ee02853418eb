"""Row groups on a GPU: their formats, and the launch of the kernel that suits a group.

`panel.cu` and `staged.cu` say how each format lies in memory and what its kernel does with it.
Both cut the columns in parts, so that there is work for the whole GPU; each part gives products of
its own, and `parts.cu` adds them in order: a product is the same to the bit at each call.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from gpuprune.backends import Array
from gpuprune.contenders import NotApplicable, Prepared
from gpuprune.kernels import LANES, Gpu, Steps, by_rows, too_large
from gpuprune.problem import Problem
from gpuprune.ragged import starts_of
from gpuprune.roofline import Phase, Work
from gpuprune.units import format_bytes

_FOLDER = Path(__file__).parent
_FLOAT = 4  # bytes

HEIGHT = 64  # rows of a panel
_SHALLOWEST = 4  # weights of a step of panels
_DEEPEST = 16  # those of two records, of which one is on its way, fill the registers
_CHUNK_BYTES = 2 << 10  # of weights that a warp streams at once, at most
_MOST_PANEL_WARPS = 16
_PANELS_OF_A_BLOCK = (1, 2, 4)  # the more, the more read the same activations at the same time
_AS_SOON = 1.1  # times the shortest load, for fewer parts to add
_LEAST_BLOCKS = 4  # of columns in a slice: with fewer, adding the slices is most of the work

_MOST_STAGED_WARPS = 32
_STAGED_WARP_BYTES = LANES * (16 + 8)  # weights and places of as many steps as there are lanes
_LEAST_WINDOW = 16  # columns
_ADDING_THREADS = 256


def prepare(problem: Problem, gpu: Gpu) -> Prepared:
    """Pack the weights for the kernel that suits the group.

    Raises NotApplicable for what these kernels cannot index, hold or multiply.
    """
    case = problem.case
    if case.dtype != "float32":
        raise NotApplicable(f"row groups are float32 on a GPU, and the weights are {case.dtype}")
    steps = Steps.of(case.group, case.cols, shallowest=1, deepest=_DEEPEST)
    blocks = ceil(case.cols / steps.group) * steps.count
    numbers = {"rows": case.rows, "columns": case.cols, "groups": case.rows * blocks}
    if reason := too_large(case.batch, **numbers):
        raise NotApplicable(reason)
    product = _staged(problem, gpu) if steps.depth <= 2 else _panels(problem, gpu)
    return _prepared(problem, gpu, product)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Product:
    """A kernel with all that it takes besides the activations and the output."""

    name: str
    launch: Callable[..., None]
    grid: int
    block: tuple[int, ...]
    sizes: tuple[int, ...]
    format: tuple[Array, ...]
    parts: int  # products that it gives, to be added
    slots: int  # columns of the batch that a lane has
    loaded: int  # rows of activations that its warps or blocks load for each slab of the batch
    kept: int  # rows of a slab that go to or come from shared memory


def _panels(problem: Problem, gpu: Gpu) -> _Product:
    """Pack panels, and cut their records into as many parts as fill the GPU."""
    case, xp, slots = problem.case, gpu.xp, _slots(problem.case.batch)
    steps = Steps.of(case.group, case.cols, shallowest=_SHALLOWEST, deepest=_DEEPEST)
    chunk = chunk_of(steps.depth)
    warp_bytes = _FLOAT * (HEIGHT * LANES * slots + chunk * (steps.depth + 1))  # rows, too
    warps = min(_MOST_PANEL_WARPS, gpu.shared_bytes // warp_bytes)
    if not warps:
        raise NotApplicable(_too_little_shared(gpu, warp_bytes))
    count = ceil(case.rows / HEIGHT)
    of_block, slices, splits = spread_panels(
        count,
        ceil(case.cols / steps.group) * steps.count,
        slabs=_slabs(case.batch),
        warps=warps,
        multiprocessors=gpu.multiprocessors,
    )
    tiles = ceil(count / of_block)
    shared_bytes = of_block * slices * warp_bytes
    shares, columns, starts, rows, weights = pack_panels(
        problem.weights, problem.mask, steps, splits * slices, xp
    )
    return _Product(
        name=f"panels of {HEIGHT} rows",
        launch=gpu.compile(
            _FOLDER / "panel.cu",
            "multiply_panels",
            shared_bytes=shared_bytes,
            DEPTH=steps.depth,
            SLOTS=slots,
            HEIGHT=HEIGHT,
            CHUNK=chunk,
            RAGGED=int(case.cols % steps.group > 0 or steps.group % steps.depth > 0),
        ),
        grid=tiles * splits,
        block=(LANES, of_block, slices),
        sizes=(case.rows, case.cols, case.batch, count, splits),
        format=(shares, columns, starts, rows, weights),
        parts=splits,
        slots=slots,
        loaded=columns.size * steps.depth,
        kept=2 * rows.size,  # sums, read and written
    )


def _staged(problem: Problem, gpu: Gpu) -> _Product:
    """Pack lists of steps by windows, and cut their rows into as many runs as fill the GPU."""
    case, slots = problem.case, _slots(problem.case.batch)
    depth = min(case.group, case.cols)
    column_bytes = _FLOAT * LANES * slots
    warps = _MOST_STAGED_WARPS
    while warps > 1 and warps * _STAGED_WARP_BYTES > gpu.shared_bytes // 4:
        warps //= 2
    fitting = (gpu.shared_bytes - warps * _STAGED_WARP_BYTES) // column_bytes
    if fitting < _LEAST_WINDOW:
        least = warps * _STAGED_WARP_BYTES + _LEAST_WINDOW * column_bytes
        raise NotApplicable(_too_little_shared(gpu, least))
    windows = ceil(case.cols / (fitting // depth * depth))
    window = ceil(ceil(case.cols / windows) / depth) * depth
    blocks = max(
        1,
        min(
            gpu.multiprocessors // (windows * _slabs(case.batch)),
            ceil(case.rows / warps),
        ),
    )
    shares, starts, weights, places = pack_windows(
        problem.weights, problem.mask, depth, window, blocks * warps, gpu.xp
    )
    return _Product(
        name="windows in shared memory",
        launch=gpu.compile(
            _FOLDER / "staged.cu",
            "multiply_staged",
            shared_bytes=window * column_bytes + warps * _STAGED_WARP_BYTES,
            DEPTH=depth,
            SLOTS=slots,
        ),
        grid=windows * blocks,
        block=(LANES, warps),
        sizes=(case.rows, case.cols, case.batch, window, blocks),
        format=(shares, starts, weights, places),
        parts=windows,
        slots=slots,
        loaded=windows * blocks * window,
        kept=windows * blocks * window + weights.size,
    )


def _prepared(problem: Problem, gpu: Gpu, product: _Product) -> Prepared:
    """Make the output, and room for the products of the parts where there are several."""
    case, xp = problem.case, gpu.xp
    size = case.rows * case.batch
    room = product.parts * size * _FLOAT if product.parts > 1 else 0
    if room > gpu.free_bytes:
        raise NotApplicable(
            f"its {product.parts} parts give products of {format_bytes(room)}, "
            f"and {format_bytes(gpu.free_bytes)} is free"
        )
    out = xp.empty((case.rows, case.batch), xp.float32)
    parts = xp.empty((product.parts, case.rows, case.batch), xp.float32) if room else out
    add = gpu.compile(_FOLDER / "parts.cu", "add_parts")
    grid = (product.grid, ceil(case.batch / (LANES * product.slots)))
    sizes = tuple(np.int32(number) for number in product.sizes)

    def multiply() -> Array:
        if not size:
            return out
        activations, row_bytes = by_rows(problem.activations, xp)
        operands = (*sizes, *product.format, activations, np.int64(row_bytes), parts)
        product.launch(grid, product.block, *operands)
        if parts is not out:
            number = np.int32(product.parts)
            blocks = ceil(size / _ADDING_THREADS)
            add((blocks,), (_ADDING_THREADS,), np.int64(size), number, parts, out)
        return out

    return Prepared(
        multiply=multiply,
        variant=product.name,
        bytes=sum(operand.nbytes for operand in (*product.format, problem.activations, out)),
        work=_work(problem, gpu, product, room),
    )


def _work(problem: Problem, gpu: Gpu, product: _Product, room: int) -> Work:
    """Account for the kernel, and for the adding of its parts, which take `room` bytes."""
    case, slabs = problem.case, _slabs(problem.case.batch)
    columns = slabs * LANES * product.slots  # of the batch, and those that fill up the last slab
    out_bytes = case.rows * case.batch * _FLOAT
    weights = sum(array.size for array in product.format if array.dtype == np.float32)
    multiplying = Phase(
        moved=sum(array.nbytes for array in (*product.format, problem.activations))
        + (0 if room else out_bytes),
        flops=2 * weights * columns,
        gathered=product.loaded * case.batch * _FLOAT,
        gathered_from=problem.activations.nbytes,
        kept=product.kept * columns * _FLOAT,
    )
    cores = min(1.0, product.grid * slabs / gpu.multiprocessors)
    if not room:
        return Work(phases=(multiplying,), cores=cores)
    adding = Phase(moved=out_bytes, gathered=2 * room, gathered_from=room)  # written and read
    return Work(phases=(multiplying, adding), cores=cores, starts=1)


def chunk_of(depth: int) -> int:
    """Return how many entries of panels, of `depth` weights each, a warp streams at once."""
    return min(LANES, _CHUNK_BYTES // (_FLOAT * depth))


def spread_panels(
    panels: int, blocks: int, *, slabs: int, warps: int, multiprocessors: int
) -> tuple[int, int, int]:
    """Choose the panels and slices of a thread block of up to so many warps, and the splits.

    The splits' products are to be written and added, so it takes the fewest that leave no
    multiprocessor with much more than any choice would; then the fewest rounds of thread blocks,
    for each begins and ends with waiting. `blocks` are those of columns.
    """
    choices = []
    for of_block in _PANELS_OF_A_BLOCK:
        if of_block > min(panels, warps):
            break
        slices = min(warps // of_block, ceil(blocks / _LEAST_BLOCKS))
        for splits in range(1, min(multiprocessors, ceil(blocks / (_LEAST_BLOCKS * slices))) + 1):
            rounds = ceil(ceil(panels / of_block) * slabs * splits / multiprocessors)
            load = rounds * of_block / splits  # panels, of the busiest multiprocessor
            choices.append((load, splits, rounds, of_block, slices))
    enough = _AS_SOON * min(choices)[0]
    _, splits, _, of_block, slices = min(
        (one for one in choices if one[0] <= enough), key=lambda one: (*one[1:3], -one[3])
    )
    return of_block, slices, splits


def pack_panels(
    weights: Array, mask: Array, steps: Steps, parts: int, xp: Any
) -> tuple[Array, ...]:
    """Pack the weights (rows, cols) of the steps of which the mask keeps any weight, by panels.

    Returns shares (panels, parts + 1), columns (records), starts (records + 1), rows (entries) and
    weights (entries, depth), as panel.cu wants them.
    """
    kept = steps.cut(mask, xp).any(axis=2)  # (rows, blocks)
    height, blocks = kept.shape
    panels = ceil(height / HEIGHT)
    filled = xp.zeros((panels * HEIGHT, blocks), bool)
    filled[:height] = kept
    by_panel = filled.reshape(panels, HEIGHT, blocks).transpose(0, 2, 1)
    panel, block, row = xp.nonzero(by_panel)  # in the order of the entries
    counts = xp.count_nonzero(by_panel, axis=2)  # (panels, blocks)
    is_record = counts > 0
    starts = starts_of(counts[is_record], xp)
    first_records = starts_of(xp.count_nonzero(is_record, axis=1), xp)
    _, records = xp.nonzero(is_record)
    group, step = records // steps.count, records % steps.count
    return (
        _share_out(starts + xp.arange(starts.size), first_records, parts, xp),
        (group * steps.group + step * steps.depth).astype(xp.int32),
        starts.astype(xp.int32),
        row.astype(xp.uint8),
        steps.cut(weights, xp)[panel * HEIGHT + row, block],
    )


def pack_windows(
    weights: Array, mask: Array, depth: int, window: int, workers: int, xp: Any
) -> tuple[Array, ...]:
    """Pack the weights (rows, cols) of the groups of which the mask keeps any weight, by windows.

    `depth` is the group, and `window` the columns of a window. Returns shares (windows, workers +
    1), starts (windows * rows + 1), weights (steps, 4) and places (steps, 4 / depth), as
    staged.cu wants them.
    """
    rows, cols = mask.shape
    steps = Steps(group=depth, count=1, depth=depth)
    kept = steps.cut(mask, xp).any(axis=2)  # (rows, groups)
    windows, groups = ceil(cols / window), window // depth
    filled = xp.zeros((rows, windows * groups), bool)
    filled[:, : kept.shape[1]] = kept
    by_window = filled.reshape(rows, windows, groups).transpose(1, 0, 2)
    number, row, place = xp.nonzero(by_window)  # in the order of the lists
    counts = xp.count_nonzero(by_window, axis=2).ravel()  # (windows * rows)
    of_step = 4 // depth
    starts = starts_of((counts + of_step - 1) // of_step, xp)
    # Where each group lands: behind its list's start, by its rank in the list.
    rank = xp.arange(number.size) - starts_of(counts, xp)[number * rows + row]
    target = starts[number * rows + row] * of_step + rank
    total = int(starts[-1])
    packed = xp.zeros((total * of_step, depth), weights.dtype)
    packed[target] = steps.cut(weights, xp)[row, number * groups + place]
    places = xp.zeros(total * of_step, xp.uint16)
    places[target] = (place * depth).astype(xp.uint16)
    lists = xp.arange(windows + 1) * rows
    work = starts + xp.arange(starts.size)  # a row takes some, even if it keeps nothing
    shares = _share_out(work, lists, workers, xp)
    return (
        shares - (lists[:-1, None]).astype(xp.int32),
        starts.astype(xp.int32),
        packed.reshape(total, 4),
        places.reshape(total, of_step),
    )


def _share_out(work: Array, firsts: Array, workers: int, xp: Any) -> Array:
    """Cut several runs of tasks into one share a worker each, of about equal work.

    `work` is what all tasks before each take, `firsts` the first task of each run and the end of
    the last. Returns the first task of each share, and the end: (runs, workers + 1), int32.
    """
    begun = work[firsts]
    goals = (
        begun[:-1, None] + (begun[1:] - begun[:-1])[:, None] * xp.arange(workers + 1) // workers
    )
    return xp.searchsorted(work, goals.ravel()).reshape(goals.shape).astype(xp.int32)


def _slots(batch: int) -> int:
    """Columns of the batch that a lane has."""
    return 1 if batch <= LANES else 2


def _slabs(batch: int) -> int:
    """Slabs that cover a batch."""
    return max(1, ceil(batch / (LANES * _slots(batch))))


def _too_little_shared(gpu: Gpu, needed: int) -> str:
    return (
        f"its kernel needs {format_bytes(needed)} of shared memory for a block, "
        f"and this GPU has {format_bytes(gpu.shared_bytes)}"
    )
