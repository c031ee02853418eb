"""What is gathered while a captured file is read."""

from array import array
from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, isnan
from typing import Protocol

from gpuprune.profiler.parse.metrics import (
    EFFICIENCIES,
    RANGED,
    SHOWN,
    is_combined,
    load_efficiency,
    store_efficiency,
)
from gpuprune.profiler.parse.ncu_units import ncu_factor
from gpuprune.profiler.parse.numerals import Numerals
from gpuprune.profiler.parse.quantities import scaled
from gpuprune.profiler.parse.records import NOTHING, KernelProfile

_ROUNDING = 1e-3  # of what is added up to an average, relative
NOT_WHOLE = "rows of a table that are not whole were passed over"


@dataclass(slots=True, kw_only=True)
class Draft:
    """A kernel whose metrics are still coming in, a row each."""

    kernel: str
    tool: str
    device: str | None = None
    launch: int | None = None
    invocations: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    ends: dict[str, tuple[float, float]] | None = None  # least and most, of those in RANGED
    no_value: dict[str, str] | None = None
    stated_pct: float | None = None  # load efficiency in the words of a rule of ncu, rounded

    def add(
        self, name: str, value: float, low: float | None = None, high: float | None = None
    ) -> None:
        """Keep a value, and its ends where they differ; of a name that comes twice, the first.

        The ends of the load efficiency are fields of the record, those of others are metrics.
        """
        if name in self.metrics:
            return
        self.metrics[name] = value
        if low is not None and high is not None:
            if name in RANGED:
                self.ends = self.ends or {}
                self.ends[name] = (low, high)
            elif low != high:
                self.metrics[f"{name}.min"], self.metrics[f"{name}.max"] = low, high

    def add_scaled(
        self, name: str, factor: float, values: Sequence[float], other: str | None = None
    ) -> bool:
        """Keep a value of ncu, or its average, minimum and maximum; False if one is none.

        `other` names it where the same label stands for another value in another section.
        """
        products = values if factor == 1 else [scaled(value, factor) for value in values]
        if not all(map(isfinite, products)):
            return False
        is_another = self.metrics.get(name, products[0]) != products[0]
        self.add(other if other and is_another else name, *products)
        return True

    def lacks(self, name: str, said: str) -> None:
        """Note what stands in the place of a value that is shown, of a name that has none."""
        if name in SHOWN:
            self.no_value = self.no_value or {}
            self.no_value.setdefault(name, said)

    def finish(self) -> KernelProfile:
        """Compute the efficiencies and close the record."""
        # Of loads by LDG and by LDGSTS together, the ends do not follow from those of each.
        low = high = None
        if self.ends and not is_combined(self.metrics):
            low, high = (
                load_efficiency({name: ends[at] for name, ends in self.ends.items()})
                for at in (0, 1)
            )
        return _profile(
            *(self.kernel, self.tool, self.device, self.launch, self.invocations),
            *(self.metrics, self.no_value or NOTHING, low, high),
        )


class Launches:
    """The launches of a table that has each in a row, by columns.

    A row takes eight bytes a number: of a million launches, records would fill gigabytes.
    """

    def __init__(self, tool: str, metrics: Sequence[str]) -> None:
        """Begin without a launch, with the names of the columns."""
        self._tool = tool
        self._metrics = metrics
        self._shown = [(at, name) for at, name in enumerate(metrics) if name in SHOWN]
        self._kernels: list[str] = []
        self._devices: list[str | None] = []
        self._numbers = array("q")
        self._values = array("d")  # (launches, metrics), NaN where there is none
        self._no_value: dict[int, dict[str, str]] = {}  # by launch, what stands there instead

    def add(
        self,
        kernel: str,
        device: str | None,
        number: int,
        values: Sequence[float],
        cells: Sequence[str],
    ) -> None:
        """Keep a launch with a value for each column, and the cells that they were read from."""
        for at, name in self._shown:
            if values[at] != values[at] and cells[at].strip():
                self._no_value.setdefault(len(self._kernels), {})[name] = cells[at]
        self._kernels.append(kernel)
        self._devices.append(device)
        self._numbers.append(number)
        self._values.extend(values)

    def __len__(self) -> int:
        return len(self._kernels)

    def __iter__(self) -> Iterator[KernelProfile]:
        names, width = self._metrics, len(self._metrics)
        speaks = not EFFICIENCIES.isdisjoint(names)  # of load and store efficiency
        identities = zip(self._kernels, self._devices, self._numbers, strict=True)
        for at, (kernel, device, number) in enumerate(identities):
            values = self._values[at * width : (at + 1) * width]
            metrics = dict(zip(names, values, strict=True))
            if isnan(sum(values)):
                metrics = {name: value for name, value in metrics.items() if value == value}
            no_value = self._no_value.get(at, NOTHING)
            if speaks:
                yield _profile(kernel, self._tool, device, number, None, metrics, no_value)
            else:
                identity = kernel, self._tool, device, number, None
                yield KernelProfile(*identity, *(None,) * 5, metrics, no_value)


class Kernels(Collection[KernelProfile]):
    """The kernels of a file, in its order, each made when it is asked for."""

    def __init__(self, parts: Sequence[Launches | Sequence[Draft]]) -> None:
        """Take over what was gathered."""
        self._parts = parts

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[KernelProfile]:
        for part in self._parts:
            for kernel in part:
                yield kernel.finish() if isinstance(kernel, Draft) else kernel

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Kernels) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __contains__(self, kernel: object) -> bool:
        return any(one == kernel for one in self)


class Table(Protocol):
    """A table of a captured file, which takes the lines after its header."""

    def take(self, line: str) -> bool:
        """Read a line; False if it is no part of the table."""
        ...


def repeats(names: Sequence[str], places: Sequence[int]) -> list[tuple[str, int, int]]:
    """Find the names that come again in a header, each with its first place and this one."""
    first: dict[str, int] = {}
    for name, at in zip(names, places, strict=True):
        first.setdefault(name, at)
    return [
        (name, first[name], at)
        for name, at in zip(names, places, strict=True)
        if first[name] != at
    ]


class Findings:
    """The kernels of a file so far, in its order, and what went wrong on the way."""

    def __init__(self, numerals: Numerals | None = None) -> None:
        """Start with nothing read and with what is known of the file's locale."""
        self.numerals = Numerals() if numerals is None else numerals
        self.parts: list[Launches | list[Draft]] = []
        self.drafts: dict[Hashable, Draft] = {}
        self.warnings: Counter[str] = Counter()
        self.log = ""  # what the tools and the program printed beside the tables
        self.tables = 0
        self.run = 0  # nvprof's: a file may hold several
        self.heading = ""  # nvprof's, over its tables
        self.last_line = ""  # the last one outside the tables that was not blank
        self._names: dict[str, str] = {}
        self._launches = 0

    def name(self, kernel: str) -> str:
        """Share the text of a kernel's name among its many launches."""
        return self._names.setdefault(kernel, kernel)

    def factor(self, metric: str, unit: str) -> float:
        """Say what a unit is in base units; NaN, with a warning, if it is none of its metric."""
        factor = ncu_factor(metric, unit)
        if factor != factor:  # NaN, at the price of no call
            self.warnings[f'"{unit}" is no known unit of {metric}: not taken'] += 1
        return factor

    def add_scaled(
        self, draft: Draft, name: str, unit: str, values: Sequence[float], other: str | None = None
    ) -> bool:
        """Keep a value of ncu, or its average, minimum and maximum; False if it was not taken.

        `other` names it where the same label stands for another value in another section.
        """
        if len(values) == 3 and self.contradict(draft.kernel, name, *values):
            return False
        return draft.add_scaled(name, self.factor(name, unit), values, other)

    def contradict(self, kernel: str, name: str, average: float, low: float, high: float) -> bool:
        """Warn of an average that does not lie between its ends; printing rounds all alike."""
        slack = _ROUNDING * max(abs(low), abs(high))
        if not (low > high + slack or average > high + slack or average < low - slack):
            return False
        self.warnings[
            f'{name} of "{kernel}" contradicts itself: not taken '
            f"(minimum {low:g}, maximum {high:g}, average {average:g})"
        ] += 1
        return True

    def warn_of_repeats(
        self, repeats: Sequence[tuple[str, int, int]], cells: Sequence[str]
    ) -> None:
        """Warn of columns of one name, at two places of a row, that hold two values."""
        for name, first, again in repeats:
            if cells[first] != cells[again]:
                self.warnings[
                    f"there are several columns {name}, of several values: the first is taken"
                ] += 1

    def next_launch(self) -> int:
        """Count a launch where the tool prints no number for it."""
        self._launches += 1
        return self._launches - 1

    def begin(self, draft: Draft) -> Draft:
        """Put a new kernel at the end of the list."""
        last = self.parts[-1] if self.parts else None
        if isinstance(last, list):
            last.append(draft)
        else:
            self.parts.append([draft])
        return draft

    def begin_launches(self, tool: str, metrics: Sequence[str]) -> Launches:
        """Put a table of launches at the end of the list."""
        launches = Launches(tool, metrics)
        self.parts.append(launches)
        return launches

    def finish(self) -> Kernels:
        """Close all records."""
        self.drafts.clear()
        for part in self.parts:
            for kernel in part if isinstance(part, list) else ():
                if kernel.stated_pct is not None:
                    self._warn_of_rule(kernel.kernel, kernel.stated_pct, kernel.metrics)
        return Kernels(self.parts)

    def _warn_of_rule(self, kernel: str, stated: float, metrics: Mapping[str, float]) -> None:
        if load_efficiency(metrics) is None:
            self.warnings[
                f'the load efficiency of "{kernel}" is not in the file, but a rule of ncu puts '
                f"it at about {stated:.0f} %"
            ] += 1


def _profile(
    kernel: str,
    tool: str,
    device: str | None,
    launch: int | None,
    invocations: int | None,
    metrics: dict[str, float],
    no_value: Mapping[str, str],
    low: float | None = None,
    high: float | None = None,
) -> KernelProfile:
    """Make the record of a kernel from its metrics: the efficiencies follow from them."""
    load = load_efficiency(metrics)
    definition = None if load is None else tool
    store = store_efficiency(metrics)
    return KernelProfile(  # by place, as names take half as long again
        kernel, tool, device, launch, invocations,
        load, low, high, definition, store, metrics, no_value,
    )  # fmt: skip
