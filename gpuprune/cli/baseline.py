"""gpuprune baseline."""

from pathlib import Path
from typing import Any

import click

from gpuprune.cli import options

EXISTING = click.argument("file", type=options.FILE, metavar="FILE")
RUNS = options.option(
    "--runs", type=click.IntRange(1), default=5, show_default=True, help="Fresh processes."
)
FORCE = click.option("--force", is_flag=True, help="Record although others use the GPU.")
RUN = click.option(
    "--run",
    "run_files",
    type=options.FILE,
    multiple=True,
    metavar="RUN.jsonl",
    help="Take this run instead of measuring; may be given several times.",
)
PROFILE = options.option(
    "--profile",
    type=options.FILE,
    metavar="FILE",
    help="Load efficiencies: what `gpuprune profile --format json` printed.",
)
MAX_POINTS = options.option(
    "--max-points",
    type=options.FiniteRange(0, 100),
    default=2.0,
    show_default=True,
    help="By which a load efficiency may fall.",
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
    "-o", "--output", type=options.FILE, metavar="FILE", required=True, help="The new file."
)
@RUNS
@RUN
@PROFILE
@FORCE
@options.sweep
@options.quiet
@click.pass_context
def record(
    context: click.Context,
    /,
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

    if run_files:
        kept = {"output", "run_files", "profile", "force", "quiet"}
        options.refuse(context, context.params.keys() - kept, "with --run")
    sweep = gate_console.sweep_asked(config, quick, asked)
    baseline_console.record(
        output, sweep, runs, run_files, profile=profile, force=force, say=gate_console.say(quiet)
    )


@baseline.command(epilog=SHOW_EXAMPLES)
@EXISTING
@options.output_format
def show(file: Path, output_format: Any) -> None:
    """Show where a baseline was measured, and its cells.

    With --format json the first line is what the baseline says of itself, and each line names its
    record: baseline, cell or efficiency.
    """
    from gpuprune.cli import baseline_console

    baseline_console.show_baseline(file, output_format)


@baseline.command(epilog=UPDATE_EXAMPLES)
@EXISTING
@options.option(
    "--runs",
    type=click.IntRange(1),
    help="Fresh processes.  [default: as many as the baseline has, at least 5]",
)
@RUN
@PROFILE
@MAX_POINTS
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
    runs: int | None,
    run_files: tuple[Path, ...],
    profile: Path | None,
    max_points: float,
    force: bool,
    reason: str | None,
    quiet: bool,
) -> None:
    """Measure the baseline's own sweep again and take the new times over.

    Where something got slower, or noise hides whether it did, nothing is written and the exit
    code is 1, unless --accept-slower says why it may be.
    """
    from gpuprune.cli import baseline_console, gate_console

    if reason is not None and not reason.strip():
        raise click.UsageError("--accept-slower gives no reason", context)
    if run_files:
        options.refuse(context, {"runs"}, "with --run")
    if profile is None:
        options.refuse(context, {"max_points"}, "without --profile")
    exit_code = baseline_console.update(
        file,
        runs,
        run_files,
        profile=profile,
        most_points=max_points,
        force=force,
        reason=reason,
        say=gate_console.say(quiet),
    )
    context.exit(exit_code)
