"""What global load efficiency is: bytes asked for over the 32-byte sectors that hold them.

A load is what one instruction of one warp reads: up to 32 lanes, each `width` bytes at its own
address. `ncu` divides the distinct bytes by the sectors touched, `nvprof` the bytes of all lanes,
so that a broadcast is 12.5 % to the one and up to 400 % to the other.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gpuprune.profiler.digits import denoised

LANES = 32  # of a warp
SECTOR_BYTES = 32

# Counts of loads are arrays (..., 3) of these columns, so that they add up.
DISTINCT_BYTES, LANE_BYTES, SECTORS = range(3)
Counts = NDArray[np.int64]

_NOWHERE = 1 << 62  # the address of a lane that does not load: behind all others when sorted
_BEFORE_ALL = -(1 << 62)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadEfficiency:
    """Share of the loaded sectors that was asked for, in per cent, by either tool's definition."""

    ncu_pct: float  # distinct bytes
    nvprof_pct: float  # bytes of all lanes: passes 100 where lanes share an address

    @classmethod
    def of(cls, counts: Counts) -> Self:
        """Sum the counts of loads (..., 3); NaN where nothing was loaded."""
        total = counts.reshape(-1, 3).sum(axis=0)
        loaded = SECTOR_BYTES * int(total[SECTORS])
        if not loaded:
            return cls(ncu_pct=float("nan"), nvprof_pct=float("nan"))
        return cls(
            ncu_pct=denoised(100 * int(total[DISTINCT_BYTES]) / loaded),
            nvprof_pct=denoised(100 * int(total[LANE_BYTES]) / loaded),
        )


def count_loads(
    addresses: NDArray[np.integer], width: int, active: NDArray[np.bool_] | None = None
) -> Counts:
    """Count loads by the addresses of their lanes.

    addresses: (loads, lanes), in bytes, not negative; width: bytes a lane reads there;
    active: (loads, lanes), False where a lane does not load, by default all do.
    Returns (loads, 3): distinct bytes, bytes of all lanes, distinct sectors.
    """
    starts = np.asarray(addresses, np.int64)
    if active is not None:
        starts = np.where(active, starts, _NOWHERE)
    starts = np.sort(starts, axis=1)  # (loads, lanes), and so are the ends and the sectors
    ends = starts + width
    loads = starts < _NOWHERE
    first, last = starts // SECTOR_BYTES, (ends - 1) // SECTOR_BYTES
    counts = np.empty((len(starts), 3), np.int64)
    new_bytes = ends - np.maximum(starts, _of_lane_before(ends))
    new_sectors = last + 1 - np.maximum(first, _of_lane_before(last) + 1)
    counts[:, DISTINCT_BYTES] = np.sum(new_bytes, axis=1, where=loads)
    counts[:, LANE_BYTES] = width * np.count_nonzero(loads, axis=1)
    counts[:, SECTORS] = np.sum(new_sectors, axis=1, where=loads)
    return counts


def count_spans(
    starts: NDArray[np.integer], lanes: NDArray[np.integer] | int, width: int
) -> Counts:
    """Count loads of which lane after lane reads the next `width` bytes.

    starts: (loads,), the first lane's address in bytes; lanes: how many load, for all or for each.
    Returns (loads, 3), what `count_loads` returns for the same addresses.
    """
    size = np.asarray(lanes, np.int64) * width
    counts = np.empty((len(starts), 3), np.int64)
    counts[:, DISTINCT_BYTES] = counts[:, LANE_BYTES] = size
    touched = (starts + size - 1) // SECTOR_BYTES - starts // SECTOR_BYTES + 1
    counts[:, SECTORS] = np.where(size > 0, touched, 0)
    return counts


def count_shared(width: int, lanes: int) -> Counts:
    """Count a load of one address by several lanes: (3,)."""
    return np.array([width, width * lanes, 1], np.int64)


def _of_lane_before(values: NDArray[np.int64]) -> NDArray[np.int64]:
    shifted = np.empty_like(values)
    shifted[:, 0] = _BEFORE_ALL
    shifted[:, 1:] = values[:, :-1]
    return shifted
