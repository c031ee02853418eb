"""Operations a second over operations a byte, under the roofs that the device has."""

from collections.abc import Iterable, Iterator, Sequence

import altair as alt

from gpuprune.analysis import DENSE, median_s
from gpuprune.errors import GpupruneError
from gpuprune.evidence import Bench
from gpuprune.plots import labels
from gpuprune.plots.drawing import ROWS, Drawing, Row
from gpuprune.plots.theme import PANEL_WIDTH, Theme, log_scale
from gpuprune.records import Result
from gpuprune.roofline import fewest_bytes, operations
from gpuprune.units import format_bytes

_GIGA = 1e9
_HEIGHT = 280
_NAME_HEIGHT = 20  # points above a roof, for its name
_DECADE = 10.0  # the least that is shown of intensities, so that a roof has a slope to see


def chart(benches: Sequence[Bench], theme: Theme) -> Drawing:
    """Draw what each product reaches, counting only weights that are multiplied and no index.

    A column a run. Raises GpupruneError where nothing has a time.
    """
    rows = [row for bench in benches for row in _rows(bench)]
    if not rows:
        raise GpupruneError(
            "no product of the run has a time, so there is nothing under the roofline",
            hint="see the reasons with `gpuprune report`, and measure again",
        )
    kinds = labels.by_kind("contender", "contender", [row["contender"] for row in rows], theme)
    span, x_ticks = log_scale(_about(row["intensity"] for row in rows))
    roofs = [roof for bench in benches for roof in _roofs(bench, span)]
    heights, y_ticks = log_scale(_with_headroom([row["gflops"] for row in (*rows, *roofs)]))
    x = alt.X(
        "intensity:Q",
        title="operations a byte",
        scale=alt.Scale(type="log", domain=span, nice=False),
        axis=alt.Axis(values=x_ticks, format="~g"),
    )
    y = alt.Y(
        "gflops:Q",
        title="GFLOP/s",
        scale=alt.Scale(type="log", domain=heights, nice=False),
        axis=alt.Axis(values=y_ticks, format="~g"),
    )
    base = alt.Chart().encode(x=x, y=y)
    points = (
        base.transform_filter("isValid(datum.contender)")
        .mark_point(filled=True, size=40, opacity=0.75)
        .encode(
            **kinds,
            tooltip=[
                alt.Tooltip("contender:N"),
                alt.Tooltip("layer:N"),
                alt.Tooltip("rate:Q", title="pruning rate", format=".4~f"),
                alt.Tooltip("group:O", title="group size"),
                alt.Tooltip("gflops:Q", title="GFLOP/s", format=".3~s"),
                alt.Tooltip("share:Q", title="share of the roofline", format=".0%"),
                alt.Tooltip("bound:N", title="bound by"),
            ],
        )
    )
    roof = base.transform_filter("isValid(datum.roof)")
    lines = roof.mark_line(color=theme.ink, strokeWidth=1.6).encode(detail="roof:N")
    names = (
        roof.transform_filter("datum.is_named")
        .mark_text(align="right", baseline="bottom", dx=-4, dy=-4, color=theme.ink, fontSize=11)
        .encode(text="roof:N")
    )
    figure = (
        alt.layer(lines, names, points, data=ROWS)
        .properties(width=1.4 * PANEL_WIDTH, height=_HEIGHT)
        .facet(column=alt.Column("run:N", **labels.panels(row["run"] for row in rows)))
        .properties(
            title=alt.Title(
                "What each product reaches of the device's roofline",
                subtitle="operations and bytes of the weights that are multiplied, each moved "
                "once, without any index",
            ),
            description="Operations a second by operations a byte, with the device's roofs",
        )
    )
    return Drawing(chart=figure, rows=[*rows, *roofs])


def _rows(bench: Bench) -> Iterator[Row]:
    for one in bench.results:
        seconds, count = median_s(one), _multiplied(one)
        if seconds is None or not count:
            continue
        work = operations(one.case, count)
        yield {
            "run": labels.shorten(bench.name),
            "contender": one.contender,
            "layer": labels.shorten(one.case.name),
            "rate": one.case.rate,
            "group": one.case.group,
            "intensity": work / fewest_bytes(one.case, count),
            "gflops": work / seconds / _GIGA,
            "share": one.roofline_s / seconds if one.roofline_s else None,
            "bound": one.bound,
        }


def _multiplied(result: Result) -> int | None:
    """Count the weights that a product multiplies: dense has no use for zeros."""
    case = result.case
    return case.rows * case.cols if result.contender in DENSE else result.nnz


def _about(intensities: Iterable[float]) -> list[float]:
    """Return the ends of an axis on which all lie, a decade apart or more."""
    ordered = sorted(intensities)
    return [min(ordered[0], ordered[-1] / _DECADE), max(ordered[-1], 2 * ordered[0])]


def _with_headroom(rates: Sequence[float]) -> list[float]:
    """Add a rate to those that a logarithmic axis shows, so far above that a name fits between."""
    low, high = min(rates), max(rates)
    return [low, high * (high / low) ** (_NAME_HEIGHT / (_HEIGHT - _NAME_HEIGHT))]


def _roofs(bench: Bench, span: Sequence[float]) -> Iterator[Row]:
    calibration = bench.run.calibration
    rate = calibration.memory_bytes_per_s
    memory = f"{format_bytes(rate)}/s"
    low, high = span
    for precision, peak in calibration.flops_per_s.items():
        ridge = min(max(peak / rate, low), high)
        for intensity in dict.fromkeys((low, ridge, high)):
            yield {
                "run": labels.shorten(bench.name),
                "roof": f"{precision}: {peak / _GIGA:.0f} GFLOP/s, memory {memory}",
                "intensity": intensity,
                "gflops": min(peak, rate * intensity) / _GIGA,
                "is_named": intensity == high,
            }
