"""gpuprune inspect."""

from typing import Any

import click

from gpuprune.cli import options, terminal

EXAMPLES = """\b
Examples:
  gpuprune inspect pruned.safetensors
  gpuprune inspect pruned.safetensors --tensor '*attention*' --format json
"""


@click.command(epilog=EXAMPLES)
@click.argument("file", metavar="FILE[::TENSOR]")
@options.tensor
@options.output_format
def inspect(file: str, tensor: str | None, output_format: Any) -> None:
    """Tell the rate and group size that each tensor has.

    A group size is the longest run of neighbours that are kept or removed together, along a row
    and down a column; 1 is a tensor pruned weight by weight.
    """
    from gpuprune import report, weights

    rows = []
    for one in weights.select(file, tensor):
        found = weights.find_structure(one)
        rows.append(
            {
                "tensor": one.path.name if one.name is None else one.name,
                "rows": one.rows,
                "cols": one.cols,
                "dtype": one.dtype,
                "rate": found.rate,
                "row_group": found.row_group,
                "column_group": found.column_group,
            }
        )
    terminal.show(report.listing(rows, output_format), output_format)
