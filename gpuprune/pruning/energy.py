"""What pruning leaves of a matrix, as a share of its energy."""

import numpy as np

from gpuprune.pruning.groups import BLOCK, Array, tiles


def energy_kept(weights: Array, pruned: Array) -> float:
    """Return the share of the sum of squares that a pruned copy keeps; 1 where all was zero.

    Both are (rows, cols) and finite. Beside them this takes no memory to speak of.
    """
    places = [*tiles(weights.shape, BLOCK)]
    largest = max(float(np.abs(weights[place]).max()) for place in places)
    if not largest:
        return 1.0
    exponent = int(np.frexp(largest)[1])  # so scaled, no square leaves the range of float64
    kept, total = (
        sum(_energy(matrix[place], exponent) for place in places) for matrix in (pruned, weights)
    )
    return kept / total


def _energy(tile: Array, exponent: int) -> float:
    scaled = np.ldexp(tile.astype(np.float64), -exponent)
    return float(np.square(scaled, out=scaled).sum())
