"""Which figures there are, and which one records ask for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from gpuprune import analysis
from gpuprune import tradeoff as weighing
from gpuprune.accuracy.records import Outcome
from gpuprune.errors import GpupruneError
from gpuprune.evidence import Bench, Efficiency, Evidence, Training
from gpuprune.plots import accuracy as trained
from gpuprune.plots import breakeven, efficiency, roofline
from gpuprune.plots import speedup as speedups
from gpuprune.plots.drawing import Figure
from gpuprune.tradeoff import Point


def default_figure(evidence: Evidence) -> str:
    """Name the figure that says most about what there is."""
    if evidence.trainings:
        return "tradeoff" if evidence.benches else "accuracy"
    if not evidence.benches:
        return "efficiency"
    results = [one for bench in evidence.benches for one in bench.results]
    return "breakeven" if len(analysis.by_layer(results)) > 1 else "speedup"


def left_out(name: str, evidence: Evidence) -> dict[str, list[Path]]:
    """Return the files that a figure shows nothing of, by the figure that does."""
    of_runs = {"speedup", "breakeven", "roofline", "tradeoff"}
    kinds: list[tuple[str, set[str], Iterable[Bench | Training | Efficiency]]] = [
        (default_figure(replace(evidence, trainings=())), of_runs, evidence.benches),
        ("accuracy", {"accuracy", "tradeoff"}, evidence.trainings),
        ("efficiency", {"efficiency"}, evidence.efficiencies),
    ]
    return {
        instead: paths
        for instead, shown_by, records in kinds
        if name not in shown_by and (paths := list(dict.fromkeys(one.path for one in records)))
    }


def draw(name: str, evidence: Evidence) -> Figure:
    """Return a figure of `FIGURES`; raises GpupruneError where the records lack what it shows."""
    return FIGURES[name](evidence)


def speedup(benches: Sequence[Bench]) -> Figure:
    """Return speedups over rate."""
    return partial(speedups.chart, benches)


def accuracy(outcomes_of: Mapping[str, Sequence[Outcome]]) -> Figure:
    """Return accuracy by group size, of each run by its name."""
    return partial(trained.accuracy_chart, outcomes_of)


def tradeoff(points_of: Mapping[str, Sequence[Point]]) -> Figure:
    """Return accuracy against speedup, of each run by its name."""
    return partial(trained.tradeoff_chart, points_of)


def _speedup(evidence: Evidence) -> Figure:
    return speedup(_benches(evidence, "speedup"))


def _breakeven(evidence: Evidence) -> Figure:
    return partial(breakeven.chart, _benches(evidence, "breakeven"))


def _roofline(evidence: Evidence) -> Figure:
    return partial(roofline.chart, _benches(evidence, "roofline"))


def _efficiency(evidence: Evidence) -> Figure:
    return partial(efficiency.chart, evidence.efficiencies)


def _accuracy(evidence: Evidence) -> Figure:
    if not evidence.trainings:
        raise _lacking("accuracy", "gpuprune accuracy --output accuracy.jsonl")
    if len(evidence.trainings) == 1:
        return accuracy({"": evidence.trainings[0].outcomes})
    return accuracy({str(one.path): one.outcomes for one in evidence.trainings})


def _tradeoff(evidence: Evidence) -> Figure:
    benches = _benches(evidence, "tradeoff")
    if not evidence.trainings:
        raise _lacking("tradeoff", "gpuprune accuracy --output accuracy.jsonl")
    if len(evidence.trainings) > 1:
        paths = " and ".join(str(one.path) for one in evidence.trainings[:2])
        raise GpupruneError(
            f"accuracy stands in several runs: {paths}", hint="give one run of gpuprune accuracy"
        )
    (training,) = evidence.trainings
    return tradeoff(
        {
            bench.name: weighing.points(bench.results, training.header, training.outcomes)
            for bench in benches
        }
    )


def _benches(evidence: Evidence, figure: str) -> Sequence[Bench]:
    if not evidence.benches:
        raise _lacking(figure, "gpuprune bench --output run.jsonl")
    return evidence.benches


def _lacking(figure: str, command: str) -> GpupruneError:
    return GpupruneError(
        f"the files hold nothing to draw {figure} from", hint=f"give what this writes: {command}"
    )


FIGURES: dict[str, Callable[[Evidence], Figure]] = {
    "speedup": _speedup,
    "breakeven": _breakeven,
    "roofline": _roofline,
    "efficiency": _efficiency,
    "accuracy": _accuracy,
    "tradeoff": _tradeoff,
}
