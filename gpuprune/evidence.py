"""What figures and pages show: runs, trainings and load efficiencies, read from files."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from fnmatch import fnmatchcase
from math import inf
from pathlib import Path, PurePath
from typing import Any

from gpuprune import session
from gpuprune.accuracy import experiment
from gpuprune.accuracy.records import KIND, Header, Outcome
from gpuprune.errors import GpupruneError
from gpuprune.profiler.parse import KernelProfile
from gpuprune.profiler.tables import average_efficiency
from gpuprune.records import ITEM_BYTES, Calibration, Case, Result, Run
from gpuprune.regression.efficiency import read_rows
from gpuprune.storage import read as read_run

_MOST_HEAD_BYTES = 1 << 20
_MOST_NAMES = 8  # of layers, told in a hint
_ENVIRONMENT = ("device", "device_name", "node", "threads", "packages")
# What tells two runs apart, in the order in which a reader looks for it.
_FACTS: tuple[Callable[[Run], Any], ...] = (
    lambda run: run.environment["device_name"],
    lambda run: str(run.environment["node"]),
    lambda run: _threads(run.environment.get("threads")),
    lambda run: str(run.configuration.get("dtype")),
    lambda run: f"{run.configuration.get('orientation')} groups",
    lambda run: f"scored by {run.configuration.get('score')}",
    lambda run: f"gpuprune {run.version}",
    lambda run: run.started,
)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A run of `gpuprune bench`; its name tells it from the others that are shown with it."""

    name: str
    path: Path
    run: Run
    results: tuple[Result, ...]


@dataclass(frozen=True, kw_only=True)
class Training:
    """A run of `gpuprune accuracy`."""

    path: Path
    header: Header
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """The load efficiency of one sparse product, by one of the two definitions."""

    weights: str | None
    rows: int
    cols: int
    batch: int
    dtype: str
    product: str  # the contender that was measured, or the mapping that was predicted
    definition: str  # "ncu" counts distinct bytes, "nvprof" those of every lane
    rate: float
    group: int
    percent: float


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that one figure or page is drawn from, never empty."""

    benches: tuple[Bench, ...] = ()
    trainings: tuple[Training, ...] = ()
    efficiencies: tuple[Efficiency, ...] = ()
    warnings: tuple[str, ...] = ()  # what was torn and left out, what has not ended


def read(paths: Sequence[Path]) -> Evidence:
    """Read run files of `bench` and `accuracy`, and JSON lines of `profile`.

    Raises GpupruneError for a file that holds none of these or no result, for one that is given
    twice, and for runs of `bench` that were timed under different contracts.
    """
    _refuse_repeated(paths)
    benches: list[Bench] = []
    trainings: list[Training] = []
    efficiencies: list[Efficiency] = []
    warnings: list[str] = []
    for path in paths:
        if _holds_profile(path):
            efficiencies += _efficiencies(path)
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
            _require_sound_training(path, header, outcomes)
            trainings.append(Training(path=path, header=header, outcomes=tuple(outcomes)))
        else:
            run, results = session.parse(file)
            _require_sound(path, run, results)
            benches.append(Bench(name="", path=path, run=run, results=tuple(results)))
    _require_one_contract(benches)
    return Evidence(
        benches=tuple(_named(benches)),
        trainings=tuple(trainings),
        efficiencies=tuple(efficiencies),
        warnings=tuple(warnings),
    )


def layer_name(case: Case | Efficiency) -> str:
    """Name a layer as figures do: its tensor, else the file that holds it, else its shape."""
    file, _, tensor = (case.weights or "").partition("::")
    return tensor or PurePath(file).name or f"{case.rows}x{case.cols}x{case.batch}"


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
        names = {layer_name(one.case) for bench in evidence.benches for one in bench.results}
        names |= {layer_name(one) for one in evidence.efficiencies}
        raise GpupruneError(
            f"no layer matches {pattern!r}",
            hint=f"there are {', '.join(sorted(names)[:_MOST_NAMES])}"
            if names
            else "leave it out",
        )
    return kept


def _matches(case: Case | Efficiency, pattern: str) -> bool:
    shape = f"{case.rows}x{case.cols}x{case.batch}"
    return fnmatchcase(layer_name(case), pattern) or fnmatchcase(shape, pattern)


def _refuse_repeated(paths: Iterable[Path]) -> None:
    seen = set()
    for path in paths:
        if path.resolve() in seen:
            raise GpupruneError(f"{path} is given twice", hint="give each run once")
        seen.add(path.resolve())


def _holds_profile(path: Path) -> bool:
    """Whether a file begins like the JSON lines of `profile`; whatever else is wrong waits."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            first = json.loads(file.readline(_MOST_HEAD_BYTES))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(first, dict) and "record" not in first and "gld_efficiency_pct" in first


def _efficiencies(path: Path) -> list[Efficiency]:
    products: dict[Efficiency, list[KernelProfile]] = {}
    found = []
    try:
        for row in read_rows(path):
            if row.get("rate") is None:
                continue  # a captured file tells no rate
            if row.get("predicted"):
                found += _predicted(row)
            else:
                key = _efficiency(row, str(row["contender"]), str(row["gld_definition"]), 0.0)
                products.setdefault(key, []).append(_kernel(row))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise GpupruneError(
            f"{path} lacks what load efficiencies have: {error}",
            hint="give what `gpuprune profile --format json` prints",
        ) from None
    for key, kernels in products.items():
        percent = average_efficiency(kernels)
        if percent is not None:
            found.append(replace(key, percent=percent))
    if not found:
        raise GpupruneError(
            f"{path} holds no load efficiency of a known rate and group size",
            hint="give what a live run or --predict of `gpuprune profile --format json` prints",
        )
    return found


def _predicted(row: dict[str, Any]) -> list[Efficiency]:
    product = f"predicted, {row['mapping']}"
    return [
        _efficiency(row, product, "ncu", row["gld_efficiency_pct"]),
        _efficiency(row, product, "nvprof", row["nvprof_style_pct"]),
    ]


def _efficiency(row: dict[str, Any], product: str, definition: str, percent: float) -> Efficiency:
    weights, rate, group = row.get("weights"), float(row["rate"]), int(row["group"])
    if not (0 <= rate <= 1 and group >= 1 and 0 <= float(percent) < inf):
        raise ValueError(f"rate {rate:g}, group {group}, {percent} %")
    return Efficiency(
        weights=None if weights is None else str(weights),
        rows=int(row["rows"]),
        cols=int(row["cols"]),
        batch=int(row["batch"]),
        dtype=str(row["dtype"]),
        product=product,
        definition=definition,
        rate=rate,
        group=group,
        percent=float(percent),
    )


def _kernel(row: dict[str, Any]) -> KernelProfile:
    return KernelProfile(**{field.name: row[field.name] for field in fields(KernelProfile)})


def _require_sound(path: Path, run: Run, results: Iterable[Result]) -> None:
    """Refuse what no run of ours holds, so that nothing that is drawn has to doubt its numbers."""
    missing = [name for name in _ENVIRONMENT if name not in run.environment]
    if missing:
        raise _unsound(path, f"its environment lacks {', '.join(missing)}")
    if not (_is_sound_machine(run.environment) and _is_sound_calibration(run.calibration)):
        raise _unsound(path, "its first line has a value of another kind")
    for number, result in enumerate(results, start=1):
        if not (_is_sound(result.case) and _is_sound_result(result)):
            raise _unsound(path, f"result {number} has a value of another kind")


def _is_sound(case: Case) -> bool:
    sizes = (case.rows, case.cols, case.batch, case.group)
    texts = (case.dtype, case.orientation, case.score, case.weights or "")
    return (
        all(type(size) is int and size >= 1 for size in sizes)
        and _is_number(case.rate)
        and 0 <= case.rate <= 1
        and all(isinstance(text, str) for text in texts)
        and case.dtype in ITEM_BYTES
    )


def _is_sound_result(result: Result) -> bool:
    texts = (result.contender, result.status, result.reason or "", result.bound or "")
    samples = result.timing.samples_s if result.timing else (1.0,)
    return (
        all(isinstance(text, str) for text in texts)
        and bool(samples)
        and all(map(_is_positive, samples))
        and (result.roofline_s is None or _is_positive(result.roofline_s))
        and (result.nnz is None or type(result.nnz) is int)
    )


def _is_sound_machine(environment: dict[str, Any]) -> bool:
    counts = (environment["threads"], environment.get("busy_cores"))
    return (
        isinstance(environment["device_name"], str)
        and isinstance(environment["packages"], dict)
        and all(count is None or _is_number(count) for count in counts)
    )


def _is_sound_calibration(calibration: Calibration) -> bool:
    values = asdict(calibration)
    rates = values.pop("flops_per_s")
    return isinstance(rates, dict) and all(map(_is_positive, [*rates.values(), *values.values()]))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _require_sound_training(path: Path, header: Header, outcomes: Iterable[Outcome]) -> None:
    if not {"rate", "orientation"} <= header.configuration.keys():
        raise _unsound(path, "its configuration lacks the rate or the orientation", "accuracy")
    for number, one in enumerate(outcomes, start=1):
        shares = (one.rate, one.accuracy, one.achieved_rate)
        if not (
            all(_is_number(share) and 0 <= share <= 1 for share in shares)
            and (one.group is None or (type(one.group) is int and one.group >= 1))
        ):
            raise _unsound(path, f"result {number} has a value of another kind", "accuracy")


def _unsound(path: Path, what: str, command: str = "bench") -> GpupruneError:
    return GpupruneError(
        f"{path} is no run of gpuprune {command}: {what}",
        hint=f"give a file as `gpuprune {command} --output` wrote it",
    )


def _require_one_contract(benches: Sequence[Bench]) -> None:
    for other in benches[1:]:
        first, here = asdict(benches[0].run.contract), asdict(other.run.contract)
        for name, value in first.items():
            if here[name] != value:
                raise GpupruneError(
                    f"the runs were timed in different ways: {benches[0].path} with "
                    f"{name.replace('_', ' ')} {value}, {other.path} with {here[name]}",
                    hint="measure them again with the same options, or show them apart",
                )


def _threads(count: int | None) -> str | None:
    return f"{count} thread{'' if count == 1 else 's'}" if count else None


def _named(benches: Sequence[Bench]) -> list[Bench]:
    """Name each run by the facts that tell it from the others; by its file where none do."""
    told = [fact for fact in _FACTS if len({fact(one.run) for one in benches}) > 1]
    names: list[str] = []
    for count in range(1, len(told) + 1):
        names = [
            ", ".join(str(value) for fact in told[:count] if (value := fact(one.run)) is not None)
            for one in benches
        ]
        if len(set(names)) == len(names):
            break
    if len(benches) == 1:
        names = [str(_FACTS[0](benches[0].run))]
    elif len(set(names)) < len(benches):
        names = [str(one.path) for one in benches]
    return [replace(one, name=name) for one, name in zip(benches, names, strict=True)]
