"""nvprof's values with their units, in base units (ns, byte, byte/second, %)."""

import re
from math import isfinite, nan

from gpuprune.profiler.digits import denoised

NVPROF_TIMES = {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0}

# nvprof's bytes are binary: it goes on to the next prefix at 1000 of the last, and so prints
# 0.9951GB/s and 0.9922MB, which no decimal prefix could be.
_NVPROF_BYTES = {"B": 1.0, "KB": 2.0**10, "MB": 2.0**20, "GB": 2.0**30, "TB": 2.0**40}
_NVPROF_UNITS = (
    {"": 1.0, "%": 1.0}
    | NVPROF_TIMES
    | {unit + rate: factor for unit, factor in _NVPROF_BYTES.items() for rate in ("", "/s")}
)
# Where the unit is a power of ten it is appended, so that the product is rounded once, as read.
_NVPROF_EXPONENTS = {"": "", "%": "", "s": "e9", "ms": "e6", "us": "e3", "ns": ""}
_NVPROF_CELL = re.compile(r"(-?[0-9]+(?:\.[0-9]*)?)([eE][-+]?[0-9]+)?([%A-Za-z/]*)")
_NVPROF_LEVEL = re.compile(r"(?:Idle|Low|Mid|High|Max) \(([0-9]{1,3})\)")


def nvprof_value(cell: str, unit: str = "") -> float | None:
    """Read a value of nvprof, such as `83.340104%`, `2.4923GB/s` or `Low (2)`, in base units.

    `unit` is its column's, where a row of units stands under the header. None for
    `<OVERFLOW>`, `<INVALID>`, `-` and whatever else is no number.
    """
    cell = cell.strip()
    matched = _NVPROF_CELL.fullmatch(cell)
    if matched is None:
        level = _NVPROF_LEVEL.fullmatch(cell)
        return float(level[1]) if level else None
    digits, exponent, own = matched.groups()
    unit = own or unit
    if exponent is None and unit in _NVPROF_EXPONENTS:
        value = float(digits + _NVPROF_EXPONENTS[unit])
    else:
        value = scaled(float(digits + (exponent or "")), _NVPROF_UNITS.get(unit, nan))
    return value if isfinite(value) else None


def fits_nvprof(metric: str, unit: str) -> bool:
    """Say whether a column of a metric can be in a unit: durations in one of time alone."""
    return unit in (NVPROF_TIMES if metric.startswith("duration") else _NVPROF_UNITS)


def scaled(value: float, factor: float) -> float:
    """Multiply, and keep the digits of the product that the value had: 16.38 K is 16380."""
    return value if factor == 1 else denoised(value * factor)
