"""What a user should know about the values read, and how to collect the missing ones."""

from collections.abc import Sequence

from gpuprune.profiler.parse.metrics import (
    AVERAGE_BYTES,
    COMBINED,
    TMA_LOADS,
    leaves_out_async,
    load_coverage,
)
from gpuprune.profiler.parse.records import KernelProfile

MOST = 99.0  # percent of the sectors; two passes over a kernel do not agree to the last one

_METRICS = {
    "ncu": (f"{AVERAGE_BYTES}ld.pct", f"{AVERAGE_BYTES}st.pct"),
    "nvprof": ("gld_efficiency", "gst_efficiency"),
}
_COMMANDS = {
    "ncu": "ncu --target-processes all --cache-control none --clock-control none --csv"
    " --page raw --print-units base --metrics {metrics} --log-file {log} {program}",
    "nvprof": "nvprof --unified-memory-profiling off --csv --log-file {log}"
    " --metrics {metrics} {program}",
}


def collect_command(
    tool: str,
    metrics: Sequence[str] = (),
    *,
    log: str = "profile.csv",
    program: str = "PROGRAM",
) -> str:
    """Write the command that collects metrics with a tool; both efficiencies if none is named."""
    collected = ",".join(metrics or _METRICS[tool])
    return _COMMANDS[tool].format(metrics=collected, log=log, program=program)


def notes(profiles: Sequence[KernelProfile]) -> tuple[str, ...]:
    """Say what must be known to read the values right; a sentence or two each."""
    known = {profile.kernel for profile in profiles if profile.gld_efficiency_pct is not None}
    lines = []
    for tool in _COMMANDS:
        unknown = {p.kernel for p in profiles if p.tool == tool and p.kernel not in known}
        if unknown:
            lines.append(
                f"the load efficiency of {_some(unknown)} is not in this file; "
                f"collect it with: {collect_command(tool)}"
            )
    if read_only := {p.kernel for p in profiles if _took_read_only_path(p)}:
        lines.append(
            f"0 % for {_some(read_only)}: its loads, if any, took the read-only path, "
            "which gld_efficiency does not count (see nvprof's nc_gld_efficiency)"
        )
    if any(p.gld_definition == "nvprof" and (p.gld_efficiency_pct or 0) > 100 for p in profiles):
        lines.append(
            "above 100 %: nvprof counts the bytes of every thread, "
            "also of threads that read the same address"
        )
    if len({p.gld_definition for p in profiles} - {None}) > 1:
        lines.append(
            "nvprof counts the bytes of every thread, ncu distinct bytes: "
            "their load efficiencies are not comparable"
        )
    return (*lines, *_coverage_notes(profiles))


def _coverage_notes(profiles: Sequence[KernelProfile]) -> list[str]:
    lines = []
    if by_tma := {p.kernel for p in profiles if p.metrics.get(TMA_LOADS, 0) > 0}:
        lines.append(
            f"{_some(by_tma)} also loads by TMA: the load efficiency covers the other loads only"
        )
    by_async = {
        p.kernel
        for p in profiles
        if p.gld_efficiency_pct is not None and leaves_out_async(p.metrics)
    }
    if by_async:
        lines.append(
            f"{_some(by_async)} also loads by cp.async: the load efficiency covers the other "
            f"loads only; collect both with: {collect_command('ncu', COMBINED)}"
        )
    covered = {profile.kernel: load_coverage(profile.metrics) for profile in profiles}
    partly = {
        kernel: share for kernel, share in covered.items() if share is not None and share < MOST
    }
    if partly:
        lines.append(
            f"the load efficiency of {_some(set(partly))} covers only {min(partly.values()):.1f} "
            "% of the sectors loaded; cp.async or TMA brought the others"
        )
    return lines


def _took_read_only_path(profile: KernelProfile) -> bool:
    return profile.gld_definition == "nvprof" and profile.gld_efficiency_pct == 0


def _some(kernels: set[str]) -> str:
    if len(kernels) > 1:
        return f"{len(kernels)} kernels"
    name = next(iter(kernels))
    return f'"{name if len(name) <= 60 else name[:57] + "..."}"'
