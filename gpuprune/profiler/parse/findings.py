"""What is gathered while a captured file is read."""

from array import array
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Protocol

from gpuprune.profiler.parse.metrics import (
    RANGED,
    is_combined,
    load_efficiency,
    store_efficiency,
)
from gpuprune.profiler.parse.numerals import Numerals
from gpuprune.profiler.parse.quantities import scaled
from gpuprune.profiler.parse.records import KernelProfile

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
    lows: dict[str, float] | None = None
    highs: dict[str, float] | None = None
    stated_pct: float | None = None  # load efficiency in the words of a rule of ncu, rounded

    def add(
        self, name: str, value: float, low: float | None = None, high: float | None = None
    ) -> None:
        """Keep a value; of a name that comes twice, the first."""
        self.metrics.setdefault(name, value)
        if low is not None and high is not None and name in RANGED:
            self.lows, self.highs = self.lows or {}, self.highs or {}
            self.lows.setdefault(name, low)
            self.highs.setdefault(name, high)

    def add_scaled(
        self, name: str, factor: float, values: Sequence[float], other: str | None = None
    ) -> None:
        """Keep a value of ncu, or its average, minimum and maximum; NaN is no value.

        `other` names it where the same label stands for another value in another section.
        """
        products = [scaled(value, factor) for value in values]
        if all(map(isfinite, products)):
            is_another = self.metrics.get(name, products[0]) != products[0]
            self.add(other if other and is_another else name, *products)

    def finish(self) -> KernelProfile:
        """Compute the efficiencies and close the record."""
        # Of loads by LDG and by LDGSTS together, the ends do not follow from those of each.
        ends = (None, None) if is_combined(self.metrics) else (self.lows, self.highs)
        low, high = (load_efficiency(values) if values else None for values in ends)
        return _profile(
            *(self.kernel, self.tool, self.device, self.launch, self.invocations),
            *(self.metrics, low, high),
        )


class Launches:
    """The launches of a table that has each in a row, by columns.

    A row takes eight bytes a number: of a million launches, records would fill gigabytes.
    """

    def __init__(self, tool: str, metrics: Iterable[str]) -> None:
        """Begin without a launch, with the names of the columns."""
        self._tool = tool
        self._metrics = tuple(metrics)
        self._kernels: list[str] = []
        self._devices: list[str | None] = []
        self._numbers = array("q")
        self._values = array("d")  # (launches, metrics), NaN where there is none

    def add(self, kernel: str, device: str | None, number: int, values: Iterable[float]) -> None:
        """Keep a launch with a value for each column."""
        self._kernels.append(kernel)
        self._devices.append(device)
        self._numbers.append(number)
        self._values.extend(values)

    def __len__(self) -> int:
        return len(self._kernels)

    def __iter__(self) -> Iterator[KernelProfile]:
        names, width, values = self._metrics, len(self._metrics), self._values
        identities = zip(self._kernels, self._devices, self._numbers, strict=True)
        for at, (kernel, device, number) in enumerate(identities):
            row = zip(names, values[at * width : (at + 1) * width], strict=True)
            metrics = {name: value for name, value in row if value == value}
            yield _profile(kernel, self._tool, device, number, None, metrics)


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

    def begin_launches(self, tool: str, metrics: Iterable[str]) -> Launches:
        """Put a table of launches at the end of the list."""
        launches = Launches(tool, metrics)
        self.parts.append(launches)
        return launches

    def finish(self) -> Kernels:
        """Close all records."""
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
    low: float | None = None,
    high: float | None = None,
) -> KernelProfile:
    """Make the record of a kernel from its metrics: the efficiencies follow from them."""
    efficiency = load_efficiency(metrics)
    return KernelProfile(
        kernel=kernel,
        tool=tool,
        device=device,
        launch=launch,
        invocations=invocations,
        gld_efficiency_pct=efficiency,
        gld_min_pct=low,
        gld_max_pct=high,
        gld_definition=None if efficiency is None else tool,
        gst_efficiency_pct=store_efficiency(metrics),
        metrics=metrics,
    )
