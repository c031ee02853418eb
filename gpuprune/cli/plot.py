"""gpuprune plot."""

from pathlib import Path

import click

from gpuprune.cli import options

FIGURES = ("speedup", "breakeven", "roofline", "efficiency", "accuracy", "tradeoff")
EXAMPLES = """\b
Examples:
  gpuprune bench --quick --output run.jsonl
  gpuprune plot run.jsonl -o speedup.png
  gpuprune plot run.jsonl -o roofline.html --figure roofline
  gpuprune profile --predict --format json > efficiency.jsonl
  gpuprune plot efficiency.jsonl -o efficiency.svg
"""


@click.command(epilog=EXAMPLES)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=options.FILE)
@click.option(
    "-o",
    "--output",
    type=options.FILE,
    required=True,
    metavar="FILE",
    help="Where to: .png, .svg or .html.",
)
@options.option(
    "--figure", type=click.Choice(FIGURES), help="What to draw.  [default: follows from the runs]"
)
@options.option(
    "--layer",
    metavar="PATTERN",
    help="Only layers of this name or shape, such as '*mlp*' or '4096x*'.",
)
@options.quiet
def plot(
    runs: tuple[Path, ...], output: Path, figure: str | None, layer: str | None, quiet: bool
) -> None:
    """Draw runs as a figure, as the paper's are.

    RUN is what `gpuprune bench --output` or `gpuprune accuracy --output` wrote, or what `gpuprune
    profile --format json` printed. Several runs of `bench` stand beside each other, if they were
    timed in the same way. An .html file answers to the pointer, and needs no network.
    """
    from gpuprune import evidence, plots
    from gpuprune.cli import console

    plots.check(output)
    found = evidence.read(runs)
    for warning in found.warnings:
        console.warn(warning)
    if layer is not None:
        found = evidence.only_layers(found, layer)
    name = figure or plots.default_figure(found)
    plots.write(plots.draw(name, found), output)
    console.note(f"{output} shows {name}.", quiet=quiet)
    for instead, paths in plots.left_out(name, found).items():
        files = ", ".join(map(str, paths))
        are, them = ("is", "it") if len(paths) == 1 else ("are", "them")
        told = f"Note: {files} {are} not in it; --figure {instead} shows {them}."
        console.note(told, quiet=quiet)
