"""gpuprune bench."""

import sys
from pathlib import Path
from typing import Any

import click

from gpuprune.cli import options

EXAMPLES = """\b
Examples:
  gpuprune bench
  gpuprune bench --quick --output run.jsonl
  gpuprune bench --rates 0.8:0.98 --groups 1,2,4,8,16,32,64 --device cpu --threads 1
  gpuprune bench --shape 1024x1024x32,4096x1024x32 --rates 0.9 --format csv
  gpuprune bench --quick --format json | head -n 3
"""


@click.command(epilog=EXAMPLES)
@options.sweep
@options.option("--output", type=options.INPUT, metavar="RUN.jsonl", help="Keep every result.")
@options.option("--resume", is_flag=True, help="Go on with the run that --output holds.")
@options.output_format
@click.option("--dry-run", is_flag=True, help="Say what would be measured, and stop.")
@options.quiet
@click.pass_context
def bench(
    context: click.Context,
    /,
    config: Path | None,
    quick: bool,
    output: Path | None,
    resume: bool,
    output_format: Any,
    dry_run: bool,
    quiet: bool,
    **asked: Any,
) -> None:
    """Time sparse against dense at each pruning rate and group size.

    Without options it runs the paper's sweep: 4096x4096 weights times 50 columns, float32, rates
    0.80 to 0.98, groups of 1 to 64. Results go to stdout, everything else to stderr.
    """
    from contextlib import closing

    from gpuprune import config as configuration
    from gpuprune import session
    from gpuprune.backends import open_backend
    from gpuprune.cli import console

    base = configuration.quick() if quick else configuration.paper()
    sweep = configuration.load(config, base, asked)
    backend, fallback = open_backend(sweep.device, sweep.threads)
    with closing(backend):
        console.note(fallback, quiet=quiet)
        job = session.resolve(sweep, backend)
        if dry_run:
            console.show_plan(job, output_format)
            return
        with (
            session.start(job, output, resume=resume, arguments=sys.argv[1:]) as running,
            console.Console(running, output_format, quiet=quiet) as shown,
        ):
            for results in running:
                shown.add(results)
    context.exit(shown.exit_code)
