"""A whole model in one table: what each layer should be, and what all of them take together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gpuprune import analysis
from gpuprune.analysis import median_s
from gpuprune.config import PAPER_RATE
from gpuprune.contenders import BASELINE
from gpuprune.records import Case, Result
from gpuprune.report.layout import NOISE, printable, table
from gpuprune.units import format_count, format_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """One layer at one rate."""

    case: Case  # of the fastest sparse product, or any where there is none
    dense_s: float | None
    sparse_s: float | None
    contender: str  # the fastest sparse one
    is_unsteady: bool = False  # the samples of one of the two spread widely

    @property
    def best_s(self) -> float | None:
        """Seconds where it is left dense if that is faster."""
        return min((s for s in (self.dense_s, self.sparse_s) if s is not None), default=None)

    @property
    def best(self) -> str:
        """The product that takes so long, dense where both do; empty where none has a time."""
        if self.best_s is None:
            return ""
        return BASELINE if self.best_s == self.dense_s else self.contender


def is_model(layers: Mapping[Case, Sequence[Result]]) -> bool:
    """Whether results are of several layers of one model."""
    sources = {case.weights and case.weights.partition("::")[0] for case in layers}
    return len(layers) > 1 and len(sources) == 1 and None not in sources


def layers_table(layers: Mapping[Case, Sequence[Result]], markdown: bool) -> str:
    """Lay out a row a layer, at the told rate.

    Layers that were pruned elsewhere have a rate each, and are told as they are.
    """
    rate = _told_rate(layers)
    chosen = [_at(results, rate) for results in layers.values()]
    how = "as it is" if rate is None else f"at {rate:g}"
    noise = f"; {NOISE}" if any(layer.is_unsteady for layer in chosen) else ""
    title = f"The model layer by layer, {how}: the fastest product of any group size{noise}"
    headers = ["layer", "shape", "dense", "sparse", "best", "group", "speedup"]
    rows = [_row(layer) for layer in chosen]
    return f"{title}\n\n{table(headers, rows, markdown, left=[0, 4])}"


def totals_table(layers: Mapping[Case, Sequence[Result]], markdown: bool) -> str:
    """Lay out what all layers take together: a row a rate."""
    chosen = {rate: [_at(results, rate) for results in layers.values()] for rate in _rates(layers)}
    headers = ["rate", "dense", "sparse everywhere", "best per layer", "speedup", "left dense"]
    rows = [_total(rate, own) for rate, own in chosen.items()]
    parts = [
        f"All {len(layers)} layers together",
        table(headers, rows, markdown),
        *dict.fromkeys(_incomplete(own) for own in chosen.values()),
    ]
    return "\n\n".join(part for part in parts if part)


def told(layers: Mapping[Case, Sequence[Result]]) -> str:
    """Say in a sentence what the totals come to at the told rate; empty without any time."""
    rate = _told_rate(layers)
    chosen = [_at(results, rate) for results in layers.values()]
    both = _complete(chosen)
    if not both:
        return ""
    noise = "~" if any(one.is_unsteady for one in chosen) else ""
    dense_s, best_s = (
        sum(times) for times in zip(*((d, min(d, s)) for d, s in both), strict=True)
    )
    how = "as it is" if rate is None else f"pruned to {rate:g} in its fastest group size"
    return (
        f"{format_count(len(both), 'layer')} together take {format_seconds(dense_s)} dense; each "
        f"{how}, or left dense where that is faster, "
        f"{format_seconds(best_s)} ({noise}{dense_s / best_s:.2f}x)."
        + analysis.doubt(one for results in layers.values() for one in results)
    )


def _told_rate(layers: Mapping[Case, Sequence[Result]]) -> float | None:
    return min(_rates(layers), key=lambda rate: abs((rate or 0) - PAPER_RATE))


def _complete(layers: Iterable[_Layer]) -> list[tuple[float, float]]:
    """Return dense and sparse times of the layers that have both."""
    return [(one.dense_s, one.sparse_s) for one in layers if one.dense_s and one.sparse_s]


def _rates(layers: Mapping[Case, Sequence[Result]]) -> list[float | None]:
    """List the rates that were asked; None for layers as they are."""
    cases = [one.case for results in layers.values() for one in results]
    asked = sorted({case.rate for case in cases if not case.as_is})
    return [*asked] or [None]


def _at(results: Iterable[Result], rate: float | None) -> _Layer:
    """Choose the product of a layer that gains most at a rate, over dense of the same case."""
    own = [one for one in results if rate is None or one.case.rate == rate]
    dense = {one.case: median_s(one) for one in own if one.contender == BASELINE}
    sparse = [
        (seconds, one)
        for one in own
        if one.contender in analysis.sparse_contenders(own) and (seconds := median_s(one))
    ]
    if not sparse:
        case = own[0].case
        return _Layer(case=case, dense_s=dense.get(case), sparse_s=None, contender="")

    def gain(pair: tuple[float, Result]) -> tuple[float, float]:
        seconds, one = pair
        return (dense.get(one.case) or 0.0) / seconds, -seconds

    seconds, best = max(sparse, key=gain)
    return _Layer(
        case=best.case,
        dense_s=dense.get(best.case),
        sparse_s=seconds,
        contender=best.contender,
        is_unsteady=best.case in analysis.unsteady(own, best.contender, BASELINE),
    )


def _row(layer: _Layer) -> list[str]:
    case = layer.case
    gain = layer.dense_s / layer.best_s if layer.dense_s and layer.best_s else None
    return [
        printable(case.name),
        case.shape,
        _seconds(layer.dense_s),
        _seconds(layer.sparse_s),
        layer.best,
        str(case.group) if layer.best not in ("", BASELINE) else "",
        f"{'~' if layer.is_unsteady else ''}{gain:.2f}x" if gain else "",
    ]


def _total(rate: float | None, layers: Sequence[_Layer]) -> list[str]:
    """Add up the layers that have both times; the others would compare unlike sums."""
    both = _complete(layers)
    noise = "~" if any(one.is_unsteady for one in layers) else ""
    dense_s = sum(dense for dense, _ in both)
    best_s = sum(map(min, both))
    return [
        "as it is" if rate is None else f"{rate:.4g}",
        _seconds(dense_s if both else None),
        _seconds(sum(sparse for _, sparse in both) if both else None),
        _seconds(best_s if both else None),
        f"{noise}{dense_s / best_s:.2f}x" if both else "",
        f"{sum(dense <= sparse for dense, sparse in both)} of {len(both)}",
    ]


def _incomplete(layers: Sequence[_Layer]) -> str:
    lacking = [one for one in layers if not (one.dense_s and one.sparse_s)]
    if not lacking:
        return ""
    named = printable(lacking[0].case.name)
    more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
    return f"In no sum, for want of a time: {named}{more}."


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else format_seconds(seconds)
