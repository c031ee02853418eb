"""Speedup over rate, a line a group: the paper's Figure 3."""

from collections.abc import Iterator, Sequence
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
                subtitle=[_common(benches), _LEGEND],
            ),
            description="Speedup over dense by pruning rate, one line for each group size",
        )
    )
    return Drawing(chart=figure, rows=rows)


_LEGEND = (
    "dashed: dense; band: between the quartiles of both products' samples; "
    "outlined on the dashed line: break-even"
)
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
    alt.Tooltip("even:Q", title="break-even rate", format=".3f"),
    alt.Tooltip("group:O", title="group size"),
]


def _layers(rows: Sequence[Row], theme: Theme) -> list[Any]:
    """Return bands, the line of dense, lines, points and break-even marks, the lowest first."""
    domain, ticks = log_scale([1.0, *(row[end] for row in rows for end in ("low", "high"))])
    scale = alt.Scale(type="log", domain=domain, nice=False)
    rates = labels.by_rate(row["rate"] for row in rows)
    y = alt.Y(
        "speedup:Q",
        title="speedup over dense",
        scale=scale,
        axis=alt.Axis(values=ticks, labelExpr="format(datum.value, '~g') + 'x'"),
    )
    group = labels.by_group((row["group"] for row in rows), theme)
    chosen = alt.selection_point(fields=["group"], bind="legend")
    shown = alt.condition(chosen, alt.value(1), alt.value(0.1))
    base = alt.Chart().encode(x=alt.X("rate:Q", **rates), color=group["color"])
    band = base.mark_area().encode(
        y=alt.Y("low:Q", title="speedup over dense", scale=scale),
        y2="high:Q",
        opacity=alt.condition(chosen, alt.value(0.18), alt.value(0.03)),
    )
    dense = (
        alt.Chart(alt.Data(values=[{"speedup": 1}]))
        .mark_rule(strokeDash=[6, 3], strokeWidth=1.4, color=theme.ink)
        .encode(y="speedup:Q")
    )
    line = base.mark_line(strokeWidth=1.6).encode(y=y, opacity=shown)
    points = base.mark_point(filled=True, size=45).encode(
        y=y, shape=group["shape"], opacity=shown, tooltip=_TOOLTIP
    )
    even = (
        alt.Chart()
        .transform_filter("isValid(datum.even)")
        .mark_point(filled=True, size=150, stroke=theme.ink, strokeWidth=1.4, opacity=1)
        .encode(x=alt.X("even:Q", **rates), y=alt.Y(datum=1), tooltip=_EVEN_TOOLTIP, **group)
    )
    marked = [even] if any(row["even"] is not None for row in rows) else []
    return [band.add_params(chosen), dense, line, points, *marked]


def _rows(benches: Sequence[Bench]) -> Iterator[Row]:
    layered = [(bench, analysis.by_layer(bench.results)) for bench in benches]
    several = len({labels.layer_name(case) for _, layers in layered for case in layers}) > 1
    for bench, layers in layered:
        for layer, results in layers.items():
            name = labels.layer_name(layer)
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
    evens = analysis.break_evens(found)
    at: dict[tuple[Case, str], Result] = {(one.case, one.contender): one for one in results}
    told: set[int] = set()
    for case, speedup in sorted(found.items(), key=lambda item: (item[0].group, item[0].rate)):
        interval = analysis.speedup_interval(at[case, contender], at[case, BASELINE])
        even = evens[case.group]
        # Once a line, and only where it lies between two rates that were measured.
        crossing = None if case.group in told or even.is_bound else even.rate
        told.add(case.group)
        yield {
            "contender": contender,
            "rate": case.rate,
            "group": case.group,
            "speedup": speedup,
            "low": interval[0] if interval else speedup,
            "high": interval[1] if interval else speedup,
            "even": crossing,
        }


def _common(benches: Sequence[Bench]) -> str:
    """Say what all panels share: the layer and its shape, and what `labels.shared` says."""
    cases = [one.case for bench in benches for one in bench.results]
    layers = {labels.layer_name(case) for case in cases}
    shapes = {labels.shape_name(case.rows, case.cols, case.batch) for case in cases}
    facts = [*(layers if len(layers) == 1 else []), *(shapes - layers if len(shapes) == 1 else [])]
    return " · ".join([*facts, *labels.shared(benches)])
