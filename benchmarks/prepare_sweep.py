"""How long the paper's 70 cases take to prune and to pack as CSR, beside the straightforward way.

The straightforward way does for every case what one would write first: a partition of the scores,
`weights * mask`, and `scipy.sparse.csr_matrix` of that. gpuprune ranks once a group size and packs
from the mask. Both keep the same weights, but for groups whose scores are equal in float32, which
is checked.

    python benchmarks/prepare_sweep.py
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.sparse
from script import Parser, count, run

from gpuprune import pruning
from gpuprune.config import paper
from gpuprune.csr.host import compress

Arrays = tuple[Any, Any, Any]


def straightforward(weights: Any, rates: tuple[float, ...], group: int) -> Iterator[Arrays]:
    """Partition, multiply and convert for each rate."""
    rows, cols = weights.shape
    for rate in rates:
        squares = (weights.reshape(rows, cols // group, group) ** 2).mean(axis=2)
        scores = np.sqrt(squares)  # (rows, cols / group)
        removed = round(rate * scores.size)
        threshold = np.partition(scores.ravel(), removed)[removed]
        mask = np.repeat(scores >= threshold, group, axis=1)
        matrix = scipy.sparse.csr_matrix(weights * mask)
        yield matrix.data, matrix.indices, matrix.indptr


def ours(weights: Any, rates: tuple[float, ...], group: int) -> Iterator[Arrays]:
    """Rank once, then mask and pack for each rate, as a sweep does."""
    mask, pruned = np.empty(weights.shape, bool), np.empty_like(weights)
    ranking = pruning.rank(weights, rates, group)
    for rate in rates:
        ranking.mask(rate, out=mask)
        np.multiply(weights, mask, out=pruned)
        packed = compress(pruned, mask, int(np.count_nonzero(mask)))
        yield packed.values, packed.columns, packed.offsets


def positions(arrays: Arrays, cols: int) -> Any:
    """Return the places of the weights that a CSR matrix keeps, in order."""
    _, columns, offsets = arrays
    rows = np.repeat(np.arange(offsets.size - 1, dtype=np.int64), np.diff(offsets))
    return rows * cols + columns


def seconds(function: Callable[..., Iterator[Arrays]], *arguments: Any) -> float:
    """Run a generator to its end."""
    start = time.perf_counter()
    for _ in function(*arguments):
        pass
    return time.perf_counter() - start


def main() -> None:
    """Time both ways, group size by group size, and print the ratio."""
    parser = Parser(__doc__)
    parser.add_argument("--size", type=count, default=4096)
    size = parser.parse_args().size
    sweep = paper()
    weights = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
    totals = [0.0, 0.0]
    for _ in ours(weights, sweep.rates, 8):  # compiles
        pass
    print("group  straightforward     ours   ratio")
    for group in sweep.groups:
        for slow, fast in zip(
            straightforward(weights, sweep.rates[:2], group),
            ours(weights, sweep.rates[:2], group),
            strict=True,
        ):
            same = np.intersect1d(
                positions(slow, size), positions(fast, size), assume_unique=True
            ).size
            assert same >= 0.9999 * slow[0].size
        times = [seconds(way, weights, sweep.rates, group) for way in (straightforward, ours)]
        totals = [total + own for total, own in zip(totals, times, strict=True)]
        print(f"{group:5}  {times[0]:13.2f} s  {times[1]:5.2f} s  {times[0] / times[1]:5.1f}x")
    print(f"  all  {totals[0]:13.2f} s  {totals[1]:5.2f} s  {totals[0] / totals[1]:5.1f}x")


if __name__ == "__main__":
    run(main)
