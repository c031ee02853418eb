"""Global load efficiency over rate, a line a group."""

from collections.abc import Sequence

import altair as alt

from gpuprune.errors import GpupruneError
from gpuprune.evidence import Efficiency, name_layers
from gpuprune.plots import labels
from gpuprune.plots.drawing import ROWS, Drawing, Row
from gpuprune.plots.theme import MARKER_RADIUS, PANEL_HEIGHT, PANEL_WIDTH, Theme, percent_domain

_COUNTING = {"ncu": "distinct bytes, as ncu counts", "nvprof": "every lane, as nvprof counts"}


def chart(efficiencies: Sequence[Efficiency], theme: Theme) -> Drawing:
    """Draw load efficiency, a column a definition, a row a product of a layer and its setting.

    The two definitions are not comparable, so they never share a panel. Raises GpupruneError
    where there is none.
    """
    if not efficiencies:
        raise GpupruneError(
            "load efficiency is in no run of `gpuprune bench`",
            hint="gpuprune profile --predict --format json > efficiency.jsonl, and give that file",
        )
    rows: list[Row] = [
        {
            "layer": " · ".join(map(labels.shorten, names)),
            "product": labels.shorten(one.product),
            "panel": labels.in_lines([*names, one.product]),
            "counting": _COUNTING.get(one.definition, labels.shorten(one.definition)),
            "rate": one.rate,
            "group": one.group,
            "percent": one.percent,
        }
        for names, one in zip(name_layers(efficiencies), efficiencies, strict=True)
    ]
    panels = [row["panel"] for row in rows]  # in the order of the files
    rows.sort(key=lambda row: (row["group"], row["rate"]))
    percents = [one.percent for one in efficiencies]
    group = labels.by_group((one.group for one in efficiencies), theme)
    base = alt.Chart().encode(
        x=alt.X("rate:Q", **labels.by_rate(one.rate for one in efficiencies)),
        y=alt.Y(
            "percent:Q",
            title="global load efficiency (%)",
            # Stretched to the data, a scale would make a point look like much.
            scale=alt.Scale(
                domain=[*percent_domain(percents, step=10)[:1], max(100.0, *percents)],
                padding=MARKER_RADIUS,
            ),
        ),
        color=group["color"],
    )
    lines = base.mark_line(strokeWidth=1.6)
    points = base.mark_point(filled=True, size=45, opacity=1).encode(
        shape=group["shape"],
        tooltip=[
            alt.Tooltip("product:N"),
            alt.Tooltip("rate:Q", title="pruning rate", format=".4~f"),
            alt.Tooltip("group:O", title="group size"),
            alt.Tooltip("percent:Q", title="load efficiency (%)", format=".1f"),
            alt.Tooltip("counting:N"),
            alt.Tooltip("layer:N"),
        ],
    )
    figure = (
        alt.layer(lines, points, data=ROWS)
        .properties(width=PANEL_WIDTH, height=PANEL_HEIGHT)
        .facet(
            column=alt.Column("counting:N", **labels.panels(row["counting"] for row in rows)),
            row=alt.Row("panel:N", **labels.panels(panels)),
        )
        .properties(
            title=alt.Title(
                "Global load efficiency",
                subtitle="share of the loaded sectors that was asked for; the two ways to count "
                "are not comparable",
            ),
            description="Global load efficiency by pruning rate, one line for each group size",
        )
    )
    return Drawing(chart=figure, rows=rows)
