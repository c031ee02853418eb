"""Whether a candidate got slower than its baseline: the rule, and the file it is held against."""

from gpuprune.errors import GpupruneError


class Incomparable(GpupruneError):
    """There is no baseline that the candidate could be held against."""


class MeasurementFailed(GpupruneError):
    """No fresh run gave times that could be judged."""
