"""The break-even rate over matrix size and batch: a map a group size."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import altair as alt

from gpuprune import analysis
from gpuprune.advice import name_groups
from gpuprune.analysis import LOST, BreakEven
from gpuprune.errors import GpupruneError
from gpuprune.evidence import Bench
from gpuprune.plots import labels
from gpuprune.plots.drawing import ROWS, Drawing, Row
from gpuprune.plots.theme import CELLS, DARK_CELLS, NO_CELL, Theme
from gpuprune.units import format_rate

_STEPS = (0.5, 0.7, 0.8, 0.9, 1.0)  # a colour each
_NAMES = tuple(f"up to {step:g}" for step in _STEPS)
_NEVER = "not reached, or lost"
_LEGEND = (
    "of the fastest sparse product; ≤ the lowest rate measured was enough; > the highest was not"
)
_LOST_LEGEND = f"{LOST}: faster at some rate, slower at a higher one"
_WORST_LEGEND = "of several matrices of one shape: the one that breaks even last"
_CELL_WIDTH, _CELL_HEIGHT = 62, 30
_MOST_CELLS = 14  # beside each other, after which panels begin a new line


def chart(benches: Sequence[Bench], theme: Theme) -> Drawing:
    """Draw from which rate on the fastest sparse product beats dense, a cell a shape.

    A column a group size, a row a run. Of several tensors of one shape the last to break even is
    shown. Raises GpupruneError where nothing sparse was measured beside dense.
    """
    rows = sorted(_rows(benches), key=lambda row: (row["group"], row["size"]))
    if not rows:
        raise GpupruneError(
            "no sparse product was measured beside a dense one, so there is no break-even rate",
            hint="give a run of `gpuprune bench` with a sparse contender, such as csr",
        )
    sizes = [name for name, _ in groupby(sorted(rows, key=_size), key=lambda row: row["matrix"])]
    batches = {row["batch"] for row in rows}
    dark = alt.FieldOneOfPredicate(field="step", oneOf=list(_NAMES[:DARK_CELLS]))
    base = alt.Chart().encode(
        x=alt.X("batch:O", title="batch", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("matrix:N", title="weights", sort=sizes),
        tooltip=[
            alt.Tooltip("matrix:N", title="weights"),
            alt.Tooltip("batch:O"),
            alt.Tooltip("group:O", title="group size"),
            alt.Tooltip("told:N", title="break-even rate"),
            alt.Tooltip("matrices:Q", title="matrices of this shape"),
            alt.Tooltip("run:N"),
        ],
    )
    cells = base.mark_rect(stroke=theme.ink, strokeOpacity=0.25).encode(
        color=alt.Color(
            "step:N",
            title="break-even rate",
            scale=alt.Scale(domain=[*_NAMES, _NEVER], range=[*CELLS, NO_CELL]),
        )
    )
    numbers = base.mark_text(fontSize=11).encode(
        text="cell:N", color=alt.condition(dark, alt.value("#ffffff"), alt.value("#1f2328"))
    )
    figure = (
        alt.layer(cells, numbers, data=ROWS)
        .properties(width=alt.Step(_CELL_WIDTH), height=alt.Step(_CELL_HEIGHT))
        .facet(
            facet=alt.Facet("panel:N", **labels.panels(row["panel"] for row in rows)),
            columns=len(benches) if len(benches) > 1 else max(1, _MOST_CELLS // len(batches)),
        )
        .properties(
            title=alt.Title(
                "Break-even pruning rate, from which on sparse is faster than dense",
                subtitle=[" · ".join(labels.shared(benches)), *_legend(rows)],
            ),
            description="Break-even pruning rate by matrix size and batch",
        )
    )
    return Drawing(chart=figure, rows=rows)


def _rows(benches: Sequence[Bench]) -> Iterator[Row]:
    for bench in benches:
        run = labels.shorten(bench.name)
        found: dict[tuple[int, int, int, int], list[tuple[BreakEven, float]]] = {}
        for layer, results in analysis.by_layer(bench.results).items():
            best = analysis.best_speedups(results)
            for group, even in analysis.break_evens(best).items():
                highest = max(case.rate for case in best if case.group == group)
                key = (layer.rows, layer.cols, layer.batch, group)
                found.setdefault(key, []).append((even, highest))
        for (rows, cols, batch, group), evens in found.items():
            last, highest = max(evens, key=lambda one: 2.0 if one[0].rate is None else one[0].rate)
            yield {
                "run": run,
                "panel": " · ".join([name_groups(group), *([run] if len(benches) > 1 else [])]),
                "group": group,
                "matrix": f"{rows}x{cols}",
                "size": rows * cols,
                "batch": batch,
                "step": _step(last),
                "cell": _cell(last, highest),
                "told": str(last),
                "matrices": len(evens),
            }


def _legend(rows: Sequence[Row]) -> list[str]:
    """Explain what stands in the cells, each as far as there is one."""
    lines = [_LEGEND]
    if any(row["cell"] == LOST for row in rows):
        lines.append(_LOST_LEGEND)
    if any(row["matrices"] > 1 for row in rows):
        lines.append(_WORST_LEGEND)
    return lines


def _size(row: Row) -> tuple[int, str]:
    return row["size"], row["matrix"]


def _step(even: BreakEven) -> str:
    rate = even.rate
    if rate is None:
        return _NEVER
    return next(name for step, name in zip(_STEPS, _NAMES, strict=True) if rate <= step)


def _cell(even: BreakEven, highest: float) -> str:
    if even.rate is None:
        return LOST if even.is_lost else f"> {format_rate(highest)}"
    return str(even)
