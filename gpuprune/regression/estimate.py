"""How much something changed between two sets of runs, and how far that can be believed.

All in logarithms of a time. The derivation stands in docs/regression-rule.md.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

_ERROR = 0.01  # probability that a bound is on the wrong side of the truth
_MISSED = 0.05  # share of the changes that may go unseen


@dataclass(frozen=True, slots=True)
class Estimates:
    """Changes of several things alike: arrays of one length."""

    change: Floats
    noise: Floats  # standard deviation between runs
    freedom: Floats  # degrees of, of the noise
    drift: Floats  # what the baseline's own runs differ by
    base_runs: NDArray[np.int64]
    candidate_runs: NDArray[np.int64]

    def half_width(self, i: int, more: Any = 0, *, among: int = 1) -> Any:
        """Return how far a 99 % bound lies from a change, with `more` runs of the candidate.

        Bounds of several things hold together if each is one `among` so many (Bonferroni).
        `more` is a number or an array.
        """
        quantile = -special.stdtrit(self.freedom[i] + more, _ERROR / among)
        return quantile * self._standard_error(i, more)

    def visible(self, i: int, threshold: float) -> float:
        """Return the change that is found 95 times in 100, where one has to pass a threshold."""
        bound = max(threshold, self.half_width(i, among=self.change.size))
        return float(bound - special.ndtri(_MISSED) * self._standard_error(i))

    def _standard_error(self, i: int, more: Any = 0) -> Any:
        base, candidate = self.base_runs[i], self.candidate_runs[i] + more
        return self.noise[i] * np.sqrt(_median_variance(base) + _median_variance(candidate))


def estimate(base: Floats, candidate: Floats, *, alike: bool) -> Estimates:
    """Estimate the change of each column, (runs, columns) on each side; NaN is no time.

    Columns that are `alike`, as cells are, share what they say about noise.
    """
    counts = [np.isfinite(side).sum(axis=0) for side in (base, candidate)]
    freedom = np.maximum(counts[0] + counts[1] - 2, 1).astype(float)
    variance_of = _variance_from_quartiles if alike else _variance
    weights = [np.maximum(runs - 1, 0) for runs in counts]
    variance = variance_of(base) * weights[0] + variance_of(candidate) * weights[1]
    variance /= freedom
    if alike:
        # A few runs say little about one column's noise, and many columns much about a typical
        # one's: both weigh the same.
        variance = (variance + np.median(variance)) / 2
    low, middle, high = (_quantile(base, share) for share in (0.25, 0.5, 0.75))
    return Estimates(
        change=_quantile(candidate, 0.5) - middle,
        noise=np.sqrt(variance),
        freedom=freedom,
        drift=np.maximum(high - middle, middle - low),
        base_runs=counts[0],
        candidate_runs=counts[1],
    )


def medians(shifts: Floats) -> Floats:
    """Return the median of each row, (runs, columns); NaN where the row has no time."""
    return _quantile(shifts.T, 0.5)


def medians_of_others(shifts: Floats) -> Floats:
    """Return for every value the median of the others in its row; (runs, columns) in and out."""
    found = np.full_like(shifts, np.nan)
    for row, result in zip(shifts, found, strict=True):
        (at,) = np.nonzero(np.isfinite(row))
        if at.size < 2:
            continue
        order = at[np.argsort(row[at])]
        ordered, rank = row[order], np.arange(order.size)
        # The middle places of what is left: one further on behind the value that is left out.
        lower, upper = (
            ordered[place + (place >= rank)]
            for place in ((order.size - 2) // 2, (order.size - 1) // 2)
        )
        result[order] = (lower + upper) / 2
    return found


def _quantile(values: Floats, share: float) -> Floats:
    """Return a quantile of each column, linear between its values; NaN counts as none."""
    ordered = np.sort(values, axis=0)  # NaN last
    place = share * np.maximum(np.isfinite(values).sum(axis=0) - 1, 0)
    below = np.floor(place).astype(int)
    lower, upper = (
        np.take_along_axis(ordered, at[None], axis=0)[0]
        for at in (below, np.ceil(place).astype(int))
    )
    found: Floats = lower + (place - below) * (upper - lower)
    return found


def _variance(values: Floats) -> Floats:
    """Return the variance of each column, 0 for fewer than two values."""
    runs = np.isfinite(values).sum(axis=0)
    mean = np.nansum(values, axis=0) / np.maximum(runs, 1)
    found: Floats = np.nansum((values - mean) ** 2, axis=0) / np.maximum(runs - 1, 1)
    return found


def _variance_from_quartiles(values: Floats) -> Floats:
    """Return the variance as the quartiles show it, which one spike among five leaves alone."""
    runs = np.isfinite(values).sum(axis=0)
    width = np.nan_to_num(_quantile(values, 0.75) - _quantile(values, 0.25))
    normal = np.array([_normal_width(max(n, 2)) for n in runs.tolist()])
    found: Floats = (width / normal) ** 2
    return found


@cache
def _normal_width(runs: int) -> float:
    """Return the distance of the quartiles of so many standard normal values (Blom 1958)."""
    scores = special.ndtri((np.arange(1, runs + 1) - 0.375) / (runs + 0.25))
    low, high = np.quantile(scores, (0.25, 0.75))
    return float(high - low)


def _median_variance(runs: Any) -> Any:
    """Return the variance of the median of so many normal values, in units of theirs.

    It is pi / (2 n) for many, and with the half within 1 % of the exact value for 3, 5 and 7.
    """
    return np.pi / 2 / (runs + 0.5)
