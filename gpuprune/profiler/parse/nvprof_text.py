"""nvprof's tables as text: metrics and events, the summary, the trace of launches."""

import re

from gpuprune.profiler.parse.findings import Draft, Findings, Table
from gpuprune.profiler.parse.numerals import counted
from gpuprune.profiler.parse.nvprof import add_metric, add_summary, holds_kernels, kernel_name
from gpuprune.profiler.parse.quantities import nvprof_value

MAX_ROW = 2000  # characters, of a row without a kernel's name: the patterns look back

_VALUE = r"((?:Idle|Low|Mid|High|Max) \(\d+\)|<[A-Z]+>|-?[0-9][0-9.]*(?:e[-+]?\d+)?[%A-Z/a-z]*)"
_TIME = r"([0-9][0-9.]*(?:e[-+]?\d+)?(?:s|ms|us|ns))"
# Rows are matched with their runs of blanks made one.
_METRIC_ROW = re.compile(rf"([0-9]+) ([a-z][a-z0-9_]*) .*? {_VALUE} {_VALUE} {_VALUE}")
_EVENT_ROW = re.compile(rf"([0-9]+) (\w+) {_VALUE} {_VALUE} {_VALUE}(?: {_VALUE})?")
_DEVICE = re.compile(r'\s*Device "(.+?)"(?:\s+Kernel: (.*\S))?\s*')
_KERNEL = re.compile(r"\s*Kernel: (.*\S)\s*")
_SUMMARY_ROW = re.compile(
    rf"\s*(?:([A-Z][A-Za-z ()]*):)?\s*[0-9.]+%\s+{_TIME}\s+(\d+)"
    rf"\s+{_TIME}\s+{_TIME}\s+{_TIME}  (.+)"
)
_COPY_ROW = re.compile(rf"\s*{_TIME}\s+(?:{_TIME}|-)\s+-\s")
_LAUNCH_ROW = re.compile(rf"\s*{_TIME}\s+{_TIME}\s+\(\d+ \d+ \d+\)\s+\(\d+ \d+ \d+\)\s")


def open_table(line: str, findings: Findings) -> Table | None:
    """Begin the table whose header this line is, if it is one."""
    if "Name" not in line or len(line) > MAX_ROW:
        return None
    words = line.split()
    if words[:1] == ["Invocations"] and "Name" in words:
        return _Metrics(findings, events="Event" in words)
    if "Time(%)" in words[:2] and "Calls" in words:
        return _Summary(findings)
    if words[:2] == ["Start", "Duration"] and "Grid" in words and "Name" in words:
        return _Launches(line, findings)
    return None


class _Metrics:
    """Metrics or events, a row each, under their device and kernel."""

    def __init__(self, findings: Findings, *, events: bool) -> None:
        self._findings = findings
        self._row = _EVENT_ROW if events else _METRIC_ROW
        self._device = ""
        self._kernel = ""

    def take(self, line: str) -> bool:
        if kernel := _KERNEL.fullmatch(line):
            self._kernel = kernel[1]
            return True
        if len(line) > MAX_ROW:
            return False
        if device := _DEVICE.fullmatch(line):
            self._device, self._kernel = device[1], device[2] or ""
            return True
        row = self._row.fullmatch(" ".join(line.split()))
        times = counted(row[1]) if row else None
        if row is None or times is None or not self._kernel:
            return False
        add_metric(
            self._findings,
            device=self._device or None,
            kernel=self._kernel,
            invocations=times,
            name=row[2],
            cells=row.group(3, 4, 5),
        )
        return True


class _Summary:
    """A kernel a row: its share of the time, and its durations, each with its unit."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._of_kernels = holds_kernels(findings)

    def take(self, line: str) -> bool:
        row = _SUMMARY_ROW.fullmatch(line)
        if row is None:
            return False
        if row[1]:
            self._of_kernels = row[1] == "GPU activities"
        name, calls = kernel_name(row[7]), counted(row[3])
        if self._of_kernels and name and calls is not None:
            add_summary(
                self._findings,
                kernel=name,
                calls=calls,
                nanoseconds=[nvprof_value(cell) for cell in row.group(2, 4, 5, 6)],
            )
        return True


class _Launches:
    """A launch a row; the columns end where their titles do, names begin where theirs does."""

    def __init__(self, header: str, findings: Findings) -> None:
        self._findings = findings
        self._name = header.index(" Name") + 1
        self._device_end = header.find(" Device") + len(" Device")

    def take(self, line: str) -> bool:
        row = _LAUNCH_ROW.match(line)
        if row is None:
            return _COPY_ROW.match(line) is not None
        duration, name = nvprof_value(row[2]), kernel_name(line[self._name :])
        if line[self._name - 1 : self._name] != " " or name is None or duration is None:
            return False
        draft = Draft(
            kernel=self._findings.name(name),
            tool="nvprof",
            device=line[: self._device_end].rpartition("  ")[2].strip() or None,
            launch=self._findings.next_launch(),
        )
        draft.add("duration", duration)
        self._findings.begin(draft)
        return True
