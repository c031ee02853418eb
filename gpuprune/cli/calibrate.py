"""gpuprune calibrate."""

from pathlib import Path
from typing import Any

import click

from gpuprune.cli import options

EXAMPLES = """\b
Examples:
  gpuprune calibrate --config bench_configs/ci.toml
  gpuprune calibrate --quick --runs 7 --format json
"""


@click.command(epilog=EXAMPLES)
@options.option(
    "--runs", type=click.IntRange(2), default=5, show_default=True, help="Of each of two sides."
)
@options.sweep
@options.output_format
@options.quiet
def calibrate(
    runs: int,
    config: Path | None,
    quick: bool,
    output_format: Any,
    quiet: bool,
    **asked: Any,
) -> None:
    """Tell what this runner drifts by, and what `check` can see.

    Measures the same code against itself.

    Two sides of so many fresh runs each take turns. The table says by how much they differ though
    nothing changed, and the smallest regression that `gpuprune check` would find here.
    """
    from gpuprune.cli import calibrate_console, gate_console

    sweep = gate_console.sweep_asked(config, quick, asked)
    calibrate_console.calibrate(sweep, runs, output_format, gate_console.say(quiet))
