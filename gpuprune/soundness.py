"""Values that no run holds, although its lines are well-formed: refused before any use."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any, get_args

from gpuprune.errors import GpupruneError
from gpuprune.records import ITEM_BYTES, Calibration, Case, Result, Run, Status

_ENVIRONMENT = ("device", "device_name", "node", "threads", "packages")
_SHORTEST_S, _LONGEST_S = 1e-12, 1e9  # what no clock shows, and three decades


def require_sound(path: Path, run: Run, results: Iterable[Result]) -> None:
    """Raise GpupruneError for what no run of ours holds, so that nobody has to doubt a number."""
    if fault := environment_fault(run.environment):
        raise unsound(path, fault)
    if not (isinstance(run.configuration, dict) and _is_sound_calibration(run.calibration)):
        raise unsound(path, "its first line has a value of another kind")
    for number, result in enumerate(results, start=1):
        if not (is_sound_case(result.case) and _is_sound_result(result)):
            raise unsound(path, f"result {number} has a value of another kind")


def environment_fault(environment: object) -> str | None:
    """Say what is wrong with the description of a machine, None if nothing is."""
    if not isinstance(environment, Mapping):
        return "its environment is no table"
    if missing := [name for name in _ENVIRONMENT if name not in environment]:
        return f"its environment lacks {', '.join(missing)}"
    counts = (environment["threads"], environment.get("busy_cores"))
    texts = (environment["device"], environment["device_name"])
    if not (
        all(isinstance(text, str) for text in texts)
        and isinstance(environment["packages"], Mapping)
        and all(count is None or is_number(count) for count in counts)
    ):
        return "the machine that it describes has a value of another kind"
    return None


def is_sound_case(case: Case) -> bool:
    """Whether every value of a case is one that a case can have."""
    sizes = (case.rows, case.cols, case.batch, case.group)
    texts = (case.dtype, case.orientation, case.score, case.weights or "")
    return (
        all(type(size) is int and size >= 1 for size in sizes)
        and all(
            type(count) is int and count >= 0 for count in (case.min_groups_per_row, case.seed)
        )
        and is_number(case.rate)
        and 0 <= case.rate <= 1
        and all(isinstance(text, str) for text in texts)
        and case.dtype in ITEM_BYTES
        and isinstance(case.as_is, bool)
    )


def is_time(value: Any) -> bool:
    """Whether a value is a number of seconds that something can take."""
    return is_number(value) and _SHORTEST_S <= value <= _LONGEST_S


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, which in Python `True` seems to be as well."""
    if isinstance(value, float):
        return isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def unsound(path: Path, what: str, command: str = "bench") -> GpupruneError:
    """Make the error that says what is wrong with a run."""
    return GpupruneError(
        f"{path} is no run of gpuprune {command}: {what}",
        hint=f"give a file as `gpuprune {command} --output` wrote it",
    )


def _is_sound_result(result: Result) -> bool:
    texts = (result.contender, result.reason or "", result.bound or "", result.pattern or "")
    samples = result.timing.samples_s if result.timing else (1.0,)
    return (
        all(isinstance(text, str) for text in texts)
        and result.status in get_args(Status)
        and bool(samples)
        and all(map(is_time, samples))
        and (result.roofline_s is None or _is_positive(result.roofline_s))
        and (result.nnz is None or type(result.nnz) is int)
    )


def _is_sound_calibration(calibration: Calibration) -> bool:
    values = asdict(calibration)
    rates, start_s = values.pop("flops_per_s"), values.pop("start_s")
    known = [value for value in values.values() if value is not None]  # what a device can measure
    return (
        isinstance(rates, dict)
        and all(map(_is_positive, [*rates.values(), *known]))
        # One thread is started by nobody.
        and (start_s is None or (is_number(start_s) and start_s >= 0))
    )


def _is_positive(value: Any) -> bool:
    return is_number(value) and value > 0
