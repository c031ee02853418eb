"""Predicted load efficiency of `row_group` and `column_group`, from their launches.

The contenders pack a pattern and choose their grids as they would for a GPU, with NumPy in the
place of CuPy; what they launch is written down instead, and its loads are counted, all of them.
The counts follow the index arithmetic of `panel.cu`, `staged.cu`, `parts.cu`, `gather.cu` and
`fragments.cu`, and change with it: a test runs these kernels on the CPU and watches every lane.
"""

from collections.abc import Callable, Mapping
from math import ceil

import numpy as np
from numpy.typing import NDArray

from gpuprune.contenders import NotApplicable
from gpuprune.contenders.column_group import device as column_device
from gpuprune.contenders.row_group import device as row_device
from gpuprune.errors import GpupruneError
from gpuprune.kernels import LANES, Launch, Recorder
from gpuprune.problem import Problem
from gpuprune.profiler.loads import (
    DISTINCT_BYTES,
    SECTOR_BYTES,
    SECTORS,
    Counts,
    LoadEfficiency,
    count_loads,
    count_shared,
    count_spans,
)
from gpuprune.profiler.model import Prediction
from gpuprune.records import Case

# An H200, as the sentences of the mappings say.
_MULTIPROCESSORS = 132
_SHARED_BYTES = 227 << 10  # of a block
_MEMORY_BYTES = 141 * 10**9
_CAPABILITY = (9, 0)

_DEVICES = {"row_group": ("row", row_device), "column_group": ("column", column_device)}

_DTYPES = {"row_group": ("float32",), "column_group": ("float32", "float16", "bfloat16")}

_WORD = 4  # bytes of a float, and of an index
_HALF = 2  # bytes of a number of 16 bits
_VECTOR = 16  # bytes, the most that a lane loads at once
_TILE = 16  # columns of the batch in a product on tensor cores

Integers = NDArray[np.integer]


def reason_against(case: Case, mapping: str) -> str | None:
    """Say why the kernels of a mapping are not launched for a case, None if they are."""
    orientation, _ = _DEVICES[mapping]
    if case.orientation != orientation:
        return f"is of --orientation {orientation}, and these groups are of {case.orientation}"
    if case.dtype not in _DTYPES[mapping]:
        return f"is of {' and '.join(_DTYPES[mapping])}, and these weights are {case.dtype}"
    return None


def predict(case: Case, mask: NDArray[np.bool_], mapping: str) -> Prediction:
    """Predict the load efficiency of all kernels of one product together; every load is counted.

    mask: (rows, cols), True = kept. Raises GpupruneError for what these kernels do not multiply.
    """
    counts = count_product(case, mask, mapping)
    found = LoadEfficiency.of(np.array(list(counts.values())))
    return Prediction(
        gld_efficiency_pct=found.ncu_pct,
        nvprof_style_pct=found.nvprof_pct,
        error_points=0.0,
        mapping=mapping,
        sampled_rows=case.rows,
        achieved_rate=1 - float(mask.mean()),
    )


def count_product(
    case: Case,
    mask: NDArray[np.bool_],
    mapping: str,
    *,
    multiprocessors: int = _MULTIPROCESSORS,
    shared_bytes: int = _SHARED_BYTES,
) -> dict[str, Counts]:
    """Count the loads of each kernel of a product, on a GPU of a size: by its name, (3,).

    Raises GpupruneError for what these kernels do not multiply.
    """
    if reason := reason_against(case, mapping):
        raise GpupruneError(
            f"the mapping {mapping} {reason}",
            hint=f"take {_remedy(case, mapping)}, or the mapping row_major, which is of any "
            "pattern and dtype",
        )
    gpu = Recorder(
        xp=np,
        multiprocessors=multiprocessors,
        shared_bytes=shared_bytes,
        free_bytes=_MEMORY_BYTES,
        capability=_CAPABILITY,
    )
    _, device = _DEVICES[mapping]
    try:
        device.prepare(_without_values(case, mask), gpu).multiply()
    except NotApplicable as why:
        raise GpupruneError(
            f"there is no {mapping} for this case: {why}",
            hint="take the mapping row_major, which is of any size",
        ) from None
    return {one.kernel: _COUNTERS[one.kernel](one) for one in gpu.launches}


def _remedy(case: Case, mapping: str) -> str:
    """Name the options that a case would have to have otherwise."""
    orientation, _ = _DEVICES[mapping]
    dtypes = _DTYPES[mapping]
    wrong = [f"--orientation {orientation}"] if case.orientation != orientation else []
    wrong += [f"--dtype {dtypes[0]}"] if case.dtype not in dtypes else []
    return " and ".join(wrong)


def _without_values(case: Case, mask: NDArray[np.bool_]) -> Problem:
    """Make a problem of a pattern: no address depends on a value, so that one stands for all."""
    zero = np.float32(0) if case.dtype == "float32" else np.float16(0)  # of as many bytes
    return Problem(
        case=case,
        weights=np.broadcast_to(zero, mask.shape),
        mask=mask,
        activations=np.empty((case.cols, case.batch), zero.dtype),
        activations_fortran=np.broadcast_to(zero, (case.cols, case.batch)),
        nnz=int(np.count_nonzero(mask)),
    )


def _count_panels(launch: Launch) -> Counts:
    """Count what `multiply_panels` loads: a warp takes a share of a panel's records."""
    _, cols, batch, _, _, shares, columns, starts, *_, row_bytes, _ = launch.arguments
    depth, chunk = launch.constants["DEPTH"], launch.constants["CHUNK"]
    begin, end = shares[:, :-1].ravel(), shares[:, 1:].ravel()  # (panels * parts,), a warp each
    first, last = begin[begin < end], end[begin < end]
    entry, last_entry = starts[first], starts[last]
    vectors = depth * _WORD // _VECTOR  # of an entry
    of_slab = (
        (2 * begin.size + 2 * first.size) * count_shared(_WORD, LANES)
        + _streamed(first, last, _WORD)  # columns
        + _streamed(first + 1, last + 1, _WORD)  # starts
        + _streamed(entry * vectors, last_entry * vectors, _VECTOR)
        + _streamed(entry, last_entry, 1, chunk)  # rows
    )
    held = columns[:, None] + np.arange(depth)  # (records, depth)
    loads: Counts = launch.slabs * of_slab + _activations(held[held < cols], batch, row_bytes)
    return loads


def _count_staged(launch: Launch) -> Counts:
    """Count what `multiply_staged` loads: a block takes a window, a warp some of its lists."""
    rows, cols, batch, _, blocks, shares, starts, *_, row_bytes, _ = launch.arguments
    lists = np.arange(len(shares))[:, None] * np.int64(rows)  # (windows, 1), the first of each
    begin, end = lists + shares[:, :-1], lists + shares[:, 1:]  # (windows, workers), a warp each
    step, last_step = starts[begin[begin < end]], starts[end[begin < end]]
    alone = 2 * begin.size + 2 * step.size + int((end - begin).sum())  # shares, starts, stops
    places = 4 // launch.constants["DEPTH"]  # of a step, 2 bytes each
    of_slab = (
        alone * count_shared(_WORD, LANES)
        + _streamed(step, last_step, _VECTOR)  # weights
        + _streamed(step, last_step, 2 * places)
    )
    windows = _activations(np.arange(cols), batch, row_bytes)  # of all, each copied by one block
    loads: Counts = launch.slabs * of_slab + blocks * windows
    return loads


def _count_parts(launch: Launch) -> Counts:
    """Count what `add_parts` loads: a lane takes one element of the output, of every part."""
    size, parts, *_ = launch.arguments
    words = SECTOR_BYTES // _WORD
    by_place = [_streamed(np.array([i]), np.array([i + size]), _WORD) for i in range(words)]
    return _at_places(np.arange(parts) * size, by_place)


def _count_strips(launch: Launch) -> Counts:
    """Count what `multiply_strips` loads: the warps of a block share the chunks of a strip."""
    _, batch, _, _, order, _, columns, *_, row_bytes, _ = launch.arguments
    depth, chunk = launch.constants["DEPTH"], launch.constants["CHUNK"]
    warps, chunks = launch.block[1], columns.size // chunk
    indices = ceil(chunk * columns.itemsize / _VECTOR)  # loads of a chunk's columns
    piece = max(1, chunk * depth // LANES)  # weights of a lane
    of_slab = (
        3 * order.size * warps * count_shared(_WORD, LANES)  # order, and both ends of the strip
        + chunks * indices * count_shared(min(chunk * columns.itemsize, _VECTOR), LANES)
        + chunks * count_spans(np.zeros(1, np.int64), chunk * depth // piece, piece * _WORD)[0]
    )
    loads: Counts = launch.slabs * of_slab + _activations(columns, batch, row_bytes)
    return loads


def _count_fragments(launch: Launch) -> Counts:
    """Count what `multiply_fragments` loads: 16 entries, and 16 of the batch, at a time."""
    _, batch, _, _, order, _, columns, *_, row_bytes, _ = launch.arguments
    parts, warps = launch.constants["DEPTH"] // 8, launch.block[1]
    chunks = columns.size // launch.constants["CHUNK"]
    pair = 2 * columns.itemsize  # of columns, and a load has four of these
    of_slab = (
        3 * order.size * warps * count_shared(_WORD, LANES)  # order, and both ends of the strip
        + 2 * chunks * np.array([4 * pair, LANES * pair, 1])
        + parts * chunks * count_spans(np.zeros(1, np.int64), LANES, 8)[0]  # weights
    )
    tiles, rest = divmod(batch, _TILE)
    starts = np.int64(row_bytes) * _of_four_entries(columns)
    are_pairs = row_bytes % _WORD == 0 and batch % 2 == 0
    whole = _count_tile(starts, _TILE, are_pairs=are_pairs)
    last = _count_tile(starts + tiles * SECTOR_BYTES, rest, are_pairs=are_pairs)
    loads: Counts = launch.slabs * of_slab + tiles * whole + last
    return loads


def _of_four_entries(columns: Integers) -> Integers:
    """Sort columns into the fours that a load is of: (loads, 4)."""
    halves_by_pair = columns.astype(np.int64).reshape(-1, 2, 4, 2)  # chunk, half, pair, odd
    return halves_by_pair.transpose(0, 1, 3, 2).reshape(-1, 4)


def _count_tile(starts: Integers, width: int, *, are_pairs: bool) -> Counts:
    """Count the loads of a tile's activations, of `width` columns of the batch.

    starts: (loads, 4), where each of four rows begins. A lane loads two numbers at once, or where
    these are no pairs, one after the other.
    """
    pairs = width // 2 if are_pairs else 0
    counts = _count_lanes(starts, pairs, 2 * _HALF)
    for odd in (0, 1):
        alone = (width - 2 * pairs + 1 - odd) // 2
        counts += _count_lanes(starts + (2 * pairs + odd) * _HALF, alone, _HALF)
    return counts


def _count_lanes(starts: Integers, lanes: int, width: int) -> Counts:
    """Count loads of which some lanes for each of four rows read every other two numbers: (3,)."""
    if not lanes:
        return np.zeros(3, np.int64)
    extent = (lanes - 1) * 2 * _HALF + width  # bytes of a row, and every sector of it is touched
    loads = count_loads(starts, extent).sum(axis=0)
    rows = loads[DISTINCT_BYTES] // extent  # that differ: what fills up a chunk has the same
    counts: Counts = np.array(
        [rows * lanes * width, starts.size * lanes * width, loads[SECTORS]], np.int64
    )
    return counts


def _activations(columns: Integers, batch: int, row_bytes: int) -> Counts:
    """Count the loads of some rows of the activations (cols, batch), 32 of the batch at a time."""
    by_place = [
        _streamed(np.array([place]), np.array([place + batch]), _WORD)
        for place in range(SECTOR_BYTES // _WORD)
    ]
    return _at_places(columns * np.int64(row_bytes // _WORD), by_place)


def _at_places(starts: Integers, by_place: list[Counts]) -> Counts:
    """Sum what is loaded from each of some words on: it depends on where in a sector that is."""
    times = np.bincount(starts % len(by_place), minlength=len(by_place))
    total: Counts = times @ np.array(by_place)
    return total


def _streamed(first: Integers, last: Integers, width: int, lanes: int = LANES) -> Counts:
    """Count the loads of runs of elements, from each first up to each last, a lane an element."""
    pieces = (last - first + lanes - 1) // lanes  # (runs,)
    run = np.repeat(np.arange(first.size), pieces)
    begun = np.cumsum(pieces) - pieces
    start = first[run] + lanes * (np.arange(run.size) - begun[run])
    counts = count_spans(start * width, np.minimum(lanes, last[run] - start), width)
    total: Counts = counts.sum(axis=0)
    return total


_COUNTERS: Mapping[str, Callable[[Launch], Counts]] = {
    "multiply_panels": _count_panels,
    "multiply_staged": _count_staged,
    "add_parts": _count_parts,
    "multiply_strips": _count_strips,
    "multiply_fragments": _count_fragments,
}
