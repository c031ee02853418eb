"""Speedup over rate, a line a group: the paper's Figure 3."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil, log
from typing import Any

import altair as alt

from gpuprune import analysis
from gpuprune.contenders import BASELINE
from gpuprune.errors import GpupruneError
from gpuprune.evidence import Bench
from gpuprune.plots import labels
from gpuprune.plots.drawing import ROWS, Drawing, Row
from gpuprune.plots.theme import PANEL_HEIGHT, PANEL_WIDTH, Theme, log_scale
from gpuprune.records import Case, Result

_MOST_ROWS = 12  # of panels, from which on nobody compares them


def chart(benches: Sequence[Bench], theme: Theme) -> Drawing:
    """Draw each contender's speedup: dense at 1, break-even marked, the interval shaded.

    A column a contender, a row a layer of a run. Raises GpupruneError where nothing sparse was
    measured beside dense, and where the rows are too many.
    """
    rows = list(_rows(benches))
    if not rows:
        raise GpupruneError(
            "no sparse product was measured beside a dense one, so there is no speedup to draw",
            hint="give a run of `gpuprune bench` with a sparse contender, such as csr",
        )
    panels = list(dict.fromkeys(row["panel"] for row in rows))
    if len(panels) > _MOST_ROWS:
        raise GpupruneError(
            f"{len(panels)} layers do not fit one figure of speedups",
            hint="choose some with --layer PATTERN, or take --figure breakeven for all of them",
        )
    figure = (
        alt.layer(*_layers(rows, theme), data=ROWS)
        .properties(width=PANEL_WIDTH, height=PANEL_HEIGHT)
        .facet(
            column=alt.Column("contender:N", **labels.panels(row["contender"] for row in rows)),
            row=alt.Row("panel:N", **labels.panels(panels)),
        )
        .properties(
            title=alt.Title(
                "Speedup of sparse products over dense",
                subtitle=[_common(benches), _legend(rows)],
            ),
            description="Speedup over dense by pruning rate, one line for each group size",
        )
    )
    return Drawing(chart=figure, rows=rows)


# Axes of ratios are logarithmic, and rates are interpolated without logarithms. A piece of a line
# that spans so much of a logarithm is straight to 0.2 %.
_PIECE = 1 / 8
_MEASURED, _INTERPOLATED, _EVEN = "measured", "interpolated", "break-even"  # kinds of points
_Point = tuple[float, ...]  # rate, speedup, and the ends of its interval
_TOOLTIP = [
    alt.Tooltip("contender:N"),
    alt.Tooltip("rate:Q", title="pruning rate", format=".4~f"),
    alt.Tooltip("group:O", title="group size"),
    alt.Tooltip("speedup:Q", format=".2f"),
    alt.Tooltip("low:Q", title="from", format=".2f"),
    alt.Tooltip("high:Q", title="to", format=".2f"),
    alt.Tooltip("layer:N"),
    alt.Tooltip("run:N"),
]
_EVEN_TOOLTIP = [
    alt.Tooltip("rate:Q", title="break-even rate", format=".3f"),
    alt.Tooltip("group:O", title="group size"),
]


def _layers(rows: Sequence[Row], theme: Theme) -> list[Any]:
    """Return intervals, the line of dense, lines, points and break-even marks, lowest first."""
    domain, ticks = log_scale([1.0, *(row[end] for row in rows for end in ("low", "high"))])
    scale = alt.Scale(type="log", domain=domain, nice=False)
    y = alt.Y(
        "speedup:Q",
        title="speedup over dense",
        scale=scale,
        axis=alt.Axis(values=ticks, labelExpr="format(datum.value, '~g') + 'x'"),
    )
    rates = labels.by_rate(row["rate"] for row in rows if row["kind"] == _MEASURED)
    group = labels.by_group((row["group"] for row in rows), theme)
    chosen = alt.selection_point(fields=["group"], bind="legend")
    shown = alt.condition(chosen, alt.value(1), alt.value(0.1))
    faint = alt.condition(chosen, alt.value(0.18), alt.value(0.03))
    base = alt.Chart().encode(x=alt.X("rate:Q", **rates), color=group["color"])
    interval = {"y": alt.Y("low:Q", title="speedup over dense", scale=scale), "y2": "high:Q"}
    band = base.mark_area().encode(**interval, opacity=faint)
    bar = _only(base, "is_alone", True).mark_rule(strokeWidth=8).encode(**interval, opacity=faint)
    dense = (
        alt.Chart(alt.Data(values=[{"speedup": 1}]))
        .mark_rule(strokeDash=[6, 3], strokeWidth=1.4, color=theme.ink)
        .encode(y="speedup:Q")
    )
    line = base.mark_line(strokeWidth=1.6).encode(y=y, opacity=shown)
    points = (
        _only(base, "kind", _MEASURED)
        .mark_point(filled=True, size=45)
        .encode(y=y, shape=group["shape"], opacity=shown, tooltip=_TOOLTIP)
    )
    even = (
        _only(base, "kind", _EVEN)
        .mark_point(filled=True, size=150, stroke=theme.ink, strokeWidth=1.4, opacity=1)
        .encode(y=y, shape=group["shape"], tooltip=_EVEN_TOOLTIP)
    )
    has = _parts(rows)
    return [
        *([band] if has["lines"] else []),
        *([bar] if has["bars"] else []),
        dense,
        *([line] if has["lines"] else []),
        points.add_params(chosen),
        *([even] if has["evens"] else []),
    ]


def _only(chart: Any, field: str, value: object) -> Any:
    return chart.transform_filter(alt.FieldEqualPredicate(field=field, equal=value))


def _parts(rows: Sequence[Row]) -> dict[str, bool]:
    """Say what there is to draw beside points."""
    return {
        "lines": not all(row["is_alone"] for row in rows),
        "bars": any(row["is_alone"] for row in rows),
        "evens": any(row["kind"] == _EVEN for row in rows),
    }


def _legend(rows: Sequence[Row]) -> str:
    has = _parts(rows)
    spans = " or ".join([*(["band"] if has["lines"] else []), *(["bar"] if has["bars"] else [])])
    even = "; outlined on the dashed line: break-even" if has["evens"] else ""
    return f"dashed: dense; {spans}: between the quartiles of both products' samples{even}"


def _rows(benches: Sequence[Bench]) -> Iterator[Row]:
    layered = [(bench, analysis.by_layer(bench.results)) for bench in benches]
    several = len({labels.shorten(case.name) for _, layers in layered for case in layers}) > 1
    for bench, layers in layered:
        for layer, results in layers.items():
            name = labels.shorten(layer.name)
            run = labels.shorten(bench.name)
            told = [run] if len(benches) > 1 else []
            facts = {
                "run": run,
                "layer": name,
                "panel": " · ".join([*([name] if several else []), *told]),
            }
            for contender in analysis.sparse_contenders(results):
                yield from (facts | row for row in _lines(results, contender))


def _lines(results: Sequence[Result], contender: str) -> Iterator[Row]:
    found = analysis.speedups(results, contender)
    at: dict[tuple[Case, str], Result] = {(one.case, one.contender): one for one in results}
    for group, even in analysis.break_evens(found).items():
        points = []
        for case in sorted((one for one in found if one.group == group), key=lambda one: one.rate):
            interval = analysis.speedup_interval(at[case, contender], at[case, BASELINE])
            points.append((case.rate, found[case], *(interval or (found[case], found[case]))))
        crossing = None if even.is_bound else even.rate
        for kind, point in _drawn(points, crossing):
            yield {
                "contender": contender,
                "group": group,
                "kind": kind,
                "is_alone": len(points) == 1,
                **dict(zip(("rate", "speedup", "low", "high"), point, strict=True)),
            }


def _drawn(points: Sequence[_Point], crossing: float | None) -> Iterator[tuple[str, _Point]]:
    """Put between the points of a line those by which it is drawn as rates are interpolated.

    Once a line, where it crosses dense, one is the break-even rate.
    """
    for own, following in pairwise(points):
        yield _MEASURED, own
        pieces = ceil(abs(log(following[1] / own[1])) / _PIECE)
        steps = [own[1] * (following[1] / own[1]) ** (i / pieces) for i in range(1, pieces)]
        shares = [((step - own[1]) / (following[1] - own[1]), _INTERPOLATED) for step in steps]
        if crossing is not None and own[0] < crossing <= following[0]:
            shares.append(((crossing - own[0]) / (following[0] - own[0]), _EVEN))
        for share, kind in sorted(shares):
            yield kind, tuple(a + (b - a) * share for a, b in zip(own, following, strict=True))
    yield _MEASURED, points[-1]


def _common(benches: Sequence[Bench]) -> str:
    """Say what all panels share: the layer and its shape, and what `labels.shared` says."""
    cases = [one.case for bench in benches for one in bench.results]
    layers = {labels.shorten(case.name) for case in cases}
    shapes = {case.shape for case in cases}
    facts = [*(layers if len(layers) == 1 else []), *(shapes - layers if len(shapes) == 1 else [])]
    return " · ".join([*facts, *labels.shared(benches)])
