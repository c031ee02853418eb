"""Predicted global load efficiency of a product in compressed rows, for a stated mapping.

A mapping says which loads the warps of a kernel issue for row pointers, column indices, values
and the dense operand B (cols, batch). Every one of them is counted as the profilers count
(`gpuprune.profiler.loads`). What a closed library does is not known: a prediction is a model of a
stated kernel, never a measurement. Arrays begin at multiples of 256 bytes, as the allocators of
CUDA and CuPy place them, and indices take 4 bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from gpuprune import csr
from gpuprune.errors import GpupruneError
from gpuprune.profiler.loads import (
    DISTINCT_BYTES,
    LANE_BYTES,
    LANES,
    SECTOR_BYTES,
    SECTORS,
    Counts,
    LoadEfficiency,
    count_loads,
    count_shared,
    count_spans,
)
from gpuprune.profiler.mappings import COMPRESSED_ROWS

_INDEX_BYTES = 4  # of a row pointer and of a column index
_CERTAIN_POINTS = 0.1  # half width of the confidence interval at which sampling stops
_QUANTILE = 1.96  # of 95 % confidence
_FEWEST_NONZEROS = 1 << 22  # what has no more is counted whole
_FEWEST_UNITS = 32  # of a sample whose spread can be believed
_NONZEROS_AT_ONCE = 1 << 15  # keeps the intermediate arrays in the cache

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Load efficiency of a stated mapping, in per cent, by the definitions of both profilers."""

    gld_efficiency_pct: float  # distinct bytes, as ncu
    nvprof_style_pct: float  # bytes of all lanes, as nvprof: passes 100 where lanes share
    error_points: float  # half width of the wider 95 % confidence interval, 0.0 if all is counted
    mapping: str
    sampled_rows: int
    achieved_rate: float  # share of the weights removed


@dataclass(frozen=True, slots=True)
class _Rows:
    """A pattern in compressed rows, and the shape of the dense operand."""

    starts: Integers  # (rows + 1,)
    columns: Integers  # (nnz,)
    cols: int
    batch: int
    itemsize: int

    @property
    def count(self) -> int:
        return len(self.starts) - 1


@dataclass(frozen=True, slots=True)
class _Kernel:
    """How the loads of a mapping are counted."""

    count: Callable[[_Rows, Integers], Counts]  # units (units,) -> (units, 3)
    rows_per_unit: int = 1  # neighbouring rows that one warp takes together


def predict(
    mask: NDArray[np.bool_], itemsize: int, batch: int, mapping: str, seed: int = 0
) -> Prediction:
    """Predict the load efficiency of mask (rows, cols) times a dense operand (cols, batch).

    mask: True = kept, and stored; itemsize: bytes of a value. Large matrices are sampled by rows,
    drawn from `seed`, until the confidence interval is narrow.
    Raises GpupruneError for a mapping that is not in `COMPRESSED_ROWS`.
    """
    if mapping not in COMPRESSED_ROWS:
        raise GpupruneError(
            f"unknown mapping {mapping!r}", hint=f"take one of {', '.join(COMPRESSED_ROWS)}"
        )
    kernel = _KERNELS[mapping]
    rows = _compress(mask, itemsize, batch)
    order = np.random.default_rng(seed).permutation(-(-rows.count // kernel.rows_per_unit))
    counted = np.empty((0, 3), np.int64)  # (units counted, 3)
    enough = max(_FEWEST_UNITS, len(order) * _FEWEST_NONZEROS // max(1, len(rows.columns)))
    error = float("inf")
    while len(counted) < len(order) and not error <= _CERTAIN_POINTS:
        more = order[len(counted) : max(enough, 2 * len(counted))]
        counted = np.concatenate([counted, _count_in_pieces(rows, kernel, more)])
        error = _error_points(counted, len(order))
    found = LoadEfficiency.of(counted)
    return Prediction(
        gld_efficiency_pct=found.ncu_pct,
        nvprof_style_pct=found.nvprof_pct,
        error_points=error,
        mapping=mapping,
        sampled_rows=min(len(counted) * kernel.rows_per_unit, rows.count),
        achieved_rate=1 - len(rows.columns) / mask.size,
    )


def _compress(mask: NDArray[np.bool_], itemsize: int, batch: int) -> _Rows:
    _, columns, starts = csr.find(mask, np)
    return _Rows(
        starts=starts,
        columns=columns,
        cols=mask.shape[1],
        batch=batch,
        itemsize=itemsize,
    )


def _count_in_pieces(rows: _Rows, kernel: _Kernel, units: Integers) -> Counts:
    mean = max(1, len(rows.columns) * kernel.rows_per_unit // rows.count)
    pieces = -(-len(units) * mean // _NONZEROS_AT_ONCE)
    return np.concatenate(
        [kernel.count(rows, piece) for piece in np.array_split(units, max(1, pieces))]
    )


def _error_points(counted: Counts, population: int) -> float:
    """Half width of the confidence interval of a ratio, estimated from some units of many.

    The variance of a ratio under simple random sampling without replacement: W. G. Cochran,
    Sampling Techniques, 3rd edition, section 2.11.
    """
    n = len(counted)
    if n == population:
        return 0.0
    loaded = SECTOR_BYTES * counted[:, SECTORS].astype(np.float64)
    widest = 0.0
    for column in (DISTINCT_BYTES, LANE_BYTES):
        asked = counted[:, column].astype(np.float64)
        residuals = asked - loaded * (asked.sum() / loaded.sum())
        variance = (1 - n / population) * float(residuals @ residuals) / (n - 1) / n
        widest = max(widest, 100 * _QUANTILE * sqrt(variance) / float(loaded.mean()))
    return widest


def _across_batch(
    rows: _Rows, units: Integers, *, coalesced: bool = True, column_major: bool = False
) -> Counts:
    """Count the loads of warps of which each takes one row, and its lanes up to 32 columns of B.

    For every non-zero the lanes load their piece of one row of B. Index and value come 32
    non-zeros at a time, one to a lane, to be passed on by shuffles (`coalesced`), or else
    non-zero by non-zero, the same one to all lanes. A lane beyond the batch loads all but B.
    """
    lengths = rows.starts[units + 1] - rows.starts[units]
    slices = -(-rows.batch // LANES)  # of the batch, a warp each
    # What a row of B touches depends on where in a sector it begins: (places, 3) covers them all.
    by_place = np.stack(
        [
            _row_of_operand(rows, slices, place, column_major)
            for place in range(0, SECTOR_BYTES, rows.itemsize)
        ]
    )
    stride = 1 if column_major else rows.batch
    places = _nonzeros(rows, units) * stride % len(by_place)
    counts = _sum_runs(by_place[places], lengths)
    if coalesced:
        pairs = _streamed(rows, units)
    else:
        pair = count_shared(_INDEX_BYTES, LANES) + count_shared(rows.itemsize, LANES)
        pairs = lengths[:, None] * pair
    return counts + slices * (pairs + 2 * count_shared(_INDEX_BYTES, LANES))


def _across_nonzeros(
    rows: _Rows, units: Integers, *, lanes_per_row: int, operand: str | None
) -> Counts:
    """Count the loads of warps whose lanes are non-zeros, `lanes_per_row` of one row at a time.

    A lane keeps the index and value of its non-zero while it loads its own element of B for one
    column of the batch after the other. operand: how B is stored, "row_major" or "column_major";
    None where it is read by a path that load efficiency leaves out.
    """
    lane = np.arange(LANES)
    row = units[:, None] * (LANES // lanes_per_row) + lane // lanes_per_row  # (units, LANES)
    exists = row < rows.count
    pointers = [count_loads((row + i) * _INDEX_BYTES, _INDEX_BYTES, exists) for i in (0, 1)]
    first = rows.starts[np.minimum(row, rows.count)]
    end = rows.starts[np.minimum(row + 1, rows.count)]
    steps = ((end - first + lanes_per_row - 1) // lanes_per_row).max(axis=1)  # (units,)
    unit = np.repeat(np.arange(len(units)), steps)
    step = np.arange(len(unit)) - (np.cumsum(steps) - steps)[unit]
    element = first[unit] + step[:, None] * lanes_per_row + lane % lanes_per_row  # (steps, LANES)
    active = element < end[unit]
    loads = count_loads(element * _INDEX_BYTES, _INDEX_BYTES, active)
    loads += count_loads(element * rows.itemsize, rows.itemsize, active)
    if operand is not None:
        column = rows.columns[np.minimum(element, len(rows.columns) - 1)]
        by_column, by_batch = (1, rows.cols) if operand == "column_major" else (rows.batch, 1)
        shifts = np.arange(rows.batch) * by_batch * rows.itemsize % SECTOR_BYTES
        for shift, times in zip(*np.unique(shifts, return_counts=True), strict=True):
            address = column * (by_column * rows.itemsize) + shift
            loads += times * count_loads(address, rows.itemsize, active)
    return pointers[0] + pointers[1] + _sum_runs(loads, steps)


def _row_of_operand(rows: _Rows, slices: int, start: int, column_major: bool) -> Counts:
    """Count the loads of one row of B, by all warps that need it: (3,)."""
    lane = np.arange(slices * LANES).reshape(-1, LANES)  # (slices, LANES): batch columns
    stride = rows.itemsize * (rows.cols if column_major else 1)
    loads = count_loads(start + lane * stride, rows.itemsize, lane < rows.batch)
    total: Counts = loads.sum(axis=0)
    return total


def _streamed(rows: _Rows, units: Integers) -> Counts:
    """Count the loads of a row's indices and values, 32 at a time: (units, 3)."""
    start = rows.starts[units]
    whole, rest = np.divmod(rows.starts[units + 1] - start, LANES)
    counts = np.zeros((len(units), 3), np.int64)
    for width in (_INDEX_BYTES, rows.itemsize):  # a whole load ends where in a sector it began
        counts += whole[:, None] * count_spans(start * width, LANES, width)
        counts += count_spans(start * width, rest, width)
    return counts


def _nonzeros(rows: _Rows, units: Integers) -> Integers:
    """List the columns of the non-zeros of some rows, row by row."""
    lengths = rows.starts[units + 1] - rows.starts[units]
    before = np.cumsum(lengths) - lengths
    places = np.arange(lengths.sum()) + np.repeat(rows.starts[units] - before, lengths)
    columns: Integers = rows.columns[places]
    return columns


def _sum_runs(counts: Counts, lengths: Integers) -> Counts:
    """Sum the counts of loads (loads, 3) over runs of given lengths: (runs, 3)."""
    totals = np.zeros((len(counts) + 1, 3), np.int64)
    np.cumsum(counts, axis=0, out=totals[1:])
    ends = np.cumsum(lengths)
    sums: Counts = totals[ends] - totals[ends - lengths]
    return sums


_KERNELS = {
    "row_major": _Kernel(_across_batch),
    "row_major_broadcast": _Kernel(partial(_across_batch, coalesced=False)),
    "column_major": _Kernel(partial(_across_batch, column_major=True)),
    "gather": _Kernel(partial(_across_nonzeros, lanes_per_row=32, operand="column_major")),
    "stream": _Kernel(partial(_across_nonzeros, lanes_per_row=32, operand=None)),
    "half_warp_stream": _Kernel(
        partial(_across_nonzeros, lanes_per_row=16, operand=None), rows_per_unit=2
    ),
    "thread_per_row": _Kernel(
        partial(_across_nonzeros, lanes_per_row=1, operand="row_major"), rows_per_unit=32
    ),
}
