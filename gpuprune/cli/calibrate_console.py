"""What `calibrate` does and says: a table to stdout, the conversation to stderr."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gpuprune import fresh, gate, report
from gpuprune.cli import terminal
from gpuprune.config import Sweep
from gpuprune.fresh import HEAD, Say
from gpuprune.regression import calibration
from gpuprune.regression.rule import DRIFT_FACTOR
from gpuprune.units import format_percent

_MOST_SHOWN = 10.0  # as a share; a product that is ten times as slow needs no statistics


def calibrate(asked: Sweep, runs: int, output_format: report.Format, say: Say) -> None:
    """Hold the same code against itself, and print what that says of the runner."""
    first, second = replace(HEAD, name="first side"), replace(HEAD, name="second side")
    found = fresh.fresh_runs(asked, [first, second], runs, say)
    comparison = gate.against_base(found[first.name], found[second.name])
    rows = calibration.rows(comparison.verdicts)
    if output_format in ("json", "csv"):
        terminal.show(report.listing(rows, output_format), output_format)
        return
    drift, floor = calibration.drift_to_cover(rows), comparison.terms.floor
    terminal.show(report.listing([*map(in_percent, rows)], output_format), output_format)
    terminal.show(
        f"\nThe floor here is {format_percent(floor)}; {DRIFT_FACTOR:g} times the largest drift "
        f"is {format_percent(drift)}.{_advice(drift) if drift > floor else ''}",
        output_format,
    )


def in_percent(row: Mapping[str, Any]) -> dict[str, Any]:
    """Write the shares of a row for people."""
    return {
        name: _percent(value) if isinstance(value, float) else value for name, value in row.items()
    }


def _advice(drift: float) -> str:
    share = calibration.floor_to_take(drift)
    if share is None:
        return " No floor helps here: leave the runner alone while it measures."
    return f" Take --floor {share:.2f}."


def _percent(share: float) -> str:
    """Write a share as people read it: what noise of a few runs leaves open has no end."""
    if share > _MOST_SHOWN:
        return f"over {format_percent(_MOST_SHOWN, 0)}"
    return format_percent(share)
