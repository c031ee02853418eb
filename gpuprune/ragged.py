"""Lists of different lengths that lie one after the other, and where each begins."""

from typing import Any

import numpy as np


def starts_of(counts: Any, xp: Any = np) -> Any:
    """Return where each of several lists begins, and the end of the last: (lists + 1), int64.

    `counts` is an array of `xp`, NumPy or CuPy, of any shape.
    """
    starts = xp.zeros(counts.size + 1, xp.int64)
    starts[1:] = xp.cumsum(counts.ravel(), dtype=xp.int64)
    return starts
