"""A whole model in one table: what each layer should be, and what all of them take together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gpuprune import analysis
from gpuprune.advice import doubt
from gpuprune.analysis import median_s
from gpuprune.config import PAPER_RATE
from gpuprune.contenders import BASELINE
from gpuprune.records import Case, Result
from gpuprune.report.layout import NOISE, printable, table
from gpuprune.units import format_count, format_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """One layer at one rate."""

    case: Case  # of the sparse product that is told, or any where there is none
    dense_s: float | None
    sparse_s: float | None
    contender: str  # the sparse one
    pays: bool = False  # it is faster than dense by more than the spread of their samples
    is_unsteady: bool = False  # the samples of one of the two spread widely

    @property
    def best(self) -> str:
        """Dense unless the sparse product pays; of one time its own; empty without any."""
        if self.dense_s and not self.pays:
            return BASELINE
        return self.contender if self.sparse_s else ""

    @property
    def best_s(self) -> float | None:
        """Seconds of what is best."""
        return self.dense_s if self.best == BASELINE else self.sparse_s


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
    title = (
        f"The model layer by layer, {how}: the fastest product of any group size, and dense where "
        f"that gains no more than noise{noise}"
    )
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
    dense_s, _, best_s = _sums(both)
    how = "as it is" if rate is None else f"pruned to {rate:g} in its fastest group size"
    return (
        f"{format_count(len(both), 'layer')} together take {format_seconds(dense_s)} dense; each "
        f"{how}, or left dense where it gains no more than noise, "
        f"{format_seconds(best_s)} ({noise}{dense_s / best_s:.2f}x)."
        + doubt(one for results in layers.values() for one in results)
    )


def _told_rate(layers: Mapping[Case, Sequence[Result]]) -> float | None:
    return min(_rates(layers), key=lambda rate: abs((rate or 0) - PAPER_RATE))


def _complete(layers: Iterable[_Layer]) -> list[_Layer]:
    """Leave out layers without a dense or a sparse time, which would add up unlike things."""
    return [one for one in layers if one.dense_s and one.sparse_s]


def _sums(layers: Sequence[_Layer]) -> tuple[float, float, float]:
    """Add up the seconds of the dense, the sparse, and the best products."""
    return (
        sum(one.dense_s or 0.0 for one in layers),
        sum(one.sparse_s or 0.0 for one in layers),
        sum(one.best_s or 0.0 for one in layers),
    )


def _rates(layers: Mapping[Case, Sequence[Result]]) -> list[float | None]:
    """List the rates that were asked; None for layers as they are."""
    cases = [one.case for results in layers.values() for one in results]
    asked = sorted({case.rate for case in cases if not case.as_is})
    return [*asked] or [None]


def _at(results: Iterable[Result], rate: float | None) -> _Layer:
    """Choose the product of a layer that gains most at a rate, by the rule of `fastest`."""
    own = [one for one in results if rate is None or one.case.rate == rate]
    at = {(one.case, one.contender): one for one in own}
    top = analysis.fastest(own)
    if top is None:
        return _without_speedup(own)
    dense, sparse = at[top.case, BASELINE], at[top.case, top.contender]
    return _Layer(
        case=top.case,
        dense_s=median_s(dense),
        sparse_s=median_s(sparse),
        contender=top.contender,
        pays=analysis.is_gain(sparse, dense),
        is_unsteady=top.is_unsteady,
    )


def _without_speedup(results: Sequence[Result]) -> _Layer:
    """Tell the time there is of a layer that has none of dense, or none of a sparse product."""
    names = (BASELINE, *analysis.sparse_contenders(results))
    timed = [one for one in results if one.contender in names and median_s(one)]
    if not timed:
        return _Layer(case=results[0].case, dense_s=None, sparse_s=None, contender="")
    one = min(timed, key=lambda one: median_s(one) or 0.0)
    if one.contender == BASELINE:
        return _Layer(case=one.case, dense_s=median_s(one), sparse_s=None, contender="")
    return _Layer(case=one.case, dense_s=None, sparse_s=median_s(one), contender=one.contender)


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
    dense_s, sparse_s, best_s = _sums(both)
    return [
        "as it is" if rate is None else f"{rate:.4g}",
        _seconds(dense_s if both else None),
        _seconds(sparse_s if both else None),
        _seconds(best_s if both else None),
        f"{noise}{dense_s / best_s:.2f}x" if both else "",
        f"{sum(one.best == BASELINE for one in both)} of {len(both)}",
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
