"""What is kept of a profiled kernel, and of a file of them."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelProfile:
    """A launch of a kernel, or all its launches together; None is "not in this file"."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The kernels of one file, in its order, and what the reader could not take as good."""

    kernels: Collection[KernelProfile]  # made anew by each iteration: there may be a million
    warnings: tuple[str, ...]


def as_json(profile: KernelProfile) -> dict[str, object]:
    """Turn a profile into the object that `gpuprune profile --format json` prints."""
    return {
        "kernel": profile.kernel,
        "tool": profile.tool,
        "device": profile.device,
        "launch": profile.launch,
        "invocations": profile.invocations,
        "gld_efficiency_pct": profile.gld_efficiency_pct,
        "gld_min_pct": profile.gld_min_pct,
        "gld_max_pct": profile.gld_max_pct,
        "gld_definition": profile.gld_definition,
        "gst_efficiency_pct": profile.gst_efficiency_pct,
        "metrics": profile.metrics,
    }
