"""gpuprune bench."""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpuprune.cli import options
from gpuprune.errors import GpupruneError

if TYPE_CHECKING:
    from gpuprune.config import Sweep
    from gpuprune.execution import Executor

_DEADLINE_S = 900.0  # far beyond the slowest case, so that only what hangs is given up
_YEAR_S = 365 * 86_400.0  # a clock waits for no more than some centuries

EXAMPLES = """\b
Examples:
  gpuprune bench
  gpuprune bench --quick --output run.jsonl
  gpuprune bench --rates 0.8:0.98 --groups 1,2,4,8,16,32,64 --device cpu --threads 1
  gpuprune bench --shape 1024x1024x32,4096x1024x32 --rates 0.9 --format csv
  gpuprune bench --quick --format json | head -n 3
  gpuprune bench --quick --ray local
"""


@click.command(epilog=EXAMPLES)
@options.sweep
@options.option("--output", type=options.FILE, metavar="RUN.jsonl", help="Keep every result.")
@options.option("--resume", is_flag=True, help="Go on with the run that --output holds.")
@options.output_format
@click.option("--dry-run", is_flag=True, help="Say what would be measured, and stop.")
@options.option(
    "--ray", metavar="HOST:PORT|local", help="Measure on the devices of a Ray cluster."
)
@options.option(
    "--accelerator", metavar="LIST", help="With --ray: only these GPUs, such as H100,A100."
)
@options.option(
    "--deadline",
    type=float,
    metavar="SECONDS",
    help="With --ray: of a case, before its worker is given up.  [default: 900]",
)
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
    ray: str | None,
    accelerator: str | None,
    deadline: float | None,
    quiet: bool,
    **asked: Any,
) -> None:
    """Time sparse against dense at each pruning rate and group size.

    Without options it runs the paper's sweep: 4096x4096 weights times 50 columns, float32, rates
    0.80 to 0.98, groups of 1 to 64. Results go to stdout, everything else to stderr.
    """
    from functools import partial

    from gpuprune import config as configuration
    from gpuprune import plan, session
    from gpuprune.cli import console

    base = configuration.quick() if quick else configuration.paper()
    sweep = configuration.load(config, base, asked)
    say = partial(console.note, quiet=quiet)
    with _open_executor(sweep, ray, accelerator, deadline, say) as executor:
        job = session.resolve(sweep, executor)
        if dry_run:
            console.show_plan(job, output_format)
            return
        for told in (plan.told_crosswise(job.cases), *plan.told_zeros(job.cases)):
            say(told)
        with (
            session.start(job, output, resume=resume, arguments=sys.argv[1:]) as running,
            console.Console(running, output_format, quiet=quiet) as shown,
        ):
            for results in running:
                shown.add(results)
    shown.require_times()
    context.exit(shown.exit_code)


@contextmanager
def _open_executor(
    sweep: "Sweep",
    ray: str | None,
    accelerator: str | None,
    deadline_s: float | None,
    say: Callable[[str | None], None],
) -> "Iterator[Executor]":
    """Open this machine's device, or with --ray those of a cluster."""
    from gpuprune.backends import open_backend
    from gpuprune.cluster import open_cluster
    from gpuprune.execution import Local

    _require_time(deadline_s)
    if ray is not None:
        cluster = open_cluster(
            ray,
            device=sweep.device,
            threads=sweep.threads,
            accelerators=_kinds(accelerator),
            deadline_s=_DEADLINE_S if deadline_s is None else deadline_s,
            say=say,
        )
        with cluster as executor:
            yield executor
        return
    for name, value in (("--accelerator", accelerator), ("--deadline", deadline_s)):
        if value is not None:
            raise GpupruneError(f"{name} needs a Ray cluster", hint="add --ray HOST:PORT")
    backend, fallback = open_backend(sweep.device, sweep.threads)
    with closing(backend):
        say(fallback)
        yield Local(backend)


def _require_time(deadline_s: float | None) -> None:
    if deadline_s is not None and not 0 < deadline_s <= _YEAR_S:
        raise GpupruneError(
            f"--deadline {deadline_s:g} is no time that a case could take",
            hint="give seconds, at most those of a year, such as 900",
        )


def _kinds(accelerator: str | None) -> tuple[str, ...]:
    kinds = tuple(kind.strip() for kind in accelerator.split(",")) if accelerator else ()
    if not all(kinds):
        raise GpupruneError(f"--accelerator {accelerator!r} is no list", hint="such as H100,A100")
    return kinds
