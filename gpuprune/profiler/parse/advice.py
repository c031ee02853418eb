"""What a user should know about the values read, and how to collect the missing ones."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from gpuprune.profiler.parse.metrics import (
    AVERAGE_BYTES,
    BESIDE_EFFICIENCY,
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


def notes(profiles: Iterable[KernelProfile]) -> tuple[str, ...]:
    """Say what must be known to read the values right; a sentence or two each."""
    remarks = Remarks()
    for profile in profiles:
        remarks.look_at(profile)
    return remarks.lines()


class Remarks:
    """What must be known to read the values of kernels right, gathered as they pass."""

    def __init__(self, *, is_live: bool = False) -> None:
        """Begin with no kernel, of a file or of a live run."""
        self._is_live = is_live
        self._known: set[str] = set()
        self._unknown: set[str] = set()
        self._read_only: set[str] = set()
        self._definitions: set[str] = set()
        self._shared = False
        self._by_tma: set[str] = set()
        self._by_async: set[str] = set()
        self._covered: dict[str, float] = {}

    def look_at(self, profile: KernelProfile) -> None:
        """Take one more kernel into account."""
        kernel, efficiency = profile.kernel, profile.gld_efficiency_pct
        if efficiency is not None:
            self._definitions.add(profile.tool)
        if self._is_live:
            (self._unknown if efficiency is None else self._known).add(kernel)
        if profile.tool == "ncu":
            if not profile.metrics.keys().isdisjoint(BESIDE_EFFICIENCY):
                self._look_at_coverage(kernel, profile.metrics, stated=efficiency is not None)
        elif efficiency == 0:
            self._read_only.add(kernel)
        elif efficiency is not None and efficiency > 100:
            self._shared = True

    def lines(self) -> tuple[str, ...]:
        """Say it, a sentence or two each."""
        lines = []
        if unknown := self._unknown - self._known:
            lines.append(
                f"no load efficiency was collected of {some_kernels(unknown)}, though the "
                "profiler was asked to"
            )
        if self._read_only:
            lines.append(
                f"0 % for {some_kernels(self._read_only)}: the loads, if any, took the read-only "
                "path, which gld_efficiency does not count (see nvprof's nc_gld_efficiency)"
            )
        if self._shared:
            lines.append(
                "above 100 %: nvprof counts the bytes of every thread, "
                "also of threads that read the same address"
            )
        if len(self._definitions) > 1:
            lines.append(
                "nvprof counts the bytes of every thread, ncu distinct bytes: "
                "their load efficiencies are not comparable"
            )
        return (*lines, *self._coverage_lines())

    def _look_at_coverage(self, kernel: str, metrics: Mapping[str, float], stated: bool) -> None:
        if metrics.get(TMA_LOADS, 0) > 0:
            self._by_tma.add(kernel)
        if stated and leaves_out_async(metrics):
            self._by_async.add(kernel)
        share = load_coverage(metrics)
        if share is not None and share < MOST:
            self._covered[kernel] = min(share, self._covered.get(kernel, share))

    def _coverage_lines(self) -> Iterator[str]:
        if self._by_tma:
            yield (
                f"besides, {some_kernels(self._by_tma)} loaded by TMA: the load efficiency covers "
                "the other loads only"
            )
        if self._by_async:
            yield (
                f"besides, {some_kernels(self._by_async)} loaded by cp.async: the load efficiency "
                "covers the other loads only; collect both with: "
                f"{collect_command('ncu', COMBINED)}"
            )
        if self._covered:
            yield (
                f"the load efficiency of {some_kernels(set(self._covered))} covers only "
                f"{min(self._covered.values()):.1f} % of the sectors loaded; cp.async or TMA "
                "brought the others"
            )


def some_kernels(kernels: Collection[str]) -> str:
    """Name a kernel, or count several."""
    if len(kernels) > 1:
        return f"{len(kernels)} kernels"
    name = next(iter(kernels))
    return f'"{name if len(name) <= 60 else name[:57] + "..."}"'
