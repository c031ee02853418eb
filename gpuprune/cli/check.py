"""gpuprune check."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from gpuprune.cli import options
from gpuprune.cli.baseline import MAX_POINTS, PROFILE, RUN

EXAMPLES = """\b
Examples:
  gpuprune check --baseline baseline.json
  gpuprune check --baseline baseline.json --run run1.jsonl --run run2.jsonl --run run3.jsonl
  gpuprune check --base ../main/.venv/bin/python --config bench_configs/ci.toml --runs 5
  gpuprune check --baseline baseline.json --explain csr,0.9,8
"""


@click.command(epilog=EXAMPLES)
@click.option("--baseline", type=options.FILE, metavar="FILE", help="Hold against this file.")
@click.option(
    "--base", metavar="PYTHON", help="Hold against the gpuprune of this interpreter, in turns."
)
@options.option(
    "--runs",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    help="Fresh processes; 0 with --profile measures no times.",
)
@RUN
@PROFILE
@MAX_POINTS
@options.option(
    "--floor",
    type=options.FiniteRange(0, 1),
    metavar="SHARE",
    help="Smallest change that counts.  [default: 0.03 on a GPU, 0.10 on a CPU]",
)
@options.option("--strict", is_flag=True, help="UNSURE fails as well.")
@click.option(
    "--explain",
    metavar="CELL",
    help="How the verdict on csr,0.9,8 came about; csr,0.9,8,TENSOR in one of several layers.",
)
@options.option("--junit", type=options.FILE, metavar="FILE", help="Write JUnit XML as well.")
@options.sweep
@options.output_format
@options.quiet
@click.pass_context
def check(
    context: click.Context,
    /,
    baseline: Path | None,
    base: str | None,
    runs: int,
    run_files: tuple[Path, ...],
    profile: Path | None,
    max_points: float,
    floor: float | None,
    strict: bool,
    explain: str | None,
    junit: Path | None,
    config: Path | None,
    quick: bool,
    output_format: Any,
    quiet: bool,
    **asked: Any,
) -> None:
    """Find what got slower than a baseline, and fail if anything did.

    The candidate is this gpuprune, measured now in fresh processes on the baseline's own sweep.
    What is slower is measured once more before the command fails.

    \b
    Exit codes: 0 no regression, 1 a regression or a wrong contender, 2 bad usage,
    4 a baseline that is missing or not comparable, 5 the measurement failed.
    """  # noqa: D301 - click wants the backspace itself
    from gpuprune import gate
    from gpuprune.cli import explained, gate_console

    if (baseline is None) == (base is None):
        raise click.UsageError("give either --baseline FILE or --base PYTHON", context)
    if base is not None and not base.strip():
        raise click.UsageError("--base is empty: it takes a Python interpreter", context)
    if base is not None and (run_files or profile):
        raise click.UsageError("--run and --profile need --baseline", context)
    if runs == 0 and profile is None:
        raise click.UsageError("--runs 0 makes sense with --profile only", context)
    if run_files:
        options.refuse(context, {"runs"}, "with --run")
    elif runs == 0:
        options.refuse(context, {"floor"}, "where no times are measured")
    if profile is None:
        options.refuse(context, {"max_points"}, "without --profile")
    gate_console.require_junit(junit)
    cell = explained.parse(explain)
    say = gate_console.say(quiet)
    if baseline is not None:
        stored = gate_console.load_baseline(baseline, config, quick, asked)
        explained.require(cell, explained.places_of_baseline(stored))
        rows = gate_console.read_figures(stored, profile, strict, say)
        comparison = gate_console.check_baseline(stored, runs, run_files, floor, say)
        comparison = gate.with_profile(comparison, stored, rows, max_points)
    else:
        sweep = gate_console.sweep_asked(config, quick, asked)
        explained.require(cell, explained.places_of_sweep(sweep))
        comparison = gate_console.check_base(str(base), sweep, runs, floor, say)
    comparison = replace(comparison, strict=strict)
    gate_console.show(comparison, output_format, cell=cell, junit=junit, quiet=quiet)
    gate_console.warn_of_unsure(comparison, say, measured=not run_files)
    context.exit(gate_console.exit_code(comparison))
