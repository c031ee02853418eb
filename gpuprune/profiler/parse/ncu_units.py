"""ncu's units: what one of them is in base units (ns, byte, byte/s, hz, %), for which metric."""

import re
from functools import lru_cache
from math import nan

# ncu until 2024.1 writes nsecond and byte/second, from 2025 on ns and byte/s.
_NANOSECONDS = {
    "ps": 1e-3, "psecond": 1e-3, "ns": 1.0, "nsecond": 1.0, "us": 1e3, "usecond": 1e3,
    "\u00b5s": 1e3, "\u03bcs": 1e3, "ms": 1e6, "msecond": 1e6, "s": 1e9, "sec": 1e9,
    "second": 1e9, "min": 60e9, "minute": 60e9, "hour": 3600e9,
}  # fmt: skip
_PREFIXES = {
    "": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60,
}  # fmt: skip
_BYTES = ("B", "byte")
# What ncu counts, after its own pages and the dimensions that its counters are declared with.
_COUNTED = (
    "access", "attribute", "bank", "barrier", "bit", "block", "branch", "cluster", "conflict",
    "count", "cta", "cycle", "element", "event", "flop", "gpc", "grid", "hz", "Hz", "inst",
    "instance", "instruction", "kernel", "launch", "line", "link", "node", "op", "operation",
    "packet", "page", "pass", "pixel", "primitive", "quad", "register", "request", "sample",
    "sector", "sm", "SM", "tag", "texel", "thread", "tpc", "TPC", "transaction", "vertex", "warp",
    "wave", "wavefront", "workload",
)  # fmt: skip
_SPELLED = re.compile(
    rf"([kKMGTPE]?|[KMGTPE]i)(?:({'|'.join(_BYTES)})|(?:{'|'.join(_COUNTED)}))(?:e?s)?"
)

# The dimension that a metric's name promises; a unit of another one is damaged.
_PROMISED = (
    (re.compile(r"time_duration"), "ns"),
    (re.compile(r"\.pct|_pct$|pct_of_peak"), "%"),
    (re.compile(r"bytes(?:_[a-z0-9_]+)?\.(?:sum|avg|min|max)$"), "byte"),
    (re.compile(r"bytes(?:_[a-z0-9_]+)?\.(?:sum|avg|min|max)\.per_second$"), "byte/s"),
    (re.compile(r"\.per_second$"), "/s"),
)
_SECOND = 1e9  # nanoseconds


@lru_cache(maxsize=1 << 14)
def ncu_factor(metric: str, unit: str) -> float:
    """Say how many base units a unit of a metric is, NaN for one that is not of this metric.

    A blank is the base unit. NaN too for a unit that is not known: it might hide a prefix.
    """
    unit = unit.strip()
    if not unit:
        return 1.0
    factor, dimension = _read(unit)
    promised = next((one for name, one in _PROMISED if name.search(metric)), "")
    fits = dimension.endswith(promised) if promised in ("", "/s") else dimension == promised
    return factor if fits else nan


def _read(unit: str) -> tuple[float, str]:
    """Give a unit's factor and its dimension: ns, byte, %, "" for a count, or one a second."""
    counted, slash, per = unit.partition("/")
    factor, dimension = _read_part(counted)
    if not slash:
        return (factor, "/s") if counted.lower().endswith("hz") else (factor, dimension)
    if per in _NANOSECONDS:
        return factor * _SECOND / _NANOSECONDS[per], f"{dimension}/s"
    of_each, kind = _read_part(per)
    return factor / of_each, f"{dimension}/{kind or 'count'}"


def _read_part(part: str) -> tuple[float, str]:
    if part == "%":
        return 1.0, "%"
    if part in _NANOSECONDS:
        return _NANOSECONDS[part], "ns"
    spelled = _SPELLED.fullmatch(part)
    if spelled is None:
        return nan, ""
    return _PREFIXES[spelled[1]], "byte" if spelled[2] else ""
