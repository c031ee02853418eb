"""gpuprune profile."""

from pathlib import Path
from typing import Any

import click

from gpuprune.cli import options
from gpuprune.profiler.mappings import DEFAULT_MAPPING, MAPPINGS

EXAMPLES = """\b
Examples:
  gpuprune profile --predict
  gpuprune profile --predict --mapping row_group --groups 1,8 --format json
  gpuprune profile --rates 0.8,0.9 --groups 1,8 --keep report.csv
  gpuprune profile --from report.csv --from other.ncu-rep --format markdown
"""

# What a prediction takes, since it takes the options of bench, and does not look at.
TIMING = {"device", "contenders", "cache", "samples", "budget", "threads"}


@click.command(epilog=EXAMPLES)
@options.option(
    "--from",
    "sources",
    type=options.FILE,
    multiple=True,
    metavar="FILE",
    help="Read what ncu or nvprof wrote (-: from stdin); may be given several times.",
)
@options.option("--predict", is_flag=True, help="Compute it from the pattern; needs no GPU.")
@options.option(
    "--mapping",
    type=click.Choice(list(MAPPINGS)),
    metavar="NAME",
    default=DEFAULT_MAPPING,
    show_default=True,
    help="The kernel that is predicted, by which loads its warps issue; one of "
    f"{', '.join(MAPPINGS)}.",
)
@options.option(
    "--profiler", type=options.FILE, metavar="PATH", help="ncu or nvprof.  [default: found]"
)
@options.option("--keep", type=options.FILE, metavar="FILE", help="Keep what the profiler wrote.")
@options.sweep
@options.output_format
@options.quiet
@click.pass_context
def profile(
    context: click.Context,
    /,
    sources: tuple[Path, ...],
    predict: bool,
    mapping: str,
    profiler: Path | None,
    keep: Path | None,
    config: Path | None,
    quick: bool,
    output_format: Any,
    quiet: bool,
    **asked: Any,
) -> None:
    """Report load efficiency: measured, imported or predicted.

    It is the share of the loaded sectors that was asked for.

    Without --from or --predict, it runs each contender once for each rate and group size under
    NVIDIA's profiler, ncu or nvprof, on the GPU. Times are never taken from such a run. ncu counts
    distinct bytes, nvprof the bytes of every lane: the two are not comparable.
    """
    from gpuprune import config as configuration
    from gpuprune.cli import profile_console
    from gpuprune.cli.console import note

    if sources:
        allowed = {"sources", "output_format", "quiet"}
        options.refuse(context, context.params.keys() - allowed, "with --from")
        profile_console.show_files(sources, output_format, quiet=quiet)
        return
    base = configuration.quick() if quick else configuration.paper()
    sweep = configuration.load(config, base, asked)
    if predict:
        options.refuse(context, {"profiler", "keep"}, "with --predict")
        timing = options.given(context, TIMING)
        if timing:
            do = "does" if len(timing) == 1 else "do"
            note(f"Note: {', '.join(timing)} {do} not change a prediction.", quiet=quiet)
        profile_console.show_predictions(sweep, mapping, output_format, quiet=quiet)
        return
    profile_console.show_live(
        sweep, mapping, output_format, profiler=profiler, keep=keep, quiet=quiet
    )
