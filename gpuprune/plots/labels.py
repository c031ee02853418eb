"""What panels, axes and legends are called; nothing that a file names is taken for markup."""

from collections.abc import Iterable, Sequence
from math import ceil
from textwrap import wrap
from typing import Any

import altair as alt

from gpuprune.evidence import Bench
from gpuprune.plots.theme import SHAPES, Theme
from gpuprune.report import printable
from gpuprune.units import format_rate

_LONGEST = 56  # characters of a name in a figure
_LONGEST_LINE = 34  # of those beside a panel
_MOST_TICKS = 12  # beneath one panel


def shorten(text: str) -> str:
    """Show a name on one line: control characters as escapes, a long one without its middle."""
    text = printable(text)
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[: half - 1]}…{text[-half:]}"


def in_lines(names: Iterable[str]) -> str:
    """Name a panel by several names, a line each or more: as short as a panel is high."""
    return "\n".join(line for name in names for line in wrap(shorten(name), _LONGEST_LINE))


def shared(benches: Sequence[Bench]) -> list[str]:
    """Say what all of several runs have in common: dtype, orientation, caches, machine."""
    cases = [one.case for bench in benches for one in bench.results]
    values = (
        {case.dtype for case in cases},
        {f"{case.orientation} groups" for case in cases},
        {f"{bench.run.contract.cache} caches" for bench in benches},
        {shorten(bench.name) for bench in benches},
    )
    return [value for found in values if len(found) == 1 for value in found]


def by_group(groups: Iterable[int], theme: Theme) -> dict[str, Any]:
    """Return the encoding of group sizes: a colour and a shape each, with one legend."""
    domain = sorted(set(groups))
    return _distinct("group", "group size", domain, theme.ordered(len(domain)))


def by_kind(field: str, title: str, names: Sequence[str], theme: Theme) -> dict[str, Any]:
    """Return the encoding of names: a colour and a shape each, with one legend."""
    domain = list(dict.fromkeys(names))
    return _distinct(field, title, domain, theme.unordered(len(domain)))


def by_rate(rates: Iterable[float]) -> dict[str, Any]:
    """Return the axis of pruning rates: ticks at those measured, told apart by their digits."""
    measured = sorted(set(rates))
    digits = max(len(format_rate(rate).partition(".")[2]) for rate in measured)
    axis = alt.Axis(
        values=measured[:: ceil(len(measured) / _MOST_TICKS)],
        format=f".{digits}f",
        labelOverlap="greedy",
        labelSeparation=4,
    )
    scale = alt.Scale(zero=False, nice=False, padding=12)
    return {"title": "pruning rate", "scale": scale, "axis": axis}


def panels(names: Iterable[str]) -> Any:
    """Return the header of panels, in the order given; empty names show none."""
    order = list(dict.fromkeys(names))
    header = alt.Header(
        labels=order != [""],
        labelLimit=600,
        labelExpr="split(datum.value, '\\n')",
        labelLineHeight=15,
        title=None,
    )
    return {"sort": order, "header": header}


def _distinct(
    field: str, title: str, domain: Sequence[Any], colours: Sequence[str]
) -> dict[str, Any]:
    shapes = [SHAPES[i % len(SHAPES)] for i in range(len(domain))]
    color = alt.Scale(domain=domain, range=colours)
    shape = alt.Scale(domain=domain, range=shapes)
    return {
        "color": alt.Color(f"{field}:N", title=title, scale=color),
        "shape": alt.Shape(f"{field}:N", title=title, scale=shape),
    }
