"""gpuprune tradeoff."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpuprune.cli import options, terminal

if TYPE_CHECKING:
    from gpuprune.tradeoff import Demand, Point

EXAMPLES = """\b
Examples:
  gpuprune bench --rates 0.9 --output bench.jsonl
  gpuprune accuracy --output accuracy.jsonl
  gpuprune tradeoff bench.jsonl accuracy.jsonl --max-drop 0.5
  gpuprune tradeoff bench.jsonl accuracy.jsonl --min-accuracy 95 --min-speedup 1.4
"""


@click.command(epilog=EXAMPLES)
@click.argument("bench", metavar="BENCH.jsonl", type=options.FILE)
@click.argument("accuracy", metavar="ACCURACY.jsonl", type=options.FILE)
@options.option("--min-accuracy", type=float, metavar="PERCENT", help="At least so much is right.")
@options.option("--max-drop", type=float, metavar="POINTS", help="Below the unpruned network.")
@options.option("--min-speedup", type=float, metavar="FACTOR", help="Over dense.")
@options.option(
    "--figure", type=options.FILE, metavar="FILE", help="Figure 5: .png, .svg or .html."
)
@options.output_format
@options.quiet
@click.pass_context
def tradeoff(
    context: click.Context,
    /,
    bench: Path,
    accuracy: Path,
    min_accuracy: float | None,
    max_drop: float | None,
    min_speedup: float | None,
    figure: Path | None,
    output_format: Any,
    quiet: bool,
) -> None:
    """Weigh accuracy against speedup, and choose a group size.

    Both runs must have the same pruning rate and orientation. Of several layers the speedup is
    that of all of them together. Exits 1 where nothing meets the demand.
    """
    from gpuprune import report, session
    from gpuprune.accuracy import experiment
    from gpuprune.cli import console
    from gpuprune.errors import GpupruneError
    from gpuprune.tradeoff import common_seeds, points, recommend, row

    demand = _demand(min_accuracy, max_drop, min_speedup)
    if figure:
        from gpuprune import plots  # where no figure is asked for, its packages may be missing

        plots.check(figure)
        if figure in (bench, accuracy):
            raise GpupruneError(f"{figure} is an input, too", hint="give the figure another name")
    run, results, bench_warning = session.load(bench)
    header, outcomes, accuracy_warning = experiment.load(accuracy)
    for warning in filter(None, (bench_warning, accuracy_warning)):
        console.warn(warning)
    for missed in report.rates_missed(outcomes):
        console.note(missed, quiet=quiet)
    found = points(results, header, outcomes)
    if common_seeds(outcomes) != {one.seed for one in outcomes}:
        console.note(
            "Warning: not every group size has every seed: the accuracy run is not finished, and "
            "only the seeds that all of them have count.",
            quiet=quiet,
        )
    chosen = recommend(found, demand) if demand else None
    rows = [row(point, found, chosen) for point in found]
    for_people = output_format in ("table", "markdown")
    listed = report.listing([_cells(one) for one in rows] if for_people else rows, output_format)
    terminal.show(listed, output_format)
    if figure:
        plots.write(plots.tradeoff({run.environment["device_name"]: found}), figure)
    if demand is None:
        console.note("Say what you need: --min-accuracy, --max-drop, --min-speedup.", quiet=quiet)
        return
    terminal.show(_verdict(found, chosen), output_format, err=not for_people)
    context.exit(0 if chosen else 1)


def _demand(
    min_accuracy: float | None, max_drop: float | None, min_speedup: float | None
) -> "Demand | None":
    """Return what is demanded, in shares; None where nothing is."""
    from gpuprune.errors import GpupruneError
    from gpuprune.tradeoff import Demand

    if min_accuracy is not None and not 1 < min_accuracy <= 100:
        raise GpupruneError(
            f"--min-accuracy {min_accuracy:g} is no percentage above 1",
            hint="give it in percent, such as --min-accuracy 95",
        )
    if max_drop is not None and not 0 <= max_drop <= 100:
        raise GpupruneError(
            f"--max-drop {max_drop:g} is not in 0 to 100",
            hint="give it in points of a percentage, such as --max-drop 0.5",
        )
    if min_speedup is not None and not 0 < min_speedup < float("inf"):
        raise GpupruneError(
            f"--min-speedup {min_speedup:g} is no factor", hint="such as --min-speedup 1.4"
        )
    if min_accuracy is None and max_drop is None and min_speedup is None:
        return None
    return Demand(
        min_accuracy=None if min_accuracy is None else min_accuracy / 100,
        max_drop=None if max_drop is None else max_drop / 100,
        min_speedup=min_speedup,
    )


def _verdict(found: Sequence["Point"], chosen: "Point | None") -> str:
    if chosen:
        return f"\nTake {chosen}."
    best = max(found, key=lambda point: point.accuracy)
    fastest = max(found, key=lambda point: point.speedup)
    return f"\nNothing meets this. Most accurate is {best}; fastest is {fastest}."


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    """Lay out a row for people."""
    spread = "" if row["accuracy_sd"] is None else f" ± {100 * row['accuracy_sd']:.2f}"
    return {
        "group": "unpruned" if row["group"] is None else row["group"],
        "speedup": f"{row['speedup']:.2f}x",
        "accuracy": f"{100 * row['accuracy']:.2f}{spread} %",
        "points_lost": "-" if row["drop"] is None else f"{100 * row['drop']:.2f}",
        "remark": ", ".join(word for word in ("front", "recommended") if row[word]),
    }
