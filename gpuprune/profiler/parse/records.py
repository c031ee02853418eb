"""What is kept of a profiled kernel, and of a file of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

NOTHING: Mapping[str, str] = MappingProxyType({})


class KernelProfile(NamedTuple):
    """A launch of a kernel, or all its launches together; None is "no such number".

    A tuple, as a file may hold a million: a frozen dataclass takes three times as long to make.
    """

    kernel: str
    tool: str  # "ncu" or "nvprof"
    device: str | None
    launch: int | None  # from 0 on; None where invocations are summed up
    invocations: int | None
    gld_efficiency_pct: float | None  # the average where there are several
    gld_min_pct: float | None
    gld_max_pct: float | None
    gld_definition: str | None  # whose: nvprof counts every lane, ncu distinct bytes
    gst_efficiency_pct: float | None
    metrics: dict[str, float]  # base units (ns, byte, hz, %), by the tool's own names
    no_value: Mapping[str, str] = NOTHING  # what stands there instead of one, by metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The kernels of one file, in its order, and what the reader could not take as good."""

    kernels: Collection[KernelProfile]  # made anew by each iteration: there may be a million
    warnings: tuple[str, ...]


def as_json(profile: KernelProfile) -> dict[str, object]:
    """Turn a profile into the object that `gpuprune profile --format json` prints."""
    row = profile._asdict()
    no_value = row.pop("no_value")
    return row | {"no_value": dict(no_value)} if no_value else row
