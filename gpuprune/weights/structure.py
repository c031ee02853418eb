"""Which rate and which group sizes a matrix already has."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Exact zeros inside kept groups exist; a wrong group size misses half of the transitions.
_STRAY_SHARE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """What others pruned: the share removed, and the groups in which they did it.

    A group size of 1 means single weights; None that no row (or no column) has both kept and
    removed weights, so that nothing shows a group.
    """

    rate: float
    row_group: int | None
    column_group: int | None


def detect_structure(blocks: Iterable[NDArray[np.bool_]]) -> Structure:
    """Detect the rate and the group sizes of a mask, given from top to bottom in blocks of rows.

    Each block is bool (some rows, cols), True where kept.

    A transition is a pair of neighbours of which one is kept. `row_group` is the largest g such
    that at most 1 % of all transitions along the rows lie at columns that are no multiple of g,
    `column_group` the same down the columns. So a row's last group may be shorter, some exact
    zeros inside kept groups do no harm, and of two sizes that both explain the mask (kept groups
    of 8 that all lie in pairs) the larger is told. With n transitions a mask of single weights
    passes for groups of g by chance with a probability of about g ** -n: a handful of
    transitions proves little.
    """
    kept = size = 0
    along: NDArray[np.int64] | int = 0  # transitions between the columns i and i + 1, for each i
    down = []  # transitions between the rows i and i + 1, for each i
    above: NDArray[np.bool_] | None = None
    for block in blocks:
        kept += int(np.count_nonzero(block))
        size += block.size
        along = along + np.count_nonzero(block[:, 1:] != block[:, :-1], axis=0)
        if above is not None:
            down.append(np.count_nonzero(block[:1] != above, axis=1))
        down.append(np.count_nonzero(block[1:] != block[:-1], axis=1))
        above = block[-1:].copy()
    return Structure(
        rate=1 - kept / size,
        row_group=_largest_group(np.asarray(along)),
        column_group=_largest_group(np.concatenate(down)),
    )


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
