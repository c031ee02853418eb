"""ncu's comma-separated pages: raw (a launch a row), details and summaries (a metric a row)."""

import re
from collections.abc import Sequence
from functools import lru_cache
from math import isfinite, nan

from gpuprune.profiler.parse.findings import NOT_WHOLE, Draft, Findings, Table, repeats
from gpuprune.profiler.parse.lines import picker, split_cells
from gpuprune.profiler.parse.metrics import efficiency_in_rule, metric_name
from gpuprune.profiler.parse.numerals import Columns, counted
from gpuprune.profiler.parse.quantities import scaled

# The columns before the metrics of a raw page; the last are those of NVTX ranges.
_IDENTITY = re.compile(
    r"ID|Process ID|Process Name|Host Name|Kernel Name|Kernel Time|Context|Stream|"
    r"Block Size|Grid Size|Device|CC|.*Domain:.*_Range:.*"
)
_OF_THE_DEVICE = "device__attribute_"
_DEVICE_NAME = "device__attribute_display_name"


def open_table(line: str, findings: Findings) -> Table | None:
    """Begin the page whose header this line is, if it is one."""
    if not line.startswith('"') or not ('"Kernel Name"' in line or '"Metric Name"' in line):
        return None
    header = split_cells(line)
    if "Metric Name" in header and {"Metric Value", "Average"} & set(header):
        return _Metrics(header, findings)
    return _Launches(header, findings) if {"ID", "Kernel Name"} <= set(header) else None


@lru_cache
def device_label(name: str, index: str, capability: str) -> str | None:
    """Name a device as nvprof does, `Tesla V100 (0)`, as far as it is known."""
    what = name or (f"CC {capability}" if capability else "")
    return (
        f"{what} ({index})" if what and index else what or (f"device {index}" if index else None)
    )


class _Launches:
    """The raw page: a launch a row, a metric a column, their units in the row below the header."""

    def __init__(self, header: Sequence[str], findings: Findings) -> None:
        self._findings = findings
        self._width = len(header)
        self._at: dict[str, int] = {}
        for at, column in enumerate(header):
            self._at.setdefault(column, at)
        self._first = 1 + max(at for at in self._at.values() if _IDENTITY.fullmatch(header[at]))
        columns = [
            (column, at)
            for column, at in self._at.items()
            if at >= self._first and not column.startswith(_OF_THE_DEVICE)
        ]
        self._id, self._kernel = self._at["ID"], self._at["Kernel Name"]
        self._kept = [at for _, at in columns]
        own = range(self._first, self._width)
        self._repeats = repeats(header[self._first :], own)
        self._cells = picker(self._kept)
        # A column that is missing lies behind the last, where a blank is put.
        device_columns = (_DEVICE_NAME, "Device", "CC")
        self._device = picker([self._at.get(column, self._width) for column in device_columns])
        self._numbers = Columns(len(columns), findings.numerals)
        self._scaled: list[tuple[int, float]] = []
        self._metrics = [column for column, _ in columns]
        self._launches = findings.begin_launches("ncu", self._metrics)

    def take(self, line: str) -> bool:
        if not line.startswith('"'):
            return False
        cells = split_cells(line)
        if len(cells) != self._width:
            self._findings.warnings[NOT_WHOLE] += 1
            return True
        launch = counted(cells[self._id])
        if launch is not None:
            self._add(launch, cells)
        elif not cells[self._id]:
            units = zip(self._metrics, self._cells(cells), strict=True)
            factors = enumerate(self._findings.factor(metric, unit) for metric, unit in units)
            self._scaled = [(at, factor) for at, factor in factors if factor != 1]
        return True

    def _add(self, launch: int, cells: list[str]) -> None:
        self._findings.warn_of_repeats(self._repeats, cells)
        own = self._cells(cells)
        values = self._numbers.read(own)
        for at, factor in self._scaled:
            product = scaled(values[at], factor)
            values[at] = product if isfinite(product) else nan
        kernel = self._findings.name(cells[self._kernel])
        cells.append("")
        device = device_label(*self._device(cells))
        self._launches.add(kernel, device, launch, values, own)


class _Metrics:
    """A metric a row: the details page of each launch, or a summary over several."""

    def __init__(self, header: Sequence[str], findings: Findings) -> None:
        self._findings = findings
        self._table = findings.tables
        self._width = len(header)
        at = {column: place for place, column in enumerate(header)}

        def places(*columns: str) -> list[int]:
            """Say where the columns are; those that are missing lie behind the last, blank."""
            return [at.get(column, self._width) for column in columns]

        self._identity = picker(places("ID", "Process ID", "Invocations"))
        self._labels = picker(places("Kernel Name", "Device", "CC"))
        self._metric = picker(
            places("Metric Name", "Metric Unit", "Section Name", "Rule Description")
        )
        self._values = picker(
            places(
                *(("Metric Value",) if "Metric Value" in at else ("Average", "Minimum", "Maximum"))
            )
        )
        self._grouping = slice(at.get("Section Name", at["Metric Name"]))

    def take(self, line: str) -> bool:
        if not line.startswith('"'):
            return False
        cells = split_cells(line)
        if len(cells) > self._width + 1:
            self._findings.warnings[NOT_WHOLE] += 1
            return True
        # Rows end early, some with a bare comma: what is missing is blank.
        cells += [""] * (self._width + 1 - len(cells))
        draft = self._draft(cells)
        if draft is not None:
            self._add(draft, cells)
        return True

    def _draft(self, cells: list[str]) -> Draft | None:
        """Find the record of a row's launch, or of its group of launches in a summary."""
        number, process, times = self._identity(cells)
        launch, invocations = counted(number), counted(times)
        if launch is None and invocations is None:
            return None
        identity = tuple(cells[self._grouping]) if launch is None else (process, launch)
        draft = self._findings.drafts.get((self._table, identity))
        if draft is None:
            kernel, index, capability = self._labels(cells)
            draft = Draft(
                kernel=self._findings.name(kernel or "(all kernels)"),
                tool="ncu",
                device=device_label("", index, capability),
                launch=launch,
                invocations=invocations if launch is None else None,
            )
            self._findings.drafts[self._table, identity] = self._findings.begin(draft)
        return draft

    def _add(self, draft: Draft, cells: list[str]) -> None:
        label, unit, section, rule = self._metric(cells)
        if label:
            name, other = _read_label(section, label, unit)
            shown = self._values(cells)
            values = [self._findings.numerals[cell] for cell in shown]
            if not self._findings.add_scaled(draft, name, unit, values, other):
                draft.lacks(name, shown[0])
        elif (stated := efficiency_in_rule(rule)) is not None:
            draft.stated_pct = stated


@lru_cache(maxsize=4096)
def _read_label(section: str, label: str, unit: str) -> tuple[str, str | None]:
    """Give a label's metric, and the name of another value of it."""
    other = f"{section}: {label} [{unit}]" if section else None
    return metric_name(section, label, unit), other
