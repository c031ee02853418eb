"""gpuprune baseline."""

from pathlib import Path
from typing import Any

import click

from gpuprune.cli import options

FILE = click.argument("file", type=options.INPUT, metavar="FILE")
RUNS = options.option(
    "--runs", type=click.IntRange(1), default=5, show_default=True, help="Fresh processes."
)
FORCE = click.option("--force", is_flag=True, help="Record although others use the GPU.")
RUN = click.option(
    "--run",
    "run_files",
    type=options.INPUT,
    multiple=True,
    metavar="RUN.jsonl",
    help="Take this run instead of measuring; may be given several times.",
)
PROFILE = options.option(
    "--profile",
    type=options.INPUT,
    metavar="FILE",
    help="Load efficiencies: what `gpuprune profile --format json` printed.",
)

EXAMPLES = """\b
Examples:
  gpuprune baseline record -o baseline.json --config bench_configs/ci.toml
  gpuprune baseline show baseline.json
  gpuprune baseline update baseline.json --accept-slower "exact rounding costs 4 %"
"""
RECORD_EXAMPLES = """\b
Examples:
  gpuprune baseline record -o baseline.json --quick
  gpuprune baseline record -o a100.json --config bench_configs/ci.toml --runs 7
"""
SHOW_EXAMPLES = """\b
Examples:
  gpuprune baseline show baseline.json
  gpuprune baseline show baseline.json --format csv
"""
UPDATE_EXAMPLES = """\b
Examples:
  gpuprune baseline update baseline.json
  gpuprune baseline update baseline.json --accept-slower "exact rounding costs 4 %"
"""


@click.group(epilog=EXAMPLES)
def baseline() -> None:
    """Keep what `gpuprune check` holds a candidate against."""


@baseline.command(epilog=RECORD_EXAMPLES)
@click.option(
    "-o", "--output", type=options.INPUT, metavar="FILE", required=True, help="The new file."
)
@RUNS
@RUN
@PROFILE
@FORCE
@options.sweep
@options.quiet
def record(
    output: Path,
    runs: int,
    run_files: tuple[Path, ...],
    profile: Path | None,
    force: bool,
    config: Path | None,
    quick: bool,
    quiet: bool,
    **asked: Any,
) -> None:
    """Measure a sweep in several fresh processes and keep it as a baseline.

    Each run takes the cells in another order. Commit the file, one for each kind of device.
    """
    from gpuprune.cli import baseline_console, gate_console

    sweep = gate_console.sweep_asked(config, quick, asked)
    baseline_console.record(
        output, sweep, runs, run_files, profile=profile, force=force, say=gate_console.say(quiet)
    )


@baseline.command(epilog=SHOW_EXAMPLES)
@FILE
@options.output_format
def show(file: Path, output_format: Any) -> None:
    """Show where a baseline was measured, and its cells."""
    from gpuprune.cli import baseline_console

    baseline_console.show_baseline(file, output_format)


@baseline.command(epilog=UPDATE_EXAMPLES)
@FILE
@RUNS
@RUN
@PROFILE
@FORCE
@click.option(
    "--accept-slower",
    "reason",
    metavar="REASON",
    help="Take over what got slower; the reason is kept in the file.",
)
@options.quiet
@click.pass_context
def update(
    context: click.Context,
    /,
    file: Path,
    runs: int,
    run_files: tuple[Path, ...],
    profile: Path | None,
    force: bool,
    reason: str | None,
    quiet: bool,
) -> None:
    """Measure the baseline's own sweep again and take the new times over.

    Where a cell got slower nothing is written and the exit code is 1, unless --accept-slower says
    why it may be.
    """
    from gpuprune.cli import baseline_console, gate_console

    exit_code = baseline_console.update(
        file,
        runs,
        run_files,
        profile=profile,
        force=force,
        reason=reason,
        say=gate_console.say(quiet),
    )
    context.exit(exit_code)
