"""What runs say of their machines and of how they were timed, a row a fact."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gpuprune.accuracy.records import Header
from gpuprune.records import Run
from gpuprune.units import format_bytes, format_seconds

_ABSENT = "-"


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One row of the table of machines: what is told, and what each run tells."""

    name: str
    values: tuple[str, ...]


def facts(runs: Sequence[tuple[Path, Run | Header]]) -> list[Fact]:
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


def _told(path: Path, run: Run | Header) -> dict[str, str]:
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
        if isinstance(value, Mapping):
            inner = {f"{name}: {key}": text for key, text in _flat(value).items()}
            found |= {key.removeprefix("packages: "): text for key, text in inner.items()}
            continue
        found[name.removesuffix("_s").removesuffix("_bytes")] = _with_unit(name, value)
    return found


def _with_unit(name: str, value: object) -> str:
    if value is None:
        return _ABSENT
    if isinstance(value, int | float) and not isinstance(value, bool):
        if name.endswith("bytes_per_s"):
            return f"{format_bytes(value)}/s"
        if name.endswith("_bytes"):
            return format_bytes(value)
        if name.endswith("_s"):
            return format_seconds(value)
        return f"{value:.6g}"
    return str(value)
