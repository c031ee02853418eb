"""Which groups a rate removes: one ranking of a matrix for all the rates of a sweep."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from gpuprune.errors import GpupruneError
from gpuprune.pruning.arguments import checked_int, checked_matrix, checked_name, exact_rate
from gpuprune.pruning.groups import BLOCK, Array, Groups, tiles
from gpuprune.pruning.scores import Scorer
from gpuprune.records import Orientation

UNITS = ("groups", "weights")

_MOST_DOUBTFUL = 1000  # groups scored one by one in the time of scoring some millions together


def prune(
    weights: Array,
    rate: float,
    group: int,
    score: str = "rms",
    seed: int = 0,
    orientation: str = "row",
    unit: str = "groups",
    min_groups_per_row: int = 0,
) -> Array:
    """Copy the weights with zeros for the removed ones; arguments and errors are those of `rank`.

    Returns (rows, cols) in the dtype of the weights. A kept weight may be zero itself: sparse
    formats are built from `prune_mask`, not from the non-zeros of this.
    """
    matrix = checked_matrix(weights)
    kept = prune_mask(matrix, rate, group, score, seed, orientation, unit, min_groups_per_row)
    pruned = np.zeros_like(matrix)
    np.copyto(pruned, matrix, where=kept)
    return pruned


def prune_mask(
    weights: Array,
    rate: float,
    group: int,
    score: str = "rms",
    seed: int = 0,
    orientation: str = "row",
    unit: str = "groups",
    min_groups_per_row: int = 0,
) -> NDArray[np.bool_]:
    """Choose the weights that survive a rate; arguments and errors are those of `rank`.

    Returns (rows, cols), True where a weight is kept.
    """
    ranking = rank(weights, [rate], group, score, seed, orientation, unit, min_groups_per_row)
    return ranking.mask(rate)


def rank(
    weights: Array,
    rates: Sequence[float],
    group: int,
    score: str = "rms",
    seed: int = 0,
    orientation: str = "row",
    unit: str = "groups",
    min_groups_per_row: int = 0,
) -> "Ranking":
    """Rank the groups of a matrix once for all the rates (step C of the paper's section 3).

    Of n groups, rate x n rounded half up are removed, the rate taken as the decimal it prints as:
    lowest score first, equal scores by position (row by row, left to right). A group larger than
    the row is the row. Beside the weights this takes at most four times their memory.

    Args:
        weights: (rows, cols), float16, bfloat16, float32 or float64, all of them finite.
        rates: shares to remove, each from 0 (keep all) to 1 (remove all).
        group: how many adjacent weights stay or go together, at least 1.
        score: `rms`, `mean`, `median` or `random`, as `group_scores` has it.
        seed: of `random`.
        orientation: `column` prunes the transpose: groups lie inside a column, ties go column by
            column, and the row of `min_groups_per_row` is a column.
        unit: `groups` removes a share of the groups; `weights` removes groups, lowest first, until
            one more would take the share of removed weights past the rate.
        min_groups_per_row: how many of the best groups of each row stay at any rate; of equal ones
            the last. Where a rate asks for more than they leave, all the others go.

    Raises GpupruneError, which names the value, for any argument that is not like this.
    """
    matrix = checked_matrix(weights)
    rows, cols = matrix.shape
    axis = 1 if checked_name("orientation", orientation, get_args(Orientation)) == "row" else 0
    size = min(checked_int("group", group, 1), matrix.shape[axis])
    groups = Groups(rows, cols, size, axis)
    candidates = _Candidates(
        Scorer(matrix, groups, score, seed),
        spared=min(checked_int("min_groups_per_row", min_groups_per_row, 0), groups.per_line),
    )
    exact = sorted({exact_rate(rate): rate for rate in rates}.items())
    shares = [share for share, _ in exact]
    if checked_name("unit", unit, UNITS) == "groups":
        counts = [math.floor(share * groups.count + Fraction(1, 2)) for share in shares]
        counts = [min(count, candidates.removable) for count in counts]
    else:
        counts = _counts_within(shares, candidates)
    levels = _levels(candidates, counts)
    return Ranking(rates=tuple(rate for _, rate in exact), levels=levels, _groups=groups)


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Which groups survive each of the rates that `rank` was given."""

    rates: tuple[float, ...]  # ascending
    levels: Array  # how many of the rates a group survives: (rows, groups) or (groups, cols)
    _groups: Groups = field(repr=False)

    def mask(self, rate: float, out: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        """Spread the groups that survive a rate over their weights: (rows, cols), True is kept.

        With `out`, a C-contiguous bool array, one buffer serves a whole sweep.
        """
        shape = (self._groups.rows, self._groups.cols)
        if out is None:
            out = np.empty(shape, np.bool_)
        elif out.shape != shape or out.dtype != np.bool_ or not out.flags.c_contiguous:
            raise GpupruneError(
                f"a mask of shape {shape} does not fit {out.dtype} of shape {out.shape}",
                hint=f"give numpy.empty({shape}, dtype=bool)",
            )
        index = self._index(rate)
        for kept, levels in self._groups.parts(out, self.levels):
            if kept.shape[2] == 1:
                np.greater(levels, index, out=kept[..., 0])
            elif self._groups.axis == 0:
                kept[...] = (levels > index)[..., None]
            else:
                _spread_along_rows(levels, index, kept)
        return out

    def _index(self, rate: float) -> int:
        exact = [exact_rate(ranked) for ranked in self.rates]
        try:
            return exact.index(exact_rate(rate))
        except ValueError:
            raise GpupruneError(
                f"rate {rate} was not ranked",
                hint=f"give it to rank() with the others: {', '.join(map(str, self.rates))}",
            ) from None


def _spread_along_rows(levels: Array, index: int, out: Array) -> None:
    """Write each group's bool `size` times, at once where a machine word holds them."""
    size = out.shape[2]
    for tile in tiles(levels.shape, 8 * BLOCK // size):
        kept = levels[tile] > index
        if size in (2, 4, 8):
            words = kept.astype(f"u{size}")
            words *= words.dtype.type(int.from_bytes(bytes([True] * size)))
            out.view(words.dtype)[tile] = words[..., None]
        else:
            out[tile] = kept.repeat(size, axis=1).reshape(*kept.shape, size)


@dataclass(frozen=True, slots=True)
class _Candidates:
    """The groups that may be removed: all but the best few of each line, which score infinity."""

    scorer: Scorer
    spared: int  # groups of each line

    @property
    def groups(self) -> Groups:
        return self.scorer.groups

    @property
    def removable(self) -> int:
        return self.groups.lines * (self.groups.per_line - self.spared)

    def scores(self) -> Array:
        scores = self.scorer.scores()
        _spare_best(self.groups.by_line(scores), self.spared)
        return scores

    def write(self, scores: Array) -> None:
        self.scorer.write(scores)
        _spare_best(self.groups.by_line(scores), self.spared)


def _spare_best(scores: Array, spared: int) -> None:
    """Set the best scores of each line to infinity, of equal ones the last; (lines, groups)."""
    lines, per_line = scores.shape
    if not spared:
        return
    for tile in tiles((lines, per_line), max(BLOCK, per_line)):
        values = scores[tile]
        least = np.partition(values, per_line - spared, axis=1)[:, per_line - spared, None]
        above = values > least
        tied = values == least
        wanted = spared - np.count_nonzero(above, axis=1, keepdims=True)
        nth_from_end = np.cumsum(tied[:, ::-1], axis=1)[:, ::-1]
        values[above | (tied & (nth_from_end <= wanted))] = np.inf


class _Cut(NamedTuple):
    """Where a removal ends: higher scores stay, and the last few of those equal to it."""

    score: float
    kept_ties: int


def _levels(candidates: _Candidates, counts: Sequence[int]) -> Array:
    """Count for each group how many of the removals, from small to large, it survives."""
    levels = None if candidates.spared else _levels_by_estimate(candidates.scorer, counts)
    return _levels_by_score(candidates, counts) if levels is None else levels


def _levels_by_estimate(scorer: Scorer, counts: Sequence[int]) -> Array | None:
    """Let estimates decide, and scores where those may err; None if that is too often."""
    estimates = scorer.estimates()
    if estimates is None:
        return None
    groups = scorer.groups
    levels = np.zeros(groups.shape, np.min_scalar_type(len(counts)))
    cuts = _cuts(estimates.copy(), counts)
    # A group's estimate may err, and the cut; the third slack is for rounding the bounds.
    relative, absolute = (3 * slack for slack in scorer.slack)
    doubtful: list[list[tuple[int, int]]] = [[] for _ in cuts]
    to_keep = [groups.count - count for count in counts]
    room = _MOST_DOUBTFUL
    for tile in tiles(groups.shape, BLOCK):
        values, survived = estimates[tile], levels[tile]
        for nth, cut in enumerate(cuts):
            above = values > cut.score * (1 + relative) + absolute
            survived += above.view(np.uint8)
            to_keep[nth] -= int(np.count_nonzero(above))
            near = above != (values >= cut.score * (1 - relative) - absolute)
            if found := int(np.count_nonzero(near)):
                room -= found
                if room < 0:
                    return None
                places = np.argwhere(near) + [part.start for part in tile]
                doubtful[nth] += map(tuple, places.tolist())
    for cells, kept in zip(doubtful, to_keep, strict=True):
        ranked = sorted(cells, key=lambda cell: (scorer.score_at(*cell), groups.position(*cell)))
        for cell in ranked[len(ranked) - kept :]:
            levels[cell] += 1
    return levels


def _levels_by_score(candidates: _Candidates, counts: Sequence[int]) -> Array:
    groups = candidates.groups
    scores = candidates.scores()
    if groups.size == 1 or 2 * scores.nbytes > 3 * candidates.scorer.matrix.nbytes:
        # Taking |w| once more is faster than a copy of it; of the scores of 16-bit weights there
        # is no room for a copy in four times the matrix.
        cuts = _cuts(scores, counts)
        candidates.write(scores)
    else:
        cuts = _cuts(scores.copy(), counts)

    levels = np.zeros(groups.shape, np.min_scalar_type(len(counts)))
    for tile in tiles(groups.shape, BLOCK):
        values, survived = scores[tile], levels[tile]
        for cut in cuts:
            survived += (values > cut.score).view(np.uint8)
    for cut in cuts:
        if cut.kept_ties:
            _keep_last_ties(groups.by_line(levels), groups.by_line(scores), cut)
    return levels


def _cuts(scores: Array, counts: Sequence[int]) -> list[_Cut]:
    """Find where the removals of the lowest `counts` scores end; reorders the scores."""
    removals = [count for count in counts if count]
    cuts = [_Cut(score=-1.0, kept_ties=0)] * (len(counts) - len(removals))
    if not removals:
        return cuts
    first = removals[0] - 1
    ordered = scores.reshape(-1)
    # As integers, the bits of floats from 0 up have the same order, and sort twice as fast.
    bits = ordered.view(f"i{scores.itemsize}")
    bits.partition(first)
    if len(removals) > 1:
        bits[first:].sort()  # faster than a partition with as many pivots
    for count in removals:
        cut, above = ordered[count - 1], ordered[count:]
        cuts.append(_Cut(float(cut), kept_ties=int(np.count_nonzero(above == cut))))
    return cuts


def _keep_last_ties(levels: Array, scores: Array, cut: _Cut) -> None:
    """Raise the last of the groups that lie on a cut; both (lines, groups of a line)."""
    left = cut.kept_ties
    for tile in reversed([*tiles(scores.shape, BLOCK)]):
        tied = np.flatnonzero(scores[tile] == cut.score)[-left:]
        lines, places = np.divmod(tied, scores[tile].shape[1])
        levels[tile][lines, places] += 1
        left -= len(tied)
        if not left:
            return


def _counts_within(shares: Sequence[Fraction], candidates: _Candidates) -> list[int]:
    """Count for each share, from small to large, the lowest groups that hold no more weights.

    How many of the shorter groups that end the lines are among them hangs on the count itself:
    suppose all of them are, which is too many, and come down until the counts fit.
    """
    groups = candidates.groups
    budgets = [math.floor(share * groups.rows * groups.cols) for share in shares]
    largest = [(budget + groups.missing * groups.lines) // groups.size for budget in budgets]
    counts = [min(count, candidates.removable) for count in largest]
    while groups.missing:
        ends = groups.by_line(_levels(candidates, counts))[:, -1]
        room = [
            budget + groups.missing * int(np.count_nonzero(ends <= nth))
            for nth, budget in enumerate(budgets)
        ]
        fitting = [
            min(count, weights // groups.size) for count, weights in zip(counts, room, strict=True)
        ]
        if fitting == counts:
            break
        counts = fitting
    return counts
