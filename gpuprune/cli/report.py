"""gpuprune report."""

from pathlib import Path

import click

from gpuprune.cli import options

EXAMPLES = """\b
Examples:
  gpuprune bench --quick --output run.jsonl
  gpuprune report run.jsonl -o page.html
  gpuprune report a100.jsonl h100.jsonl accuracy.jsonl -o page.html
"""


@click.command(epilog=EXAMPLES)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=options.FILE)
@click.option(
    "-o", "--output", type=options.FILE, required=True, metavar="PAGE.html", help="Where to."
)
@options.quiet
def report(runs: tuple[Path, ...], output: Path, quiet: bool) -> None:
    """Write runs as one page: advice, figures, tables, data.

    RUN is what `gpuprune bench --output` or `gpuprune accuracy --output` wrote, or what `gpuprune
    profile --format json` printed. Runs of `bench` stand side by side, if they were timed in the
    same way. The page is a single file and needs no network.
    """
    from gpuprune import evidence, page, plots
    from gpuprune.cli import console

    plots.check(output, suffixes=(".html",))
    found = evidence.read(runs)
    for warning in found.warnings:
        console.warn(warning)
    with console.progress(page.count_layers(found), quiet=quiet) as advance:
        page.write(found, output, advance)
