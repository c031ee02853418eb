"""What `baseline` and `calibrate` do and say: tables to stdout, the conversation to stderr."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

import click

from gpuprune import fresh, gate, report, verdicts
from gpuprune.cli import terminal
from gpuprune.cli.gate_console import loaded, with_profile
from gpuprune.config import Sweep
from gpuprune.errors import GpupruneError
from gpuprune.fresh import HEAD, Measured, Say
from gpuprune.records import Result
from gpuprune.regression import MeasurementFailed
from gpuprune.regression.arm import Cell, name_of
from gpuprune.regression.baseline import Baseline, baseline_of
from gpuprune.regression.efficiency import FIGURE, name_settings, product_of, read_profile
from gpuprune.regression.rule import FEWEST_RUNS
from gpuprune.regression.verdict import Verdict
from gpuprune.stats import interquartile_range
from gpuprune.storage import require_replaceable
from gpuprune.units import format_count, format_percent, format_seconds


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
    runs: int | None,
    run_files: Sequence[Path],
    *,
    profile: Path | None,
    most_points: float,
    force: bool,
    reason: str | None,
    say: Say,
) -> int:
    """Measure again and write it over; returns 1, and writes nothing, where it may be slower."""
    older = Baseline.load(path)
    require_replaceable(path, b"{", "baseline")
    needed = max(FEWEST_RUNS["baseline"], older.arm.runs)
    asked = len(run_files) or runs or needed
    if asked < needed:
        raise _too_few(format_count(asked, "run"), needed)
    rows = read_profile(profile) if profile else older.profile
    found = _measured(older.conditions.sweep, asked, run_files, force, say)
    newer = replace(baseline_of(found, profile=rows, disturbed_too=force), accepted=older.accepted)
    _require_all_runs(newer, needed)
    comparison = gate.against_baseline(older, found)
    comparison = with_profile(comparison, older, rows if profile else None, most_points)
    terminal.show(verdicts.summary(comparison))
    if held := sum(one.may_be_slower for one in comparison.verdicts):
        if reason is None:
            say(
                f"Nothing was written: {format_count(held, 'verdict')} may be slower; "
                'more --runs may tell, and --accept-slower "WHY" takes it over.'
            )
            return 1
        newer = newer.accept(reason, older)
    _write(path, newer, say)
    return 0


def show_baseline(path: Path, output_format: report.Format) -> None:
    """Show a baseline's conditions, its cells and its load efficiencies; as CSV its cells."""
    found = Baseline.load(path)
    rows = [_cell_row(found, cell) for cell in found.arm.times]
    if output_format == "csv":
        click.echo(report.csv_text(rows))
        return
    if output_format == "json":
        cells = ({"record": "cell", **row} for row in rows)
        figures = ({"record": "efficiency", **row} for row in found.profile)
        click.echo(report.json_lines([found.header(), *cells, *figures]))
        return
    markdown = output_format == "markdown"
    parts = ["\n".join(_conditions_for_people(found, markdown)), _cell_table(rows, markdown)]
    if found.profile:
        parts.append(_efficiency_table(found, markdown))
    terminal.show("\n\n".join(parts), output_format)


def calibrate(asked: Sweep, runs: int, output_format: report.Format, say: Say) -> None:
    """Hold the same code against itself, and print what that says of the runner."""
    first, second = replace(HEAD, name="first side"), replace(HEAD, name="second side")
    found = fresh.fresh_runs(asked, [first, second], runs, say)
    comparison = gate.against_base(found[first.name], found[second.name])
    alike = groupby(comparison.verdicts, key=lambda one: (one.level, one.contender))
    rows = [row for key, own in alike if (row := _calibration_row(*key, list(own)))]
    programs = output_format in ("json", "csv")
    shown = rows if programs else [_in_percent(row) for row in rows]
    terminal.show(report.listing(shown, output_format), output_format)
    if not programs:
        floor = comparison.terms.floor
        most = max((row["drift_max"] for row in rows), default=0.0)
        terminal.show(
            f"\nThe floor here is {format_percent(floor)}; 1.5 times the largest drift is "
            f"{format_percent(1.5 * most)}." + _proposed_floor(1.5 * most, floor),
            output_format,
        )


def _require_new(path: Path) -> None:
    """Refuse a file that exists, before anything is measured."""
    if path.exists() or path.is_symlink():
        raise GpupruneError(
            f"{path} exists",
            hint="gpuprune baseline update measures it anew; or take another name",
        )
    require_replaceable(path, b"", "baseline")


def _too_few(what: str, needed: int) -> GpupruneError:
    return GpupruneError(
        f"{what} cannot replace this baseline: {needed} are needed",
        hint=f"take --runs {needed} or more, or record another file",
    )


def _require_all_runs(baseline: Baseline, needed: int) -> None:
    """Refuse a cell that was timed in too few runs to be held against later."""
    for cell in baseline.arm.timed():
        count = sum(one is not None for one in baseline.arm.times[cell])
        if count < needed:
            raise _too_few(f"{format_count(count, 'time')} of {name_of(cell)}", needed)


def _proposed_floor(drift: float, floor: float) -> str:
    if drift <= floor:
        return ""
    share = ceil(100 * drift) / 100  # rounded down it would not cover the drift
    if share > 1:
        return " No floor helps here: leave the runner alone while it measures."
    return f" Take --floor {share:.2f}."


def _measured(
    asked: Sweep, runs: int, run_files: Sequence[Path], force: bool, say: Say
) -> list[Measured]:
    def require(results: Sequence[Result]) -> None:
        if not force:
            fresh.require_undisturbed(results)

    found = loaded(run_files, say)
    gate.require_alike(found)
    for _, results in found:
        require(results)
    return found or fresh.fresh_runs(asked, [HEAD], runs, say, each=require)["head"]


def _write(path: Path, baseline: Baseline, say: Say) -> None:
    if not baseline.arm.timed():
        reasons = dict.fromkeys(baseline.arm.faults.values())
        raise MeasurementFailed(
            f"no cell was timed: {'; '.join(reasons)}", hint="see what `gpuprune bench` says"
        )
    baseline.save(path)
    cells, runs = len(baseline.arm.timed()), baseline.arm.runs
    say(f"{path} holds {format_count(cells, 'cell')} of {format_count(runs, 'run')}.")
    for hole in baseline.arm.holes():
        say(f"Warning: {report.printable(hole)}.")
    if runs < FEWEST_RUNS["baseline"]:
        say("Warning: fewer than five runs hardly tell noise from change.")


def _cell_row(baseline: Baseline, cell: Cell) -> dict[str, Any]:
    case, contender = cell
    times = [one for one in baseline.arm.times[cell] if one]
    return {
        **case.layer(),
        "rate": case.rate,
        "group": case.group,
        "contender": contender,
        "runs": len(times),
        "median_s": median(times) if times else None,
        "spread": interquartile_range(times) / median(times) if times else None,
        "fault": baseline.arm.faults.get(cell),
    }


def _conditions_for_people(baseline: Baseline, markdown: bool) -> list[str]:
    show = report.escape if markdown else report.printable
    where, arm = baseline.conditions, baseline.arm
    counts = (
        format_count(arm.runs, "run"),
        format_count(len(arm.times), "cell"),
        format_count(len(baseline.profile), "load efficiency", "load efficiencies"),
    )
    return [
        f"Recorded {show(baseline.recorded)} by gpuprune {show(where.version)} on "
        f"{show(where.environment['device_name'])}: {', '.join(counts)}.",
        *(
            f"Let get slower {show(entry['on'])}: {show(entry['reason'])}"
            for entry in baseline.accepted
        ),
    ]


def _cell_table(rows: Sequence[Mapping[str, Any]], markdown: bool) -> str:
    headers = ["contender", "rate", "group", "shape", "median", "between runs"]
    cells = [_cell_for_people(row) for row in rows]
    if any(row["weights"] for row in rows):
        headers.insert(0, "layer")
        cells = [
            [report.printable(row["weights"] or "-"), *cell]
            for row, cell in zip(rows, cells, strict=True)
        ]
    left = [headers.index(name) for name in ("layer", "contender") if name in headers]
    return report.table(headers, cells, markdown, left=left)


def _efficiency_table(baseline: Baseline, markdown: bool) -> str:
    headers = ["product", "rate", "group", "load efficiency"]
    cells = [
        [
            report.printable(", ".join([product_of(row), *setting])),
            "-" if row["rate"] is None else f"{row['rate']:g}",
            "-" if row["group"] is None else str(row["group"]),
            "-" if row[FIGURE] is None else f"{row[FIGURE]:.1f} %",
        ]
        for row, setting in zip(baseline.profile, name_settings(baseline.profile), strict=True)
    ]
    return report.table(headers, cells, markdown, left=(0,))


def _cell_for_people(row: Mapping[str, Any]) -> list[str]:
    return [
        report.printable(row["contender"]),
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
