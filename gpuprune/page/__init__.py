"""Runs as one page for people: advice, figures, tables, machines, and the data to take along."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path

from markdown_it import MarkdownIt
from markupsafe import Markup

from gpuprune import analysis, plots, report
from gpuprune.errors import GpupruneError
from gpuprune.evidence import Bench, Evidence, name_layers
from gpuprune.page.machines import Fact, facts
from gpuprune.plots import Figure, Specification
from gpuprune.records import Case
from gpuprune.report import Row
from gpuprune.storage import write_whole
from gpuprune.units import format_percent


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page that may have a figure; or the reason why it has none."""

    title: str
    figure: str | None = None  # its name among the specifications
    tables: tuple[tuple[str, Markup], ...] = ()  # each with the name of its run
    lacks: str | None = None


def _nobody(done: int) -> None:
    """Take no notice of how many layers are drawn."""


def write(evidence: Evidence, path: Path, advance: Callable[[int], None] = _nobody) -> None:
    """Write a page on whatever the evidence holds; raises GpupruneError as `plots.check` does.

    `advance` is told how many of the layers are drawn.
    """
    plots.check(path, suffixes=(".html",))
    write_whole(path, render(evidence, advance).encode())


def count_layers(evidence: Evidence) -> int:
    """Count the layers that the page draws one by one, which takes longest."""
    return len(_by_layer(evidence.benches))


def render(evidence: Evidence, advance: Callable[[int], None] = _nobody) -> str:
    """Return the page: one text without any reference to another file."""
    specifications: dict[str, Specification] = {}
    downloads = dict(_downloads(evidence))
    body = plots.fill(
        files("gpuprune.page").joinpath("page.html").read_text(encoding="utf-8"),
        evidence=evidence,
        advice=list(_advice(evidence.benches)),
        figures=list(_figures(evidence, specifications)),
        runs=[_section(bench) for bench in evidence.benches],
        layers=list(_layers(evidence.benches, specifications, advance)),
        listings=list(_listings(evidence)),
        facts=_facts(evidence),
        downloads=list(downloads),
    )
    return plots.document(_title(evidence), body, specifications, downloads)


def _title(evidence: Evidence) -> str:
    return " · ".join(["gpuprune report", *(bench.name for bench in evidence.benches)])


def _advice(benches: Iterable[Bench]) -> Iterator[tuple[str, str]]:
    for bench in benches:
        text = report.conclusion(analysis.by_layer(bench.results)) if bench.has_ended else ""
        if text:
            yield bench.name, text


def _figures(evidence: Evidence, into: dict[str, Specification]) -> Iterator[Section]:
    """Draw what is told of all layers together; of several, each has its own speedups."""
    names = []
    if evidence.benches:
        names += ["breakeven" if _by_layer(evidence.benches) else "speedup", "roofline"]
    if evidence.efficiencies:
        names.append("efficiency")
    if evidence.trainings:
        names += ["accuracy", *(["tradeoff"] if evidence.benches else [])]
    for name in names:
        try:
            yield _drawn(name, plots.draw(name, evidence), into)
        except GpupruneError as reason:
            yield Section(title=name, lacks=f"{reason}.")


def _drawn(name: str, figure: Figure, into: dict[str, Specification]) -> Section:
    into[name] = plots.specification(figure, plots.PAGE)
    return Section(title=name, figure=name)


def _section(bench: Bench) -> Section:
    text = report.summary(bench.run, bench.results, markdown=True, unfinished=not bench.has_ended)
    return Section(title=bench.name, tables=(("", _html(text)),))


def _layers(
    benches: Sequence[Bench], into: dict[str, Specification], advance: Callable[[int], None]
) -> Iterator[Section]:
    """Tell each of several layers by itself, its runs side by side."""
    for number, (layer, own) in enumerate(_by_layer(benches).items()):
        name, lacks = f"layer-{number}", None
        if len({one.case.rate for bench in own for one in bench.results}) > 1:
            try:
                _drawn(name, plots.speedup(own), into)
            except GpupruneError as reason:
                lacks = f"{reason}."
        yield Section(
            title=f"{layer.name} ({layer.shape})",
            figure=name if name in into else None,
            lacks=lacks,
            tables=tuple(
                (
                    bench.name if len(benches) > 1 else "",
                    _html(report.layer_summary(bench.results, markdown=True)),
                )
                for bench in own
            ),
        )
        advance(number + 1)


def _by_layer(benches: Iterable[Bench]) -> dict[Case, list[Bench]]:
    """Return by layer what each run has of it; nothing where there is only one."""
    everywhere: dict[Case, list[Bench]] = {}
    for bench in benches:
        for layer, results in analysis.by_layer(bench.results).items():
            everywhere.setdefault(layer, []).append(replace(bench, results=tuple(results)))
    return everywhere if len(everywhere) > 1 else {}


def _listings(evidence: Evidence) -> Iterator[tuple[str, Markup]]:
    """Lay out what is no result of `bench`, in a table a file."""
    for training in evidence.trainings:
        shown: list[Row] = [
            {
                "group": "unpruned" if one.group is None else one.group,
                "seed": one.seed,
                "accuracy": format_percent(one.accuracy, 2),
                "removed": format_percent(one.achieved_rate),
                "retrained": one.retrain_epochs,
                "dead_classes": one.dead_classes,
            }
            for one in training.outcomes
        ]
        yield f"Accuracy: {training.path.name}", _html(report.listing(shown, "markdown"))
    if evidence.efficiencies:
        rows: list[Row] = [
            {
                "layer": ", ".join(names),
                "product": one.product,
                "counted_by": one.definition,
                "rate": one.rate,
                "group": one.group,
                "load_efficiency": f"{one.percent:.1f} %",
            }
            for names, one in zip(
                name_layers(evidence.efficiencies), evidence.efficiencies, strict=True
            )
        ]
        yield "Load efficiency", _html(report.listing(rows, "markdown"))


def _downloads(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each file that the page can save."""
    tables: dict[str, list[Row]] = {
        "bench": [
            {"run": bench.name, **row}
            for bench in evidence.benches
            for row in report.flatten(bench.run, bench.results)
        ],
        "accuracy": [
            {"run": str(training.path), **one.row()}
            for training in evidence.trainings
            for one in training.outcomes
        ],
        "efficiency": [{**asdict(one), "path": str(one.path)} for one in evidence.efficiencies],
    }
    for name, rows in tables.items():
        if rows:
            yield f"gpuprune-{name}.csv", report.csv_text(rows)
            yield f"gpuprune-{name}.jsonl", report.json_lines(rows)


def _facts(evidence: Evidence) -> list[Fact]:
    runs = [(bench.path, bench.run) for bench in evidence.benches]
    trainings = [(training.path, training.header) for training in evidence.trainings]
    return facts([*runs, *trainings])


def _html(markdown: str) -> Markup:
    """Turn our own Markdown into HTML: tables and emphasis, and nothing a name could smuggle."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.disable(["link", "image", "autolink", "html_inline", "html_block", "entity"])
    return Markup(reader.render(markdown))  # noqa: S704 - made without any HTML of the text
