"""What `baseline` and `calibrate` do and say: tables to stdout, the conversation to stderr."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

import click

from gpuprune import gate, report, verdicts
from gpuprune.cli.gate_console import loaded, require_directory
from gpuprune.config import Sweep
from gpuprune.errors import GpupruneError
from gpuprune.gate import HEAD, Measured, Say
from gpuprune.records import Result
from gpuprune.regression import MeasurementFailed
from gpuprune.regression.arm import Cell
from gpuprune.regression.baseline import Baseline, baseline_of
from gpuprune.regression.efficiency import read_profile
from gpuprune.regression.rule import FEWEST_RUNS
from gpuprune.regression.verdict import Verdict
from gpuprune.stats import interquartile_range
from gpuprune.units import format_percent, format_seconds


def record(
    output: Path,
    asked: Sweep,
    runs: int,
    run_files: Sequence[Path],
    *,
    profile: Path | None,
    force: bool,
    say: Say,
) -> None:
    """Measure and write a baseline."""
    _require_new(output)
    rows = read_profile(profile) if profile else []
    found = _measured(asked, runs, run_files, force, say)
    _write(output, baseline_of(found, profile=rows, disturbed_too=force), say)


def update(
    path: Path,
    runs: int,
    run_files: Sequence[Path],
    *,
    profile: Path | None,
    force: bool,
    reason: str | None,
    say: Say,
) -> int:
    """Measure again and write it over; returns 1, and writes nothing, where it got slower."""
    older = Baseline.load(path)
    rows = read_profile(profile) if profile else older.profile
    found = _measured(older.conditions.sweep, runs, run_files, force, say)
    comparison = gate.against_baseline(older, found)
    click.echo(verdicts.summary(comparison))
    newer = replace(baseline_of(found, profile=rows, disturbed_too=force), accepted=older.accepted)
    if any(one.fails for one in comparison.verdicts):
        if reason is None:
            say('Nothing was written: --accept-slower "WHY" takes it over.')
            return 1
        newer = newer.accept(reason, older)
    _write(path, newer, say)
    return 0


def show_baseline(path: Path, output_format: report.Format) -> None:
    """Show a baseline's conditions, for people, and its cells."""
    found = Baseline.load(path)
    rows = [_cell_row(found, cell) for cell in found.arm.times]
    if output_format in ("json", "csv"):
        click.echo(report.listing(rows, output_format))
        return
    where = found.conditions
    lines = [
        f"Recorded {found.recorded} by gpuprune {where.version} on "
        f"{report.printable(str(where.environment['device_name']))}: {found.arm.runs} runs, "
        f"{len(rows)} cells, {len(found.profile)} load efficiencies.",
        *(
            f"Let get slower {entry['on']}: {report.printable(entry['reason'])}"
            for entry in found.accepted
        ),
    ]
    headers = ["contender", "rate", "group", "shape", "median", "between runs"]
    cells = [_cell_for_people(row) for row in rows]
    markdown = output_format == "markdown"
    click.echo("\n".join(lines) + "\n\n" + report.table(headers, cells, markdown, left=(0,)))


def calibrate(asked: Sweep, runs: int, output_format: report.Format, say: Say) -> None:
    """Hold the same code against itself, and print what that says of the runner."""
    first, second = replace(HEAD, name="first side"), replace(HEAD, name="second side")
    found = gate.fresh_runs(asked, [first, second], runs, say)
    comparison = gate.against_base(found[first.name], found[second.name])
    alike = groupby(comparison.verdicts, key=lambda one: (one.level, one.contender))
    rows = [row for key, own in alike if (row := _calibration_row(*key, list(own)))]
    programs = output_format in ("json", "csv")
    shown = rows if programs else [_in_percent(row) for row in rows]
    click.echo(report.listing(shown, output_format))
    if not programs:
        floor = comparison.terms.floor
        most = max((row["drift_max"] for row in rows), default=0.0)
        click.echo(
            f"\nThe floor here is {format_percent(floor)}; 1.5 times the largest drift is "
            f"{format_percent(1.5 * most)}."
            + (f" Take --floor {1.5 * most:.2f}." if 1.5 * most > floor else "")
        )


def _require_new(path: Path) -> None:
    """Refuse a file that exists, before anything is measured."""
    if path.exists() or path.is_symlink():
        raise GpupruneError(
            f"{path} exists",
            hint="gpuprune baseline update measures it anew; or take another name",
        )
    require_directory(path)


def _measured(
    asked: Sweep, runs: int, run_files: Sequence[Path], force: bool, say: Say
) -> list[Measured]:
    def require(results: Sequence[Result]) -> None:
        if not force:
            gate.require_undisturbed(results)

    found = loaded(run_files, say)
    for _, results in found:
        require(results)
    return found or gate.fresh_runs(asked, [HEAD], runs, say, each=require)["head"]


def _write(path: Path, baseline: Baseline, say: Say) -> None:
    if not baseline.arm.timed():
        reasons = dict.fromkeys(baseline.arm.faults.values())
        raise MeasurementFailed(
            f"no cell was timed: {'; '.join(reasons)}", hint="see what `gpuprune bench` says"
        )
    baseline.save(path)
    cells, runs = len(baseline.arm.timed()), baseline.arm.runs
    say(f"{path} holds {cells} cells of {runs} run{'s' * (runs != 1)}.")
    if runs < FEWEST_RUNS["baseline"]:
        say("Warning: fewer than five runs hardly tell noise from change.")


def _cell_row(baseline: Baseline, cell: Cell) -> dict[str, Any]:
    case, contender = cell
    times = [one for one in baseline.arm.times[cell] if one]
    return {
        "weights": case.weights,
        "rows": case.rows,
        "cols": case.cols,
        "batch": case.batch,
        "rate": case.rate,
        "group": case.group,
        "contender": contender,
        "runs": len(times),
        "median_s": median(times) if times else None,
        "spread": interquartile_range(times) / median(times) if times else None,
        "fault": baseline.arm.faults.get(cell),
    }


def _cell_for_people(row: dict[str, Any]) -> list[str]:
    return [
        row["contender"],
        f"{row['rate']:g}",
        str(row["group"]),
        f"{row['rows']}x{row['cols']}x{row['batch']}",
        format_seconds(row["median_s"]) if row["runs"] else "-",
        format_percent(row["spread"]) if row["runs"] else "-",
    ]


def _calibration_row(level: str, contender: str, own: Sequence[Verdict]) -> dict[str, Any] | None:
    drifts = [abs(one.change) for one in own if one.change is not None]
    noises = [one.noise for one in own if one.noise is not None]
    visible = [one.visible for one in own if one.visible is not None]
    if not drifts or not noises or not visible:
        return None
    return {
        "level": level,
        "contender": contender,
        "verdicts": len(own),
        "noise": median(noises),
        "drift": median(drifts),
        "drift_max": max(drifts),
        "threshold": max(one.threshold or 0.0 for one in own),
        "visible": median(visible),
        "visible_max": max(visible),
    }


def _in_percent(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: format_percent(value) if isinstance(value, float) else value
        for name, value in row.items()
    }
