"""Units: what one of them is in base units (ns, byte, hz, byte/second, %)."""

import re
from functools import lru_cache
from math import isfinite, nan

from gpuprune.profiler.digits import denoised

# ncu until 2024.1 writes nsecond and byte/second, from 2025 on ns and byte/s.
_NANOSECONDS = {
    "s": 1e9, "second": 1e9, "ms": 1e6, "msecond": 1e6, "us": 1e3, "usecond": 1e3,
    "ns": 1.0, "nsecond": 1.0,
}  # fmt: skip
_NCU_PREFIXES = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_NCU_SCALED = re.compile(r"([KMGTP])[a-zH][a-z]*")  # Kbyte, Ghz, Minst

# nvprof's bytes are binary: it goes on to the next prefix at 1000 of the last, and so prints
# 0.9951GB/s and 0.9922MB, which no decimal prefix could be.
_NVPROF_BYTES = {"B": 1.0, "KB": 2.0**10, "MB": 2.0**20, "GB": 2.0**30, "TB": 2.0**40}
_NVPROF_UNITS = (
    {"": 1.0, "%": 1.0}
    | {unit: _NANOSECONDS[unit] for unit in ("s", "ms", "us", "ns")}
    | {unit + rate: factor for unit, factor in _NVPROF_BYTES.items() for rate in ("", "/s")}
)
# Where the unit is a power of ten it is appended, so that the product is rounded once, as read.
_NVPROF_EXPONENTS = {"": "", "%": "", "s": "e9", "ms": "e6", "us": "e3", "ns": ""}
_NVPROF_CELL = re.compile(r"(-?[0-9]+(?:\.[0-9]*)?)([eE][-+]?[0-9]+)?([%A-Za-z/]*)")
_NVPROF_LEVEL = re.compile(r"(?:Idle|Low|Mid|High|Max) \(([0-9]{1,3})\)")


@lru_cache(maxsize=4096)
def ncu_factor(unit: str) -> float:
    """Say how many base units one of ncu's units is; 1 for a count, a blank, or an unknown."""
    counted, _, per = unit.strip().partition("/")
    if counted in _NANOSECONDS:
        return _NANOSECONDS[counted]
    prefixed = _NCU_SCALED.fullmatch(counted)
    factor = _NCU_PREFIXES[prefixed[1]] if prefixed else 1.0
    return factor * 1e9 / _NANOSECONDS[per] if per in _NANOSECONDS else factor


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


def scaled(value: float, factor: float) -> float:
    """Multiply, and keep the digits of the product that the value had: 16.38 K is 16380."""
    return value if factor == 1 else denoised(value * factor)
