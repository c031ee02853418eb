"""Which figures a file does not hold, or holds without a value, and the command that collects."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from gpuprune.profiler.parse.advice import collect_command, some_kernels
from gpuprune.profiler.parse.metrics import (
    AVERAGE_BYTES,
    FIGURES,
    has_figure,
    why_no_value,
)
from gpuprune.profiler.parse.records import KernelProfile

# By figure: the metric of ncu, and that of nvprof.
_COLLECTED = {
    "load efficiency": (f"{AVERAGE_BYTES}ld.pct", "gld_efficiency"),
    "store efficiency": (f"{AVERAGE_BYTES}st.pct", "gst_efficiency"),
    "sectors": ("l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum", "gld_transactions"),
    "requests": ("l1tex__t_requests_pipe_lsu_mem_global_op_ld.sum", "global_load_requests"),
    "L1 hit rate": ("l1tex__t_sector_hit_rate.pct", "tex_cache_hit_rate"),
    "L2 hit rate": ("lts__t_sector_hit_rate.pct", "l2_tex_hit_rate"),
    "DRAM bytes read": ("dram__bytes_read.sum", "dram_read_transactions"),
    "occupancy": ("sm__warps_active.avg.pct_of_peak_sustained_active", "achieved_occupancy"),
    "duration": ("gpu__time_duration.sum", ""),  # nvprof times no kernel that it counts in
}
_DRAM, _BLACKWELL_DRAM = "dram__bytes_read.sum", "dram__bytes_op_read.sum"

_TIMES = "nvprof --csv --log-file times.csv PROGRAM"

_CAPABILITY = re.compile(r"\bCC ([0-9]+)\.([0-9]+)\b")
_UNKNOWN = (0, 0)
_COUNTED_BY_NCU, _NOT_BY_NVPROF, _BLACKWELL = (7, 0), (7, 5), (10, 0)
# How the names of GPUs of compute capability 7.5 and above differ, where a file has only these.
_TURING_OR_LATER = re.compile(
    r"\b(?:RTX|GTX 16\d\d|MX4[5-9]0|MX5\d0|T\d{1,4}G?|A\d{1,4}|L\d{1,2}S?|G?[HB]\d{2,3})\b"
)


@dataclass(slots=True)
class _Alike:
    """Kernels on a device that have the same metrics."""

    tool: str
    device: str | None
    absent: frozenset[str]
    kernels: set[str] = field(default_factory=set)


class Missing:
    """Gathers, kernel by kernel of a file, what is not in it."""

    def __init__(self) -> None:
        """Begin with no kernel."""
        self._alike: dict[tuple[str | None, ...], _Alike] = {}
        self._without_value: dict[tuple[str, str], set[str]] = {}

    def look_at(self, profile: KernelProfile) -> None:
        """Take one more kernel into account."""
        shape = (profile.tool, profile.device, *profile.metrics)
        alike = self._alike.get(shape)
        if alike is None:
            absent = frozenset(name for name in FIGURES if not has_figure(profile.metrics, name))
            alike = self._alike[shape] = _Alike(profile.tool, profile.device, absent)
        alike.kernels.add(profile.kernel)
        if profile.no_value or _is_undefined(profile, alike.absent):
            for name, why in without_value(profile).items():
                self._without_value.setdefault((name, why), set()).add(profile.kernel)

    def lines(self) -> Iterator[str]:
        """Say what has no value and why, and what is not there and which command collects it."""
        for (name, why), kernels in self._without_value.items():
            yield f"no value for the {name} of {some_kernels(kernels)}: {why}"
        collectors: dict[tuple[str, str], list[_Alike]] = {}
        for alike in self._alike.values():
            collectors.setdefault(_collector(alike.tool, alike.device), []).append(alike)
        for (tool, why), group in collectors.items():
            if lacking := self._lacking(group):
                yield _say(tool, why, lacking, group)

    def _lacking(self, group: list[_Alike]) -> dict[str, set[str]]:
        """Give the kernels of which no record holds a figure, by figure."""
        everyone = set().union(*(alike.kernels for alike in group))
        lacking = {}
        for name in FIGURES:
            held = [alike.kernels for alike in self._alike.values() if name not in alike.absent]
            valueless = [who for (one, _), who in self._without_value.items() if one == name]
            if without := everyone.difference(*held, *valueless):
                lacking[name] = without
        return lacking


def without_value(profile: KernelProfile) -> dict[str, str]:
    """Say which figures a file speaks of that have no value, and why, by figure."""
    values = {"load efficiency": profile.gld_efficiency_pct}
    values["store efficiency"] = profile.gst_efficiency_pct
    found = {}
    for name in FIGURES:
        has_value = name not in values and has_figure(profile.metrics, name)
        if values.get(name) is None and not has_value:
            why = why_no_value(profile.metrics, profile.no_value, name)
            if why is not None:
                found[name] = why
    return found


def _is_undefined(profile: KernelProfile, absent: Collection[str]) -> bool:
    """Say whether an efficiency has no value though what it follows from is there."""
    return (profile.gld_efficiency_pct is None and "load efficiency" not in absent) or (
        profile.gst_efficiency_pct is None and "store efficiency" not in absent
    )


def _say(tool: str, why: str, lacking: dict[str, set[str]], group: list[_Alike]) -> str:
    everyone = set().union(*(alike.kernels for alike in group))
    names = ", ".join(
        name if len(kernels) == len(everyone) else f"{name} (of {some_kernels(kernels)})"
        for name, kernels in lacking.items()
    )
    metrics = [_COLLECTED[name][tool == "nvprof"] for name in lacking]
    if any(_capability(alike.device) >= _BLACKWELL for alike in group):
        metrics = [_BLACKWELL_DRAM if name == _DRAM else name for name in metrics]
    if not any(metrics):
        return f"not in this file: {names}; collect with: {_TIMES}"
    rest = "; it times kernels only without --metrics" if "" in metrics else ""
    command = collect_command(tool, [metric for metric in metrics if metric])
    return f"not in this file: {names}; collect with{why}: {command}{rest}"


def _collector(tool: str, device: str | None) -> tuple[str, str]:
    """Say which tool collects metrics on the device of a file of one, and why it is another."""
    capability = _capability(device)
    if tool == "ncu" and _UNKNOWN < capability < _COUNTED_BY_NCU:
        return "nvprof", " nvprof, as ncu counts no loads below compute capability 7.0"
    if tool == "nvprof" and capability >= _NOT_BY_NVPROF:
        return "ncu", " ncu, as nvprof collects no metrics from compute capability 7.5 on"
    unsure = tool == "nvprof" and device is None
    return tool, " nvprof (ncu from compute capability 7.5 on)" if unsure else ""


def _capability(device: str | None) -> tuple[int, int]:
    """Read the compute capability off a device's name, as far as that tells it."""
    stated = _CAPABILITY.search(device or "")
    if stated:
        return int(stated[1]), int(stated[2])
    return _NOT_BY_NVPROF if _TURING_OR_LATER.search(device or "") else _UNKNOWN
