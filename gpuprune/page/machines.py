"""What runs say of their machines and of how they were timed, a row a fact."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gpuprune.records import Header, Run
from gpuprune.units import format_bytes, format_seconds

_ABSENT = "-"


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One row of the table of machines: what is told, and what each run tells."""

    name: str
    values: tuple[str, ...]


def facts(runs: Sequence[tuple[Path, Header]]) -> list[Fact]:
    """Lay out what each run tells, a column a run; what none of them tells is left out."""
    columns = [_told(path, run) for path, run in runs]
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [
        Fact(
            name=name.replace("_", " "),
            values=tuple(column.get(name, _ABSENT) for column in columns),
        )
        for name in names
    ]
    return [row for row in rows if set(row.values) != {_ABSENT}]


def _told(path: Path, run: Header) -> dict[str, str]:
    told = {
        "file": path.name,
        "started": run.started,
        "command": " ".join(["gpuprune", *map(str, run.arguments)]),
        "gpuprune": run.version,
        **_flat(run.environment),
    }
    if isinstance(run, Run):
        told |= {f"timing: {name}": text for name, text in _flat(asdict(run.contract)).items()}
        told |= {
            f"measured: {name}": text for name, text in _flat(asdict(run.calibration)).items()
        }
    return told


def _flat(values: Mapping[str, Any]) -> dict[str, str]:
    """Write each value out with its unit; of what is nested each part."""
    found: dict[str, str] = {}
    for name, value in values.items():
        title, write = _unit(name)
        if isinstance(value, Mapping):
            parts = {key: write(part) for key, part in value.items()}
            # A package is known by its own name.
            found |= parts if name == "packages" else {f"{title} {k}": v for k, v in parts.items()}
        else:
            found[title] = write(value)
    return found


def _unit(name: str) -> tuple[str, Callable[[object], str]]:
    """Split the unit from the name of a field; return what writes a value in it."""
    for suffix, (instead, write) in _UNITS.items():
        if name.endswith(suffix):
            return name.removesuffix(suffix) + instead, partial(_number, write)
    return name, partial(_number, "{:.6g}".format)


def _number(write: Callable[[float], str], value: object) -> str:
    if value is None:
        return _ABSENT
    if isinstance(value, int | float) and not isinstance(value, bool):
        return write(value)
    return str(value)


# By the end of a field's name: what stands there instead, and how a value is written.
_UNITS: dict[str, tuple[str, Callable[[float], str]]] = {
    "_bytes_per_s": (" rate", lambda value: f"{format_bytes(value)}/s"),
    "flops_per_s": ("arithmetic", lambda value: f"{value / 1e9:.0f} GFLOP/s"),
    "_bytes": ("", format_bytes),
    "_s": ("", format_seconds),
}
