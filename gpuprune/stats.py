"""Statistics on plain sequences of floats."""

from collections.abc import Sequence
from math import sqrt
from statistics import median, quantiles, stdev


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """Return the first and the third quartile, of a single value itself."""
    if len(values) < 2:
        return values[0], values[0]
    first, _, third = quantiles(values, n=4, method="inclusive")
    return first, third


def interquartile_range(values: Sequence[float]) -> float:
    """Distance between the first and the third quartile, 0.0 for a single value."""
    first, third = quartiles(values)
    return third - first


def relative_spread(values: Sequence[float]) -> float:
    """Inter-quartile range over the median."""
    return interquartile_range(values) / median(values)


def relative_standard_error(values: Sequence[float]) -> float:
    """Standard error of the mean over the mean, infinite for fewer than two values."""
    if len(values) < 2:
        return float("inf")
    mean = sum(values) / len(values)
    return stdev(values) / sqrt(len(values)) / mean
