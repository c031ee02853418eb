"""What is kept of a profiled kernel, and of a file of them."""

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TypeVar, overload

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelProfile:
    """A launch of a kernel, or all its launches together; None is "not in this file"."""

    kernel: str
    tool: str  # "ncu" or "nvprof"
    device: str | None
    launch: int | None  # from 0 on; None where invocations are summed up
    invocations: int | None
    gld_efficiency_pct: float | None  # the average where there are several
    gld_min_pct: float | None
    gld_max_pct: float | None
    gld_definition: str | None  # whose: nvprof counts every lane, ncu distinct bytes
    gst_efficiency_pct: float | None
    metrics: Mapping[str, float]  # base units (ns, byte, hz, %), by the tool's own names


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The kernels of one file, in its order, and what the reader could not take as good."""

    kernels: tuple[KernelProfile, ...]
    warnings: tuple[str, ...]


class Row(Mapping[str, float]):
    """Metrics of one launch whose names are shared with the other rows of its table.

    A raw page has near 800 columns and ten thousands of rows: a dict a row is a gigabyte.
    """

    __slots__ = ("_columns", "_values")

    def __init__(self, columns: Mapping[str, int], values: "array[float]") -> None:
        """Join the positions of the names with the values; NaN stands for a missing one."""
        self._columns = columns
        self._values = values

    def __getitem__(self, name: str) -> float:
        value = self._values[self._columns[name]]
        if value != value:
            raise KeyError(name)
        return value

    @overload
    def get(self, name: str, /) -> float | None: ...
    @overload
    def get(self, name: str, default: float | T, /) -> float | T: ...
    def get(self, name: str, default: object = None, /) -> object:
        """Look a value up as a dict does, without the cost of an exception."""
        at = self._columns.get(name)
        if at is None or self._missing(at):
            return default
        return self._values[at]

    def __iter__(self) -> Iterator[str]:
        return (name for name, at in self._columns.items() if not self._missing(at))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"Row({dict(self)})"

    def _missing(self, at: int) -> bool:
        return self._values[at] != self._values[at]


def as_json(profile: KernelProfile) -> dict[str, object]:
    """Turn a profile into the object that `gpuprune profile --format json` prints."""
    record = {field.name: getattr(profile, field.name) for field in fields(profile)}
    return record | {"metrics": dict(profile.metrics)}
