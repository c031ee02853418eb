"""gpuprune prune."""

from pathlib import Path
from typing import Any

import click

from gpuprune.cli import options, terminal

EXAMPLES = """\b
Examples:
  gpuprune prune model.safetensors pruned.safetensors --rate 0.9 --group 8
  gpuprune prune weights.npy pruned.npy --rate 0.9 --group 8 --score mean
  gpuprune prune model_folder pruned_folder --rate 0.9 --group 8
"""


@click.command(epilog=EXAMPLES)
@click.argument("source", metavar="IN", type=options.FILE)
@click.argument("target", metavar="OUT", type=options.FILE)
@click.option("--rate", type=float, required=True, metavar="R", help="Share of groups to remove.")
@click.option("--group", type=int, required=True, metavar="G", help="Neighbours pruned together.")
@options.score
@options.orientation
@options.min_groups
@options.tensor
@options.seed
@click.option("--force", is_flag=True, help="Write over OUT.")
@options.output_format
def prune(
    source: Path,
    target: Path,
    rate: float,
    group: int,
    tensor: str | None,
    force: bool,
    output_format: Any,
    **choices: Any,
) -> None:
    """Prune the matrices of a weight file, and write it anew.

    Every floating-point matrix is pruned but those named like *embed*, or those that --tensor
    names; all else is copied as it is. Of a folder with a model.safetensors.index.json, OUT is
    a new folder with the index and the files that it names. Prints a row a tensor.
    """
    import numpy as np

    from gpuprune import plan, pruning, report, weights

    chosen = {name: value for name, value in choices.items() if value is not None}
    rows = []

    def change(one: weights.Tensor, values: Any) -> Any:
        pruned = pruning.prune(values, rate, group, **chosen)
        zeros = 1 - np.count_nonzero(values) / values.size
        if told := plan.tell_zeros(one.label, zeros, rate):
            terminal.show(told, err=True)
        rows.append(
            {
                "tensor": one.path.name if one.name is None else one.name,
                "rows": one.rows,
                "cols": one.cols,
                "rate": 1 - np.count_nonzero(pruned) / pruned.size,
                "group": group,
                "energy_kept": pruning.energy_kept(values, pruned),
            }
        )
        return pruned

    weights.rewrite(source, target, change, pattern=tensor, force=force)
    terminal.show(report.listing(rows, output_format), output_format)
