"""A run laid out for people: speedups, shares of the roofline, break-even rates, advice."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median

from gpuprune import advice, analysis
from gpuprune.analysis import by_layer, median_s, speedups
from gpuprune.config import PAPER_RATE
from gpuprune.contenders import BASELINE
from gpuprune.environment import load_note
from gpuprune.records import Calibration, Case, Result, Run, layer_of
from gpuprune.report.breakeven import break_even_tables
from gpuprune.report.footnotes import rates_not_reached, variants
from gpuprune.report.heading import heading
from gpuprune.report.layout import NOISE, escape, printable, table
from gpuprune.report.model import is_model, layers_table, told, totals_table
from gpuprune.report.packing import packing_table
from gpuprune.report.predictions import prediction_table
from gpuprune.units import (
    format_bytes,
    format_count,
    format_minutes,
    format_percent,
    format_rate,
    format_seconds,
)

_UNFINISHED = "No advice: the run was stopped before its last case."


def summary(
    run: Run, results: Sequence[Result], *, markdown: bool = False, unfinished: bool = False
) -> str:
    """Lay out a run for people: environment, speedups, break-even rates, advice.

    Of an unfinished run only what was measured is told: a choice wants all of it.
    """
    layers = by_layer(results)
    parts = [heading(run, results, markdown)]
    if not layers:
        parts.append("Nothing was measured.")
    elif len(layers) == 1:
        parts += _layer(results, markdown)
        parts += [] if unfinished else [advice.advice(results)]
    elif len({one.case for one in results}) == len(layers):
        parts.append(_one_case_each(layers, markdown))
        parts += [] if unfinished else [_altogether(layers, markdown)]
    else:
        parts.append(_many_layers(layers, markdown))
        parts += [] if unfinished else [conclusion(layers)]
        parts.append("Every cell: --format csv or json.")
        if is_model(layers) and not unfinished:
            parts += [layers_table(layers, markdown), totals_table(layers, markdown)]
    parts += [_UNFINISHED] if layers and unfinished else []
    parts += _remarks(run, results)
    return "\n\n".join(part for part in parts if part)


def plan(cases: Sequence[Case], contenders: Sequence[str], budget_s: float) -> str:
    """Lay out what a run would measure: a row a layer."""
    layers: dict[Case, list[Case]] = {}
    for case in cases:
        layers.setdefault(layer_of(case), []).append(case)
    rows = [
        [
            _name(layer),
            layer.shape,
            ", ".join(f"{rate:g}" for rate in sorted({case.rate for case in own})),
            ", ".join(str(group) for group in sorted({case.group for case in own})),
            str(len(own)),
        ]
        for layer, own in layers.items()
    ]
    layout = table(
        ["layer", "shape", "rates", "groups", "cases"], rows, markdown=False, left=[0, 2, 3]
    )
    return (
        f"{layout}\n\n{format_count(len(cases), 'case')} of {', '.join(contenders)}: "
        f"about {format_minutes(len(cases) * budget_s)} of sampling, more where ten samples take "
        f"longer than {budget_s:g} s."
    )


def layer_summary(results: Sequence[Result], *, markdown: bool = False) -> str:
    """Lay out one layer for people: speedups, shares of the roofline, break-even rates."""
    parts = [*_layer(results, markdown), advice.advice(results)]
    return "\n\n".join(part for part in parts if part)


def conclusion(layers: Mapping[Case, Sequence[Result]]) -> str:
    """Say in a sentence or two what pruning gives one layer, several, or a model's."""
    if len(layers) == 1:
        return advice.advice(next(iter(layers.values())))
    return told(layers) if is_model(layers) else advice.advice_for_all(layers)


def _layer(results: Sequence[Result], markdown: bool) -> list[str]:
    parts = [_title(results, markdown)]
    names = analysis.sparse_contenders(results)
    for name in names:
        if speedups(results, name):
            parts.append(_speedup_table(results, name, markdown))
            parts.append(_roofline_table(results, name, markdown))
    parts += [variants(results), rates_not_reached(results)]
    parts.append(prediction_table(results, PAPER_RATE, markdown))
    parts.append(packing_table(results, PAPER_RATE, markdown))
    parts += break_even_tables(results, names, markdown)
    return parts


def _altogether(layers: dict[Case, list[Result]], markdown: bool) -> str:
    if is_model(layers):
        return f"{totals_table(layers, markdown)}\n\n{told(layers)}".rstrip()
    return advice.advice_for_all(layers)


def _title(results: Sequence[Result], markdown: bool) -> str:
    case = results[0].case
    source = _name(case) if case.weights else f"normal random weights (seed {case.seed})"
    scored = "as they are" if case.as_is else f"scored by {case.score}"
    pruned = f"{case.orientation} groups {scored}"
    times = [s for one in results if one.contender == BASELINE and (s := median_s(one))]
    dense = f"; dense takes {format_seconds(median(times))}" if times else ""
    line = (
        f"{case.rows}x{case.cols} times {case.cols}x{case.batch}, {case.dtype}, "
        f"{source}, {pruned}{dense}"
    )
    return f"**{escape(line)}**" if markdown else line


def _speedup_table(results: Sequence[Result], name: str, markdown: bool) -> str:
    found = speedups(results, name)
    products = analysis.unsteady_products(results)
    spread = {case: least for (case, own), least in products.items() if own == name}
    best = set()
    for rate in _rates(found):
        row = {case: speedup for case, speedup in found.items() if case.rate == rate}
        best.add(max(analysis.steady(row, spread).items(), key=lambda item: item[1])[0])

    def cell(case: Case) -> str:
        marks = "~" if case in spread else ""
        marks += "*" if case in best else ""
        return f"{marks}{found[case]:.2f}"

    notes = ["* fastest group at that rate"]
    if spread:
        notes = [f"{notes[0]}, steady ones first", NOISE]
    title = f"Speedup of {name} over dense ({'; '.join(notes)})"
    return f"{title}\n\n{_grid(found, cell, markdown)}"


def _roofline_table(results: Sequence[Result], name: str, markdown: bool) -> str:
    shares = {
        one.case: one.roofline_s / own_s
        for one in results
        if one.contender == name and one.roofline_s and (own_s := median_s(one))
    }
    if not shares:
        return ""

    def cell(case: Case) -> str:
        return f"{format_percent(shares[case], 0)}{'!' if shares[case] > 1 else ''}"

    flagged = any(share > 1 for share in shares.values())
    title = f"Share of the roofline that {name} reaches"
    note = " (! more than the rates measured at the start allow: do not trust)" if flagged else ""
    return f"{title}{note}\n\n{_grid(shares, cell, markdown)}"


def _grid(cases: Iterable[Case], cell: Callable[[Case], str], markdown: bool) -> str:
    """Lay out rates down and group sizes across."""
    at = {(case.rate, case.group): case for case in cases}
    groups = sorted({group for _, group in at})
    rows = [
        [
            format_rate(rate),
            *(cell(at[rate, g]) if (rate, g) in at else "" for g in groups),
        ]
        for rate in sorted({rate for rate, _ in at})
    ]
    return table(["rate", *(f"g={group}" for group in groups)], rows, markdown)


def _one_case_each(layers: dict[Case, list[Result]], markdown: bool) -> str:
    """List layers that have one rate and one group size each."""
    timed = [one for results in layers.values() for one in results if median_s(one)]
    names = analysis.sparse_contenders(timed)
    rows, noisy = [], False
    for results in layers.values():
        times = {one.contender: median_s(one) for one in results}
        case, dense = results[0].case, times.get(BASELINE)
        cells = []
        for name in names:
            own = times.get(name)
            mark = "~" if analysis.unsteady(results, name, BASELINE) else ""
            noisy |= bool(mark)
            gain = f"{format_seconds(own)} ({mark}{dense / own:.2f}x)" if own and dense else ""
            cells.append(gain)
        rows.append(
            [
                _name(case),
                case.shape,
                f"{case.rate:.4g}",
                str(case.group),
                format_seconds(dense) if dense else "",
                *cells,
            ]
        )
    headers = ["layer", "shape", "rate", "group", BASELINE, *names]
    title = f"Times, and speedups over dense ({NOISE})\n\n" if noisy else ""
    return f"{title}{table(headers, rows, markdown, left=[0])}"


def _many_layers(layers: dict[Case, list[Result]], markdown: bool) -> str:
    """Give every layer a row: dense time, break-even rate a group size, and the best cell."""
    groups = sorted({one.case.group for results in layers.values() for one in results})
    rows, tops = [], []
    for case, results in layers.items():
        evens = analysis.break_evens(analysis.best_speedups(results))
        top = analysis.fastest(results)
        tops += [top] if top else []
        times = [s for one in results if one.contender == BASELINE and (s := median_s(one))]
        rows.append(
            [
                _name(case),
                case.shape,
                format_seconds(median(times)) if times else "",
                *(str(evens[group]) if group in evens else "" for group in groups),
                _best_cell(top) if top else "",
            ]
        )
    last = "fastest, steady ones first" if any(top.is_beaten for top in tops) else "fastest"
    headers = ["layer", "shape", "dense", *(f"g={group}" for group in groups), last]
    title = "Break-even rate of each group size, by the fastest sparse product"
    title += f" ({NOISE})" if any(top.is_unsteady for top in tops) else ""
    missed = [case for case, results in layers.items() if rates_not_reached(results)]
    told = f"\n\n{_missed_in(missed)}" if missed else ""
    return f"{title}\n\n{table(headers, rows, markdown, left=[0])}{told}"


def _missed_in(layers: Sequence[Case]) -> str:
    more = f" and {format_count(len(layers) - 1, 'more layer')}" if len(layers) > 1 else ""
    return (
        f"In {printable(layers[0].name)}{more} some group sizes remove another share of the "
        "weights than the rate: achieved_rate in --format csv or json."
    )


def _best_cell(top: analysis.Fastest) -> str:
    mark = "~" if top.is_unsteady else ""
    return f"{mark}{top.speedup:.2f}x (g={top.case.group}, {top.case.rate:g})"


def _name(case: Case) -> str:
    # Tables have the shape in a column of its own.
    return "random" if case.weights is None else printable(case.name)


def _remarks(run: Run, results: Sequence[Result]) -> list[str]:
    """Say what has no time, and what the times stand on."""
    lines = []
    if note := load_note(run.environment.get("busy_cores")):
        lines.append(note)
    reasons = Counter(
        (one.contender, one.status, one.reason) for one in results if one.status != "ok"
    )
    for (contender, status, reason), count in reasons.items():
        cases = f" ({format_count(count, 'case')})" if count > 1 else ""
        lines.append(f"{contender} {status.replace('_', '-')}{cases}: {printable(reason or '')}")
    lines.append(f"Measured at the start: {', '.join(_rates_measured(run.calibration))}.")
    return ["\n".join(lines)]


def _rates_measured(calibration: Calibration) -> list[str]:
    caches, cold_s = calibration.core_cache_bytes_per_s, calibration.cold_call_s
    return [
        f"memory {format_bytes(calibration.memory_bytes_per_s)}/s",
        f"cache {format_bytes(calibration.cache_bytes_per_s)}/s",
        *([f"core caches {format_bytes(caches)}/s"] if caches else []),
        *(f"{name} {flops / 1e9:.0f} GFLOP/s" for name, flops in calibration.flops_per_s.items()),
        f"empty call {format_seconds(calibration.empty_s)}",
        *([f"cold call {format_seconds(cold_s)}"] if cold_s else []),
    ]


def _rates(cases: Iterable[Case]) -> set[float]:
    return {case.rate for case in cases}
