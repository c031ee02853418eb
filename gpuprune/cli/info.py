"""gpuprune info."""

from typing import Any

import click

from gpuprune.cli import options, terminal

EXAMPLES = """\b
Examples:
  gpuprune info
  gpuprune info --format json
"""


@click.command(epilog=EXAMPLES)
@options.output_format
def info(output_format: Any) -> None:
    """Describe this machine: hardware, versions, contenders.

    The table is Table 1 of the paper for the machine at hand, with every contender and, where it
    cannot run here, the reason.
    """
    from gpuprune import inventory, report

    terminal.show(report.listing(inventory.rows(), output_format), output_format)
