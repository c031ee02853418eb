"""How much a group of weights matters: one score a group, with nothing lost to the range."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import numpy as np

from gpuprune.errors import GpupruneError
from gpuprune.pruning.arguments import checked_int, checked_matrix, checked_name
from gpuprune.pruning.groups import BLOCK, Array, Groups, tiles
from gpuprune.records import Score

_SMALLEST_SAFE = 2.0**-450  # of a smaller float64 score, squares may have been lost to underflow


def group_scores(weights: Array, group: int, score: str = "rms", seed: int = 0) -> Array:
    """Score every group of adjacent weights inside a row (step B of the paper's section 3).

    Groups start at columns that are multiples of `group`. The last one of a row may be shorter and
    is scored by its own elements. `rms`, `mean` and `median` are taken of the absolute values;
    `random` depends on the seed and the number of groups alone.

    Returns (rows, ceil(cols / group)) in float64, or in float32 where that is exact: for single
    weights of up to 32 bits and for `random`.
    Raises GpupruneError for weights that are not a finite floating-point matrix, a group below 1,
    an unknown score, a negative seed.
    """
    matrix = checked_matrix(weights)
    rows, cols = matrix.shape
    groups = Groups(rows, cols, size=min(checked_int("group", group, 1), cols), axis=1)
    return Scorer(matrix, groups, score, seed).scores()


@dataclass(frozen=True, slots=True)
class Scorer:
    """The scores of a matrix, to be had as often as they are needed."""

    matrix: Array
    groups: Groups
    score: str
    seed: int  # of random

    def __post_init__(self) -> None:
        checked_name("score", self.score, get_args(Score))
        checked_int("seed", self.seed, 0)

    def scores(self) -> Array:
        """Score all groups: (groups.shape), none below 0."""
        exact = self.groups.size == 1 and self.matrix.itemsize <= 4
        dtype = np.float32 if exact or self.score == "random" else np.float64
        scores = np.empty(self.groups.shape, dtype)
        self.write(scores)
        return scores

    def write(self, scores: Array) -> None:
        """Score all groups anew into an array that `scores` returned."""
        if self.score == "random":
            _require_finite(self.matrix)
            _write_random(self.groups.by_line(scores), self.seed)
            return
        # Squares and sums of float64 weights may leave its range: those are scored once more.
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            for weights, values in self.groups.parts(self.matrix, scores):
                for tile in tiles(values.shape, BLOCK // weights.shape[2]):
                    _write_tile(weights[tile], values[tile], _FORMULAS[self.score])
                    if not np.isfinite(values[tile]).all():
                        _require_finite(self.matrix)

    def estimates(self) -> Array | None:
        """Estimate all groups in float32, which takes half the time of scoring them.

        An estimate is the mean of the squares for `rms`, of the absolute values for `mean`: it
        rises with the score, and is right within `slack`. None where estimates save nothing or
        leave the range of float32.
        """
        terms = _TERMS.get(self.score)
        if not terms or self.groups.size == 1 or self.matrix.itemsize > 4:
            return None
        estimates = np.empty(self.groups.shape, np.float32)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            for weights, values in self.groups.parts(self.matrix, estimates):
                size = weights.shape[2]
                for tile in tiles(values.shape, BLOCK // size):
                    numbers = weights[tile].astype(np.float32, copy=False)
                    np.multiply(_quick_sum(terms(numbers)), 1 / size, out=values[tile])
        return estimates if estimates.max() < np.inf else None

    @property
    def slack(self) -> tuple[float, float]:
        """Bound the relative and the absolute error of an estimate: of each term, sum and mean."""
        roundings = self.groups.size + 4
        return roundings * 2.0**-24, roundings * 2.0**-126  # subnormals may even be lost

    def score_at(self, row: int, col: int) -> float:
        """Score one group, by its place in an array of (groups.shape)."""
        line, nth = self.groups.position(row, col)
        lines = self.matrix if self.groups.axis == 1 else self.matrix.T
        start = nth * self.groups.size
        weights = lines[None, line, None, start : start + self.groups.size]  # (1, 1, size)
        score = np.empty((1, 1))
        _write_tile(weights, score, _FORMULAS[self.score])
        return float(score[0, 0])


def _write_random(scores: Array, seed: int) -> None:
    generator = np.random.default_rng(seed)
    for tile in tiles(scores.shape, BLOCK):
        scores[tile] = generator.random(scores[tile].shape, dtype=np.float32)


Formula = Callable[[Array, Array], None]
"""Writes the scores (...) of float64 weights (..., size), which it may overwrite.

A group with a weight that is not finite has no finite score.
"""


def _write_tile(weights: Array, scores: Array, formula: Formula) -> None:
    """Score weights (..., ..., size)."""
    if weights.shape[2] == 1:
        np.abs(weights[..., 0], out=scores)
        return
    formula(weights.astype(np.float64), scores)
    if weights.itemsize == 8:
        lost = ~((scores > _SMALLEST_SAFE) & (scores < np.inf))
        if lost.any():
            scores[lost] = _scaled_scores(weights[lost], formula)


def _scaled_scores(weights: Array, formula: Formula) -> Array:
    """Score (groups, size) with the largest weight of each group brought to between 1/2 and 1.

    By powers of two, so that this rounds nothing.
    """
    largest = np.abs(weights).max(axis=1)
    exponents = np.frexp(largest)[1]
    scores = np.empty(largest.shape)
    formula(np.ldexp(weights, -exponents[:, None]), scores)
    return np.ldexp(scores, exponents, out=scores)


def _rms(weights: Array, scores: Array) -> None:
    np.square(weights, out=weights)
    np.divide(_sum(weights), weights.shape[-1], out=scores)
    np.sqrt(scores, out=scores)


def _mean(weights: Array, scores: Array) -> None:
    np.abs(weights, out=weights)
    np.divide(_sum(weights), weights.shape[-1], out=scores)


def _median(weights: Array, scores: Array) -> None:
    np.abs(weights, out=weights)
    weights.sort(axis=-1)
    size = weights.shape[-1]
    np.add(weights[..., (size - 1) // 2], weights[..., size // 2], out=scores)
    scores /= 2
    np.copyto(scores, np.nan, where=~np.isfinite(weights[..., -1]))  # NaN and infinity sort last


_FORMULAS: dict[str, Formula] = {"rms": _rms, "mean": _mean, "median": _median}
_TERMS = {"rms": np.square, "mean": np.abs}  # of whose mean the score is a rising function


def _sum(values: Array) -> Array:
    """Add up the last axis, neighbour to neighbour.

    Unlike that of `numpy.sum`, the order does not hang on how the values lie in memory: equal
    groups tie, and a column scores what it does as a row of the transpose.
    """
    while (size := values.shape[-1]) > 1:
        pairs: Array = values[..., 0 : size - 1 : 2] + values[..., 1::2]
        if size % 2:
            pairs[..., -1] += values[..., -1]
        values = pairs
    return values[..., 0]


def _quick_sum(values: Array) -> Array:
    """Add up the last axis of float32, two numbers at a time where they lie side by side."""
    if values.flags.c_contiguous and values.shape[-1] % 2 == 0:
        pairs = _sum(values.view(np.complex64))
        both: Array = pairs.real + pairs.imag
        return both
    return _sum(values)


def _require_finite(matrix: Array) -> None:
    """Raise GpupruneError with the count and the first place of what is not finite."""
    count = 0
    first: tuple[int, int] | None = None
    for rows, cols in tiles(matrix.shape, BLOCK):
        bad = ~np.isfinite(matrix[rows, cols])
        if bad.any():
            count += int(np.count_nonzero(bad))
            row, col = np.argwhere(bad)[0]
            first = first or (rows.start + int(row), cols.start + int(col))
    if first:
        raise GpupruneError(
            f"{count} of the weights {'is' if count == 1 else 'are'} NaN or infinite, "
            f"the first at [{first[0]}, {first[1]}] ({matrix[first]})",
            hint="only numbers can be ranked: find where these come from, or replace them",
        )
