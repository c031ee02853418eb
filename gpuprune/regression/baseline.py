"""The baseline file: what several fresh runs measured, where and how, in one JSON document."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, NoReturn, Self

from gpuprune.config import Sweep
from gpuprune.errors import GpupruneError
from gpuprune.records import Case, Contract, Result, Run
from gpuprune.regression import Incomparable
from gpuprune.regression.arm import Arm, Cell, name_of, require_time
from gpuprune.regression.efficiency import checked
from gpuprune.resuming import now
from gpuprune.soundness import case_fault, environment_fault, is_time
from gpuprune.storage import write_whole

SCHEMA = 3  # 1 had neither profile figures nor what was accepted, 2 no digest of a mask
_PATTERNS_SINCE = 3
_MOST_FILE_BYTES = 256 << 20
_RUN = '{"record":"run",'  # how a run file begins
_RECORD_AGAIN = "record it again: gpuprune baseline record -o FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Under what a side was measured."""

    version: str  # of gpuprune
    configuration: Mapping[str, Any]  # as a run file keeps it, lists in order, device resolved
    environment: Mapping[str, Any]
    contract: Contract
    resolution_s: float  # smallest difference that the clock shows

    @classmethod
    def of(cls, run: Run) -> Self:
        """Take the conditions of a run; raises GpupruneError where it does not tell them."""
        configuration, environment = dict(run.configuration), run.environment
        try:
            for name in ("rates", "groups", "shape"):  # runs shuffle them
                configuration[name] = sorted(configuration[name])
            if configuration["device"] == "auto":
                configuration["device"] = environment["device"]
        except (KeyError, TypeError) as error:
            raise GpupruneError(
                f"the run that began {run.started} has no configuration of a sweep: {error}",
                hint="give a file as `gpuprune bench --output` wrote it",
            ) from None
        configuration["threads"] = environment["threads"]
        return cls(
            version=run.version,
            configuration=configuration,
            environment=environment,
            contract=run.contract,
            resolution_s=run.calibration.resolution_s,
        )

    @property
    def sweep(self) -> Sweep:
        """The sweep that measures the same again."""
        values = {k: v for k, v in self.configuration.items() if k != "weights_sha256"}
        return Sweep.from_json(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What a candidate is held against."""

    recorded: str  # ISO 8601, with the offset
    conditions: Conditions
    arm: Arm
    profile: tuple[Mapping[str, Any], ...] = ()  # rows of `gpuprune profile --format json`
    accepted: tuple[Mapping[str, str], ...] = ()  # when it was let get slower, and why

    def accept(self, reason: str, older: Self) -> Self:
        """Return it with the history of the baseline it replaces, and one more reason."""
        entry = {"on": self.recorded, "reason": reason}
        return replace(self, accepted=(*older.accepted, entry))

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        write_whole(path, self._text().encode())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file; raises Incomparable for whatever is no baseline that can be used."""
        try:
            return cls._parse(_migrate(_read(path), path))
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise Incomparable(f"{path} is damaged: {what}", hint=_RECORD_AGAIN) from None
        except Incomparable:
            raise
        except GpupruneError as error:
            raise Incomparable(f"{path} is damaged: {error}", hint=_RECORD_AGAIN) from None

    @classmethod
    def _parse(cls, table: dict[str, Any]) -> Self:
        found = cls(
            recorded=_text_of(table["recorded"]),
            conditions=_parse_conditions(table["conditions"]),
            arm=_parse_arm(table),
            profile=tuple(checked(row) for row in table["profile"]),
            accepted=tuple(
                {name: _text_of(entry[name]) for name in ("on", "reason")}
                for entry in table["accepted"]
            ),
        )
        _ = found.conditions.sweep  # which is where a wrong type shows
        return found

    def header(self) -> dict[str, Any]:
        """Return all of it but the cells and the load efficiencies, JSON-ready."""
        return {
            "record": "baseline",
            "schema": SCHEMA,
            "recorded": self.recorded,
            "runs": self.arm.runs,
            "conditions": asdict(self.conditions),
            "accepted": [dict(entry) for entry in self.accepted],
        }

    def _text(self) -> str:
        # A cell a line: what changed is read in a diff.
        parts = [
            f" {json.dumps(name)}: {json.dumps(value, allow_nan=False)}"
            for name, value in self.header().items()
        ]
        parts.append(_list_text("profile", [dict(row) for row in self.profile]))
        parts.append(_list_text("cells", _cell_rows(self.arm)))
        return "{\n" + ",\n".join(parts) + "\n}\n"


def baseline_of(
    runs: Sequence[tuple[Run, Sequence[Result]]],
    *,
    profile: Sequence[Mapping[str, Any]] = (),
    disturbed_too: bool = False,
) -> Baseline:
    """Make a baseline of fresh runs of one sweep on one machine; raises GpupruneError."""
    arm = Arm.of([results for _, results in runs], disturbed_too=disturbed_too)
    for cell in arm.timed():
        if cell not in arm.patterns:
            raise GpupruneError(
                f"the runs do not tell which weights {name_of(cell)} kept",
                hint="measure them again; they are of an older gpuprune",
            )
    return Baseline(
        recorded=now(),
        conditions=Conditions.of(runs[0][0]),
        arm=arm,
        profile=tuple(profile),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        if not path.exists():
            raise Incomparable(
                f"there is no baseline {path}", hint=f"gpuprune baseline record -o {path}"
            )
        if not path.is_file() or path.stat().st_size > _MOST_FILE_BYTES:
            raise Incomparable(f"{path} is no baseline file", hint=_RECORD_AGAIN)
        text = path.read_text(encoding="utf-8")
        if text.startswith(_RUN):
            raise Incomparable(
                f"{path} is a run, and no baseline",
                hint=f"gpuprune baseline record -o FILE --run {path} makes one of it",
            )
        table = json.loads(text, parse_constant=_refuse_constant)
    except OSError as error:
        raise Incomparable(
            f"cannot read {path}: {error.strerror}", hint="check the path and its permissions"
        ) from None
    except (ValueError, RecursionError) as error:
        raise Incomparable(
            f"{path} is empty, cut off or no baseline: {error}", hint=_RECORD_AGAIN
        ) from None
    if not isinstance(table, dict) or table.get("record") != "baseline":
        raise Incomparable(f"{path} is no baseline", hint=_RECORD_AGAIN)
    return table


def _migrate(table: dict[str, Any], path: Path) -> dict[str, Any]:
    schema = table.get("schema")
    if type(schema) is not int or schema < 1:
        raise Incomparable(f"{path} has an unknown schema {schema!r}", hint=_RECORD_AGAIN)
    if schema > SCHEMA:
        raise Incomparable(
            f"{path} has schema {schema}, and this gpuprune reads up to {SCHEMA}",
            hint="check with a newer gpuprune: pip install --upgrade gpuprune",
        )
    if schema < _PATTERNS_SINCE:
        cells = [{"pattern": None, **row} for row in table["cells"]]
        table = {"profile": [], "accepted": [], **table, "cells": cells}
    return table


def _parse_conditions(table: Mapping[str, Any]) -> Conditions:
    values = dict(table)
    contract = values.pop("contract")
    # Whatever is left out would agree with any candidate.
    if missing := {field.name for field in fields(Contract)} - contract.keys():
        raise ValueError(f"its contract lacks {', '.join(sorted(missing))}")
    found = Conditions(contract=Contract(**contract), **values)
    if fault := environment_fault(found.environment):
        raise ValueError(fault)
    if not is_time(found.resolution_s):
        raise ValueError(f"a clock with a resolution of {found.resolution_s} s")
    _text_of(found.version)
    return found


def _parse_arm(table: Mapping[str, Any]) -> Arm:
    runs = table["runs"]
    times: dict[Cell, tuple[float | None, ...]] = {}
    faults, patterns = {}, {}
    for row in table["cells"]:
        cell = (Case(**row["case"]), _text_of(row["contender"]))
        if case_fault(cell[0]):
            raise ValueError(f"no case is {row['case']}")
        if cell in times:
            raise ValueError(f"{name_of(cell)} stands in it twice")
        seconds = row["median_s"]
        if len(seconds) != runs:
            raise ValueError(f"a cell has {len(seconds)} times, and there were {runs} runs")
        times[cell] = tuple(one if one is None else require_time(one, cell) for one in seconds)
        if row["fault"] is not None:
            faults[cell] = _text_of(row["fault"])
        if row["pattern"] is not None:
            patterns[cell] = _text_of(row["pattern"])
        elif any(times[cell]) and table["schema"] >= _PATTERNS_SINCE:
            raise ValueError(f"{name_of(cell)} has a time and no pattern")
    if not any(any(seconds) for seconds in times.values()):
        raise ValueError("it holds no time")
    return Arm(runs=runs, times=times, faults=faults, wrong=frozenset(), patterns=patterns)


def _text_of(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.80} is no text")
    return value


def _cell_rows(arm: Arm) -> list[dict[str, Any]]:
    return [
        {
            "case": asdict(case),
            "contender": contender,
            "pattern": arm.patterns.get((case, contender)),
            "median_s": list(seconds),
            "fault": arm.faults.get((case, contender)),
        }
        for (case, contender), seconds in arm.times.items()
    ]


def _list_text(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    lines = ",\n".join(f"  {json.dumps(row, allow_nan=False)}" for row in rows)
    return f" {json.dumps(name)}: [\n{lines}\n ]" if rows else f" {json.dumps(name)}: []"


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"it holds {text}, which is no number")
