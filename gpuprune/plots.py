"""Records as the paper's figures, drawn by matplotlib where that is installed."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from gpuprune.accuracy.records import Outcome, by_group
from gpuprune.errors import GpupruneError
from gpuprune.tradeoff import Point, front

SUFFIXES = (".png", ".svg")
_INCHES = (6.4, 4.0)
_DOTS_PER_INCH = 150


def check(path: Path) -> None:
    """Refuse a figure that could not be drawn, before anything is measured for it."""
    if path.suffix.lower() not in SUFFIXES:
        raise GpupruneError(
            f"a figure cannot be written as {path.suffix or path.name!r}",
            hint=f"give a name that ends in {' or '.join(SUFFIXES)}",
        )
    if not path.parent.is_dir():
        raise GpupruneError(f"there is no directory {path.parent}", hint="make it first")
    _matplotlib()


def draw_accuracy(outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw accuracy by group size and the unpruned network's as a line (the paper's Figure 4).

    Bars are the standard deviation over the seeds, where there are several.
    """
    figure, axes = _start()
    ordered = [own for own in by_group(outcomes) if own[0].group is not None]
    names = [str(own[0].group) for own in ordered]
    shares = [[100 * one.accuracy for one in own] for own in ordered]
    spreads = [stdev(values) if len(values) > 1 else 0.0 for values in shares]
    axes.errorbar(names, [mean(values) for values in shares], yerr=spreads, fmt="o", capsize=3)
    unpruned = [100 * one.accuracy for one in outcomes if one.group is None]
    if unpruned:
        axes.axhline(mean(unpruned), color="0.5", label="unpruned")
        axes.legend(frameon=False)
    axes.set_xlabel("group size")
    axes.set_ylabel("accuracy on held-out images (%)")
    _write(figure, path)


def draw_tradeoff(found: Sequence[Point], path: Path) -> None:
    """Draw accuracy against speedup, a cross a group, and the front (the paper's Figure 5)."""
    figure, axes = _start()
    edge = sorted(front(found), key=lambda point: point.speedup)
    axes.plot(
        [point.speedup for point in edge],
        [100 * point.accuracy for point in edge],
        color="0.8",
        zorder=0,
        label="front",
    )
    for point in found:
        at = (point.speedup, 100 * point.accuracy)
        axes.plot(*at, "x", color="black" if point.group is None else "tab:red")
        name = "unpruned" if point.group is None else str(point.group)
        axes.annotate(name, at, xytext=(4, 4), textcoords="offset points")
    axes.axvline(1, color="0.8", linestyle=":")
    axes.set_xlabel("speedup over dense")
    axes.set_ylabel("accuracy on held-out images (%)")
    axes.legend(frameon=False)
    _write(figure, path)


def _start() -> tuple[Any, Any]:
    figure = _matplotlib().Figure(figsize=_INCHES, layout="constrained")
    return figure, figure.subplots()


def _matplotlib() -> Any:
    try:
        return importlib.import_module("matplotlib.figure")
    except ModuleNotFoundError:
        raise GpupruneError(
            "figures need matplotlib, which is not installed", hint="pip install matplotlib"
        ) from None


def _write(figure: Any, path: Path) -> None:
    part = path.with_name(f"{path.name}.part")
    try:
        figure.savefig(part, format=path.suffix.lower().removeprefix("."), dpi=_DOTS_PER_INCH)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise GpupruneError(
            f"cannot write {path}: {error.strerror or error}", hint="take another name"
        ) from None
