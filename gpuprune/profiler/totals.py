"""Captured kernels summed up by their names, where a row a launch is too many to read."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import nlargest
from math import inf
from typing import NamedTuple

from gpuprune.profiler.parse import KernelProfile, without_value
from gpuprune.profiler.parse.metrics import has_figure, stated_as
from gpuprune.profiler.tables import ABSENT, COLUMNS, NO_VALUE, Average, Row, filled, rounded


class _Key(NamedTuple):
    """What a row is of."""

    kernel: str
    tool: str
    device: str | None


class _Source(NamedTuple):
    """Where the values of a column stand in records of a kind."""

    label: str
    quantity: str
    metric: str
    factor: float


class _Kind(NamedTuple):
    """What is alike in all records of the same metrics."""

    sources: tuple[_Source, ...]
    speaks_of_loads: bool


@dataclass(slots=True)
class _Sum:
    """A column of a kernel: the sum over its launches, and how many of them have a value."""

    total: float = 0.0
    launches: int = 0

    def add(self, value: float, launches: int) -> None:
        self.total += value * launches
        self.launches += launches

    def mean(self) -> float | None:
        return self.total / self.launches if self.launches else None


@dataclass(slots=True)
class _Total:
    """The launches of a kernel, summed up."""

    average: Average = field(default_factory=Average)  # of load efficiency, by sectors
    loads: _Sum = field(default_factory=_Sum)  # load efficiencies, all launches alike
    stores: _Sum = field(default_factory=_Sum)
    low: float = inf
    high: float = -inf
    lacks: str = ABSENT  # what stands for a load efficiency that no launch has
    sums: dict[str, _Sum] = field(default_factory=dict)  # by label


class KernelTotals:
    """A row a kernel for people, of the kernels with the most launches."""

    def __init__(self, most: int) -> None:
        """Begin with no launch; most: rows to lay out."""
        self._most = most
        self._launches: dict[_Key, int] = {}
        self._totals: dict[_Key, _Total] = {}  # of no more than there are rows for
        self._kinds: dict[tuple[str, ...], _Kind] = {}

    def __len__(self) -> int:
        return len(self._launches)

    def add(self, profile: KernelProfile) -> None:
        """Sum up one more launch, or the invocations of one more record."""
        key = _key(profile)
        self._launches[key] = self._launches.get(key, 0) + _launches(profile)
        total = self._totals.get(key)
        if total is None and len(self._totals) < self._most:
            total = self._totals[key] = _Total()
        if total is not None:
            self._sum_up(profile, total)

    def rows(self, again: Iterable[KernelProfile]) -> dict[str, list[Row]]:
        """Lay out those with the most launches, by tool.

        again: the same records once more, which are read if there are more kernels than rows.
        """
        chosen = nlargest(self._most, self._launches, key=self._launches.__getitem__)
        if len(self) > self._most:
            self._totals = {key: _Total() for key in chosen}
            for profile in again:
                if total := self._totals.get(_key(profile)):
                    self._sum_up(profile, total)
        by_tool: dict[str, list[Row]] = {}
        for key in chosen:
            cells = _cells(key, self._launches[key], self._totals[key])
            by_tool.setdefault(key.tool, []).append(cells)
        return {tool: filled(rows) for tool, rows in by_tool.items()}

    def _sum_up(self, profile: KernelProfile, total: _Total) -> None:
        launches = _launches(profile)
        kind = self._kind_of(profile)
        sectors = None
        for label, quantity, metric, factor in kind.sources:
            value = profile.metrics[metric] * factor
            if quantity == "sectors":
                sectors = value
            if (column := total.sums.get(label)) is None:
                column = total.sums[label] = _Sum()
            column.add(value, launches)
        if profile.gst_efficiency_pct is not None:
            total.stores.add(profile.gst_efficiency_pct, launches)
        percent = profile.gld_efficiency_pct
        total.average.add(percent, sectors, launches)
        if percent is None:
            speaks = profile.no_value or kind.speaks_of_loads
            if speaks and "load efficiency" in without_value(profile):
                total.lacks = NO_VALUE
            return
        total.loads.add(percent, launches)
        low, high = profile.gld_min_pct, profile.gld_max_pct
        total.low = min(total.low, percent if low is None else low)
        total.high = max(total.high, percent if high is None else high)

    def _kind_of(self, profile: KernelProfile) -> _Kind:
        shape = (profile.tool, *profile.metrics)
        kind = self._kinds.get(shape)
        if kind is None:
            sources = tuple(
                _Source(label, name, *stated)
                for label, name in COLUMNS[profile.tool].items()
                if (stated := stated_as(profile.metrics, name))
            )
            has_loads = has_figure(profile.metrics, "load efficiency")
            kind = self._kinds[shape] = _Kind(sources, has_loads)
        return kind


def _key(profile: KernelProfile) -> _Key:
    return _Key(profile.kernel, profile.tool, profile.device)


def _launches(profile: KernelProfile) -> int:
    return 1 if profile.invocations is None else profile.invocations


def _cells(key: _Key, launches: int, total: _Total) -> Row:
    by_sectors, mean = total.average.value(), total.loads.mean()
    is_known = by_sectors is not None
    row: Row = {
        "kernel": key.kernel,
        "device": key.device,
        "launches": launches,
        "load %": total.lacks if mean is None else rounded(by_sectors),
        "mean load %": None if is_known else rounded(mean),
        "min %": None if mean is None else rounded(total.low),
        "max %": None if mean is None else rounded(total.high),
        "mean store %": rounded(total.stores.mean()),
    }
    for label in COLUMNS[key.tool]:
        column = total.sums.get(label, _Sum())
        if "%" in label:
            row[f"mean {label}"] = rounded(column.mean())
        else:  # of some launches only, it is no sum
            row[label] = round(column.total) if column.launches == launches else None
    return row
