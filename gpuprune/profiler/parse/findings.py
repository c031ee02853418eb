"""What is gathered while a captured file is read."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Protocol

from gpuprune.profiler.parse.metrics import RANGED, load_efficiency, store_efficiency
from gpuprune.profiler.parse.numerals import Numerals
from gpuprune.profiler.parse.quantities import scaled
from gpuprune.profiler.parse.records import KernelProfile


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

    def add_scaled(self, name: str, factor: float, values: Sequence[float]) -> None:
        """Keep a value of ncu, or its average, minimum and maximum; NaN is no value."""
        products = [scaled(value, factor) for value in values]
        if all(map(isfinite, products)):
            self.add(name, *products)

    def finish(self) -> KernelProfile:
        """Compute the efficiencies and close the record."""
        return profile(
            kernel=self.kernel,
            tool=self.tool,
            device=self.device,
            launch=self.launch,
            invocations=self.invocations,
            metrics=self.metrics,
            low=load_efficiency(self.lows) if self.lows else None,
            high=load_efficiency(self.highs) if self.highs else None,
        )


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
        self.kernels: list[KernelProfile | Draft] = []
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
        self.kernels.append(draft)
        return draft

    def finish(self) -> tuple[KernelProfile, ...]:
        """Close all records."""
        for kernel in self.kernels:
            if isinstance(kernel, Draft) and kernel.stated_pct is not None:
                self._warn_of_rule(kernel.kernel, kernel.stated_pct, kernel.metrics)
        return tuple(
            kernel.finish() if isinstance(kernel, Draft) else kernel for kernel in self.kernels
        )

    def _warn_of_rule(self, kernel: str, stated: float, metrics: Mapping[str, float]) -> None:
        if load_efficiency(metrics) is None:
            self.warnings[
                f'the load efficiency of "{kernel}" is not in the file, but a rule of ncu puts '
                f"it at about {stated:.0f} %"
            ] += 1


def profile(
    *,
    kernel: str,
    tool: str,
    device: str | None,
    launch: int | None,
    invocations: int | None,
    metrics: Mapping[str, float],
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
