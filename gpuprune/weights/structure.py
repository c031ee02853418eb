"""Which rate and which group sizes a matrix already has."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Exact zeros inside kept groups exist; a wrong group size misses half of the transitions.
_STRAY_SHARE = 0.01
_BLOCK_ELEMENTS = 2**20  # compared at once, so that the extra memory is 1 MiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """What others pruned: the share removed, and the groups in which they did it.

    A group size of 1 means single weights; None that no row (or no column) has both kept and
    removed weights, so that nothing shows a group.
    """

    rate: float
    row_group: int | None
    column_group: int | None


def detect_structure(kept: NDArray[np.bool_]) -> Structure:
    """Detect the rate and the group sizes of a mask: bool (rows, cols), True where kept.

    A transition is a pair of neighbours of which one is kept. `row_group` is the largest g such
    that at most 1 % of all transitions along the rows lie at columns that are no multiple of g,
    `column_group` the same down the columns. So a row's last group may be shorter, some exact
    zeros inside kept groups do no harm, and of two sizes that both explain the mask (kept groups
    of 8 that all lie in pairs) the larger is told. With n transitions a mask of single weights
    passes for groups of g by chance with a probability of about g ** -n: a handful of
    transitions proves little.
    """
    return Structure(
        rate=1 - int(np.count_nonzero(kept)) / kept.size,
        row_group=_largest_group(_count_along_rows(kept)),
        column_group=_largest_group(_count_down_columns(kept)),
    )


def _count_along_rows(kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Transitions between the columns i and i + 1, for each i."""
    rows, cols = kept.shape
    counts = np.zeros(cols - 1, np.int64)
    step = max(1, _BLOCK_ELEMENTS // cols)
    for start in range(0, rows, step):
        block = kept[start : start + step]
        counts += np.count_nonzero(block[:, 1:] != block[:, :-1], axis=0)
    return counts


def _count_down_columns(kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Transitions between the rows i and i + 1, for each i."""
    rows, cols = kept.shape
    counts = np.zeros(rows - 1, np.int64)
    step = max(1, _BLOCK_ELEMENTS // cols)
    for start in range(0, rows - 1, step):
        block = kept[start : start + step + 1]
        changed: NDArray[Any] = block[1:] != block[:-1]
        counts[start : start + step] = np.count_nonzero(changed, axis=1)
    return counts


def _largest_group(counts: NDArray[np.int64]) -> int | None:
    """Find the largest group whose boundaries explain the transitions; counts[i] is at i + 1."""
    total = int(counts.sum())
    if total == 0:
        return None
    allowed = int(_STRAY_SHARE * total)
    # All that lies before the first boundary is stray, which bounds the group from above.
    largest = int(np.searchsorted(np.cumsum(counts), allowed, side="right")) + 1
    for group in range(largest, 1, -1):
        if total - int(counts[group - 1 :: group].sum()) <= allowed:
            return group
    return 1
