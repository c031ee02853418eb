"""Accuracy by group size, and accuracy against speedup: the paper's Figures 4 and 5."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from math import log
from statistics import mean, stdev
from typing import Any

import altair as alt

from gpuprune.accuracy.records import Outcome, by_group
from gpuprune.plots import labels, placing
from gpuprune.plots.drawing import ROWS, Drawing, Row
from gpuprune.plots.placing import HEADROOM
from gpuprune.plots.theme import PANEL_HEIGHT, PANEL_WIDTH, Theme, log_scale, percent_domain
from gpuprune.tradeoff import Point, front

_WIDTH = 1.4 * PANEL_WIDTH
_STEP = 5  # of percentages, from tick to tick


def accuracy_chart(outcomes_of: Mapping[str, Sequence[Outcome]], theme: Theme) -> Drawing:
    """Draw accuracy by group size, a column a run, and the unpruned network's as a line.

    Bars reach from the lowest seed to the highest, where there are several: of the few that there
    are, one can be far from the others, and a deviation from the mean would lead beyond 100 %.
    """
    rows = [row for name, outcomes in outcomes_of.items() for row in _accuracies(name, outcomes)]
    y = alt.Y(
        "percent:Q",
        title="accuracy on held-out images (%)",
        scale=alt.Scale(
            domain=percent_domain(
                [row[end] for row in rows for end in ("low", "high")], step=_STEP
            ),
        ),
    )
    base = alt.Chart().transform_filter("isValid(datum.group)")
    x = alt.X("group:O", title="group size", axis=alt.Axis(labelAngle=0))
    tooltip = [
        alt.Tooltip("group:O", title="group size"),
        alt.Tooltip("percent:Q", title="accuracy (%)", format=".2f"),
        alt.Tooltip("sd:Q", title="standard deviation", format=".2f"),
        alt.Tooltip("seeds:Q"),
        alt.Tooltip("rate:Q", title="pruning rate"),
    ]
    bars = base.mark_rule(clip=True, strokeWidth=1.6, color=theme.kinds[0]).encode(
        x=x, y=alt.Y("low:Q", title="accuracy on held-out images (%)"), y2="high:Q"
    )
    points = base.mark_point(filled=True, size=70, opacity=1, color=theme.kinds[0]).encode(
        x=x, y=y, tooltip=tooltip
    )
    unpruned = alt.Chart().transform_filter("!isValid(datum.group)")
    line = unpruned.mark_rule(strokeDash=[6, 3], strokeWidth=1.4, color=theme.ink).encode(y=y)
    rate = max(one.rate for outcomes in outcomes_of.values() for one in outcomes)
    figure = (
        alt.layer(line, bars, points, data=ROWS)
        .properties(width=_WIDTH, height=PANEL_HEIGHT)
        .facet(column=alt.Column("run:N", **labels.panels(row["run"] for row in rows)))
        .properties(
            title=alt.Title(
                f"Accuracy after pruning {100 * rate:g} % of the weights and retraining",
                subtitle="dashed: the unpruned network; dots: the mean of the seeds; "
                "bars: the lowest to the highest",
            ),
            description="Accuracy by group size, and that of the unpruned network",
        )
    )
    return Drawing(chart=figure, rows=rows)


def tradeoff_chart(points_of: Mapping[str, Sequence[Point]], theme: Theme) -> Drawing:
    """Draw accuracy against speedup, a cross a group and a column a run, and the front."""
    rows = _with_labels(
        [
            {
                "run": labels.shorten(name),
                "name": "unpruned" if point.group is None else str(point.group),
                "is_pruned": point.group is not None,
                "speedup": point.speedup,
                "percent": 100 * point.accuracy,
                "seeds": point.seeds,
                "is_front": point in edge,
            }
            for name, found in points_of.items()
            for edge in [front(found)]
            for point in found
        ]
    )
    rate = max(point.rate for found in points_of.values() for point in found)
    figure = (
        alt.layer(*_crosses(rows, theme), data=ROWS)
        .properties(width=_WIDTH, height=PANEL_HEIGHT)
        .facet(column=alt.Column("run:N", **labels.panels(row["run"] for row in rows)))
        .properties(
            title=alt.Title(
                f"Accuracy against speedup, {100 * rate:g} % of the weights pruned",
                subtitle="a cross a group size; grey: the front, where nothing is both faster "
                "and more accurate; dashed: dense",
            ),
            description="Accuracy by speedup over dense, one mark for each group size",
        )
    )
    return Drawing(chart=figure, rows=rows)


def _crosses(rows: Sequence[Row], theme: Theme) -> list[Any]:
    """Return the front, the line of dense, crosses and their names, the lowest first."""
    domain, ticks = _speedup_axis(rows)
    low, high = _percent_axis(rows)
    base = alt.Chart().encode(
        x=alt.X(
            "speedup:Q",
            title="speedup over dense",
            scale=alt.Scale(type="log", domain=domain, nice=False),
            axis=alt.Axis(values=ticks, labelExpr="format(datum.value, '~g') + 'x'"),
        ),
        y=alt.Y(
            "percent:Q",
            title="accuracy on held-out images (%)",
            scale=alt.Scale(domain=[low, high], nice=False),
            axis=alt.Axis(values=[*range(int(low), min(int(high), 100) + 1, _STEP)]),
        ),
    )
    edge = base.transform_filter("datum.is_front").mark_line(color=theme.faint, strokeWidth=3)
    dense = (
        alt.Chart(alt.Data(values=[{"speedup": 1}]))
        .mark_rule(strokeDash=[6, 3], strokeWidth=1.4, color=theme.ink)
        .encode(x="speedup:Q")
    )
    crosses = base.mark_point(shape="cross", angle=45, filled=True, size=90, opacity=1).encode(
        color=alt.condition("datum.is_pruned", alt.value(theme.kinds[1]), alt.value(theme.ink)),
        tooltip=[
            alt.Tooltip("name:N", title="group size"),
            alt.Tooltip("speedup:Q", format=".2f"),
            alt.Tooltip("percent:Q", title="accuracy (%)", format=".2f"),
            alt.Tooltip("seeds:Q"),
        ],
    )
    names = base.mark_text(
        baseline="middle",
        dx=alt.expr("datum.dx"),
        dy=alt.expr("datum.dy"),
        fontSize=12,
        color=theme.ink,
    ).encode(text="label:N")
    return [edge, dense, crosses, names]


def _with_labels(rows: Sequence[Row]) -> list[Row]:
    """Say of each point what stands beside it, and where; each run has a panel of its own."""
    (left, right), _ = _speedup_axis(rows)
    low, high = _percent_axis(rows)
    labelled: list[Row] = []
    for _, panel in groupby(rows, lambda row: row["run"]):
        own = list(panel)
        marks = [
            placing.Mark(
                x=_WIDTH * log(row["speedup"] / left) / log(right / left),
                y=PANEL_HEIGHT * (high - row["percent"]) / (high - low),
                name=row["name"],
            )
            for row in own
        ]
        dense_x = _WIDTH * log(1 / left) / log(right / left)
        labels_of = placing.place(marks, _WIDTH, PANEL_HEIGHT, dense_x)
        labelled += [
            row | {"label": one.text, "dx": one.dx, "dy": one.dy}
            for row, one in zip(own, labels_of, strict=True)
        ]
    return labelled


def _speedup_axis(rows: Sequence[Row]) -> tuple[list[float], list[float]]:
    return log_scale([1.0, *(row["speedup"] for row in rows)])


def _percent_axis(rows: Sequence[Row]) -> list[float]:
    """Return the ends of the axis, with room for the name of the highest point."""
    percents = [row["percent"] for row in rows]
    low, high = percent_domain(percents, step=_STEP)
    room = (max(percents) - low) * HEADROOM / (PANEL_HEIGHT - HEADROOM)
    return [low, max(high, max(percents) + room)]


def _accuracies(name: str, outcomes: Sequence[Outcome]) -> list[Row]:
    rows = []
    for own in by_group(outcomes):
        shares = [100 * one.accuracy for one in own]
        rows.append(
            {
                "run": labels.shorten(name),
                "group": own[0].group,
                "percent": mean(shares),
                "sd": stdev(shares) if len(shares) > 1 else None,
                "low": min(shares),
                "high": max(shares),
                "seeds": len(shares),
                "rate": own[0].rate,
            }
        )
    return rows
