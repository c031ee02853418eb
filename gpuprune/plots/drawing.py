"""A figure before it is written: its chart and its rows, in the colours of a theme."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import altair as alt

from gpuprune.plots.theme import Theme, config

Row = dict[str, Any]
Specification = dict[str, Any]  # Vega-Lite

_NAME = "rows"
# By name, because Altair copies the values that a chart holds each time it is built upon.
ROWS = alt.NamedData(name=_NAME)


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A chart of Altair, and the rows that it draws."""

    chart: Any
    rows: list[Row]


Figure = Callable[[Theme], Drawing]


def specification(figure: Figure, theme: Theme) -> Specification:
    """Return the Vega-Lite of a figure in the colours of a theme, checked against the schema."""
    drawing = figure(theme)
    checked: Specification = drawing.chart.to_dict()
    return checked | {"datasets": {_NAME: drawing.rows}, "config": config(theme)}
