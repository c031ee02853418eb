"""Evidence from files, each told by how it begins."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from gpuprune import session
from gpuprune.accuracy import experiment
from gpuprune.accuracy.records import KIND
from gpuprune.errors import GpupruneError
from gpuprune.evidence.efficiencies import holds_profile, read_efficiencies
from gpuprune.evidence.records import Bench, Efficiency, Evidence, Training
from gpuprune.evidence.soundness import require_sound_training
from gpuprune.records import Case
from gpuprune.storage import read as read_run
from gpuprune.storage import twice
from gpuprune.units import format_count

_MOST_NAMES = 8  # of layers, told in a hint
# What tells two runs apart, in the order in which a reader looks for it.
_FACTS: tuple[Callable[[Bench], Any], ...] = (
    lambda one: one.run.environment["device_name"],
    lambda one: str(one.run.environment["node"]),
    lambda one: _threads(one.run.environment.get("threads")),
    lambda one: str(one.run.configuration.get("dtype")),
    lambda one: f"{one.run.configuration.get('orientation')} groups",
    lambda one: f"scored by {one.run.configuration.get('score')}",
    lambda one: f"gpuprune {one.run.version}",
    lambda one: one.path.name,
    lambda one: str(one.path),
)


def read(paths: Sequence[Path]) -> Evidence:
    """Read run files of `bench` and `accuracy`, and JSON lines of `profile`.

    Raises GpupruneError for a file that holds none of these or no result, for one that is given
    twice, and for runs of `bench` that were timed under different contracts.
    """
    if repeated := twice(paths):
        raise GpupruneError(repeated, hint="give each run once")
    benches: list[Bench] = []
    trainings: list[Training] = []
    efficiencies: list[Efficiency] = []
    warnings: list[str] = []
    for path in paths:
        if holds_profile(path):
            efficiencies += read_efficiencies(path)
            continue
        file = read_run(path)
        warnings += [file.warning] if file.warning else []
        if not file.results:
            raise GpupruneError(
                f"{path} holds no results", hint="give a run that has measured something"
            )
        if file.end is None:
            warnings.append(f"{path}: the run has not ended; shown is what it has measured so far")
        if file.header.get("kind") == KIND:
            header, outcomes = experiment.parse(file)
            require_sound_training(path, header, outcomes)
            trainings.append(Training(path=path, header=header, outcomes=tuple(outcomes)))
        else:
            run, results = session.parse(file)
            has_ended = file.end is not None
            benches.append(
                Bench(name="", path=path, run=run, results=tuple(results), has_ended=has_ended)
            )
    _require_one_contract(benches)
    return Evidence(
        benches=tuple(_named(benches)),
        trainings=tuple(trainings),
        efficiencies=tuple(efficiencies),
        warnings=tuple(warnings),
    )


def only_layers(evidence: Evidence, pattern: str) -> Evidence:
    """Leave out the results of layers of another name; raises GpupruneError where none is left."""
    benches = [
        replace(bench, results=tuple(r for r in bench.results if _matches(r.case, pattern)))
        for bench in evidence.benches
    ]
    kept = replace(
        evidence,
        benches=tuple(bench for bench in benches if bench.results),
        efficiencies=tuple(one for one in evidence.efficiencies if _matches(one, pattern)),
    )
    if not kept.benches and not kept.efficiencies:
        layers: list[Case | Efficiency] = [
            one.case for bench in evidence.benches for one in bench.results
        ]
        layers += evidence.efficiencies
        names = sorted({repr(one.name) for one in layers})
        raise GpupruneError(
            f"no layer matches {pattern!r}",
            hint=f"there are {', '.join(names[:_MOST_NAMES])}" if names else "leave it out",
        )
    return kept


def _matches(case: Case | Efficiency, pattern: str) -> bool:
    return fnmatchcase(case.name, pattern) or fnmatchcase(case.shape, pattern)


def _require_one_contract(benches: Sequence[Bench]) -> None:
    for other in benches[1:]:
        first, here = asdict(benches[0].run.contract), asdict(other.run.contract)
        for name, value in first.items():
            if here[name] != value:
                raise GpupruneError(
                    f"the runs were timed in different ways: {benches[0].path} with "
                    f"{name.replace('_', ' ')} {value!r}, {other.path} with {here[name]!r}",
                    hint="measure them again with the same options, or show them apart",
                )


def _threads(count: int | None) -> str | None:
    return format_count(count, "thread") if count else None


def _named(benches: Sequence[Bench]) -> list[Bench]:
    """Name each run by the facts that tell it from the others; one alone by its device."""
    told = [fact for fact in _FACTS if len({fact(one) for one in benches}) > 1] or [_FACTS[0]]
    names: list[str] = []
    for count in range(1, len(told) + 1):
        names = [
            ", ".join(str(value) for fact in told[:count] if (value := fact(one)) is not None)
            for one in benches
        ]
        if len(set(names)) == len(names):
            break
    return [replace(one, name=name) for one, name in zip(benches, names, strict=True)]
