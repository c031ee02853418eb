"""nvprof's comma-separated tables: metrics and events, the summary, the trace of launches."""

import re
from collections.abc import Sequence
from math import isnan, nan

from gpuprune.profiler.parse.findings import NOT_WHOLE, Findings, Table, repeats
from gpuprune.profiler.parse.lines import picker, split_cells
from gpuprune.profiler.parse.numerals import counted
from gpuprune.profiler.parse.nvprof import (
    DURATIONS,
    add_metric,
    add_summary,
    holds_kernels,
    kernel_name,
)
from gpuprune.profiler.parse.quantities import NVPROF_TIMES, fits_nvprof, nvprof_value

_HEADER = re.compile(r'"(?:Device","(?:Kernel|Context)|Time\(%\)|Type","Time\(%\)|Start)",')
_NO_METRIC = re.compile(
    r"Start|Grid [XYZ]|Block [XYZ]|Registers Per Thread|(?:Static|Dynamic) SMem|Size|Throughput|"
    r"(?:Src|Dst)(?:MemType| Dev| Ctx)|Device|Context|Stream|Unified Memory|Virtual Address|"
    r"Kernel|Name|Correlation_ID"
)
# A trace has the descriptions of the metrics over its columns.
_DESCRIPTIONS = {
    "Global Memory Load Efficiency": "gld_efficiency",
    "Global Memory Store Efficiency": "gst_efficiency",
    "Global Load Transactions": "gld_transactions",
    "Global Store Transactions": "gst_transactions",
    "L2 Cache Hit Rate": "l2_tex_hit_rate",
    "Device Memory Read Transactions": "dram_read_transactions",
    "Device Memory Read Throughput": "dram_read_throughput",
    "Achieved Occupancy": "achieved_occupancy",
}


def open_table(line: str, findings: Findings) -> Table | None:
    """Begin the table whose header this line is, if it is one."""
    if not _HEADER.match(line):
        return None
    header = split_cells(line)
    columns = set(header)
    if {"Kernel", "Invocations", "Min", "Max", "Avg"} <= columns:
        is_whole = "Device" in columns and columns & {"Metric Name", "Event Name"}
        return _Metrics(header, findings) if is_whole else _Ignored()
    if {"Time", "Calls", "Avg", "Min", "Max", "Name"} <= columns:
        return _Summary(header, findings)
    if "Device" in columns and columns & {"Kernel", "Name"}:
        return _Launches(header, findings)
    return _Ignored()


class _Metrics:
    """A metric or an event a row: minimum, maximum and average over the invocations."""

    def __init__(self, header: Sequence[str], findings: Findings) -> None:
        self._findings = findings
        self._width = len(header)
        name = "Metric Name" if "Metric Name" in header else "Event Name"
        wanted = ("Device", "Kernel", "Invocations", name, "Min", "Max", "Avg")
        self._at = [header.index(column) for column in wanted]

    def take(self, line: str) -> bool:
        if not line.startswith('"'):
            return False
        cells = split_cells(line)
        if len(cells) != self._width:
            self._findings.warnings[NOT_WHOLE] += 1
            return True
        device, kernel, invocations, name, *values = (cells[at] for at in self._at)
        times = counted(invocations)
        if times is None or not kernel or not name:
            return False
        add_metric(
            self._findings,
            device=device or None,
            kernel=kernel,
            invocations=times,
            name=name,
            cells=values,
        )
        return True


class _Summary:
    """A kernel a row: its share of the time, and its durations, each in its column's unit."""

    _TIMES = ("Time", "Avg", "Min", "Max")

    def __init__(self, header: Sequence[str], findings: Findings) -> None:
        self._findings = findings
        self._header = header
        self._units: list[str] | None = None
        self._wanted = "Type" in header or holds_kernels(findings)

    def take(self, line: str) -> bool:
        cells = split_cells(line)
        if len(cells) != len(self._header):
            return False
        row = dict(zip(self._header, cells, strict=True))
        if self._units is None:
            if row["Time"] not in NVPROF_TIMES or row["Name"]:
                return False
            self._units = _known_units(self._findings, DURATIONS, [row[c] for c in self._TIMES])
            return True
        name = kernel_name(row["Name"])
        if row.get("Type", "GPU activities") == "GPU activities" and name and self._wanted:
            self._add(name, row)
        return True

    def _add(self, name: str, row: dict[str, str]) -> None:
        if (calls := counted(row["Calls"])) is not None:
            cells = zip(self._TIMES, self._units or (), strict=True)
            add_summary(
                self._findings,
                kernel=name,
                calls=calls,
                nanoseconds=[nvprof_value(row[column], unit) for column, unit in cells],
            )


class _Launches:
    """A launch a row, in a trace: its duration, or a column a metric."""

    def __init__(self, header: Sequence[str], findings: Findings) -> None:
        self._findings = findings
        self._width = len(header)
        self._name = header.index("Name" if "Name" in header else "Kernel")
        self._device = header.index("Device")
        self._grid = header.index("Grid X") if "Grid X" in header else None
        self._units: Sequence[str] | None = None  # of the columns kept
        own = [at for at, title in enumerate(header) if not _NO_METRIC.fullmatch(title)]
        self._repeats = repeats([_metric(header[at]) for at in own], own)
        again = {at for _, _, at in self._repeats}
        kept = [at for at in own if at not in again]
        self._cells = picker(kept)
        self._metrics = [_metric(header[at]) for at in kept]
        self._launches = findings.begin_launches("nvprof", self._metrics)

    def take(self, line: str) -> bool:
        cells = split_cells(line)
        if len(cells) != self._width:
            return self._is_torn(line)
        name = kernel_name(cells[self._name])
        if self._units is None:
            if not cells[self._name]:
                self._units = _known_units(self._findings, self._metrics, self._cells(cells))
                return True
            if self._grid is not None:
                return False  # without their units the times mean nothing
            self._units = self._cells([""] * self._width)
        if name and (self._grid is None or cells[self._grid].isdecimal()):
            self._add(name, cells, self._units)
        return True

    def _is_torn(self, line: str) -> bool:
        """Say that a row has too few cells or too many; what is no row ends the table."""
        if '"' not in line or self._units is None:
            return False
        self._findings.warnings[NOT_WHOLE] += 1
        return True

    def _add(self, name: str, cells: list[str], units: Sequence[str]) -> None:
        findings, own = self._findings, self._cells(cells)
        findings.warn_of_repeats(self._repeats, cells)
        values = [
            nan if (value := nvprof_value(cell, unit)) is None else value
            for cell, unit in zip(own, units, strict=True)
        ]
        if isnan(sum(values)) and any(cell.startswith("<") for cell in own):
            findings.warnings[f'values of "{name}" overflowed or are invalid: not taken'] += 1
        self._launches.add(
            findings.name(name),
            findings.name(cells[self._device]) or None,
            findings.next_launch(),
            values,
            own,
        )


class _Ignored:
    """A table without kernels, such as the trace of API calls, or whose figures have no names."""

    def take(self, line: str) -> bool:
        return line.startswith('"') or line[:1].isdecimal()


def _known_units(findings: Findings, metrics: Sequence[str], units: Sequence[str]) -> list[str]:
    """Take the units of columns; one that is not of its metric leaves it without a value."""
    for metric, unit in zip(metrics, units, strict=True):
        if not fits_nvprof(metric, unit):
            findings.warnings[f'"{unit}" is no known unit of {metric}: not taken'] += 1
    return [
        unit if fits_nvprof(metric, unit) else "?"
        for metric, unit in zip(metrics, units, strict=True)
    ]


def _metric(column: str) -> str:
    """Name the metric of a trace's column."""
    if column == "Duration":
        return "duration"
    name, _, description = column.partition(" (")
    return name if description and " " not in name else _DESCRIPTIONS.get(column, column)
