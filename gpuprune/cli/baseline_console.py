"""What `baseline` does and says: tables to stdout, the conversation to stderr."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import click

from gpuprune import fresh, gate, report, verdicts
from gpuprune.cli import terminal
from gpuprune.cli.gate_console import loaded
from gpuprune.config import Sweep
from gpuprune.errors import GpupruneError
from gpuprune.fresh import HEAD, Measured, Say
from gpuprune.records import Result, layer_name
from gpuprune.regression import keeping
from gpuprune.regression.arm import Cell
from gpuprune.regression.baseline import Baseline, baseline_of
from gpuprune.regression.efficiency import FIGURE, name_settings, product_of, read_profile
from gpuprune.regression.rule import FEWEST_RUNS
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
    asked = len(run_files) or runs or keeping.runs_needed(older)
    keeping.require_runs(asked, older)
    rows = read_profile(profile) if profile else older.profile
    found = _measured(older.conditions.sweep, asked, run_files, force, say)
    newer = replace(baseline_of(found, profile=rows, disturbed_too=force), accepted=older.accepted)
    keeping.require_all_runs(newer, older)
    comparison = gate.against_baseline(older, found)
    comparison = gate.with_profile(comparison, older, rows if profile else None, most_points)
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


def _require_new(path: Path) -> None:
    """Refuse a file that exists, before anything is measured."""
    if path.exists() or path.is_symlink():
        raise GpupruneError(
            f"{path} exists",
            hint="gpuprune baseline update measures it anew; or take another name",
        )
    require_replaceable(path, b"", "baseline")


def _measured(
    asked: Sweep, runs: int, run_files: Sequence[Path], force: bool, say: Say
) -> list[Measured]:
    def require(results: Sequence[Result]) -> None:
        if not force:
            fresh.require_undisturbed(results)

    found = loaded(run_files)
    gate.require_alike(found)
    for _, results in found:
        require(results)
    return found or fresh.fresh_runs(asked, [HEAD], runs, say, each=require)["head"]


def _write(path: Path, baseline: Baseline, say: Say) -> None:
    baseline.arm.require_times()
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
            [report.printable(layer_name(row["weights"], "-")), *cell]
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
