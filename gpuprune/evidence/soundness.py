"""Values that no run holds, although their lines are well-formed: refused before any use."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpuprune.accuracy.records import Header, Outcome
from gpuprune.errors import GpupruneError
from gpuprune.records import ITEM_BYTES, Calibration, Case, Result, Run

_ENVIRONMENT = ("device", "device_name", "node", "threads", "packages")


def require_sound_bench(path: Path, run: Run, results: Iterable[Result]) -> None:
    """Refuse what no run of ours holds, so that nothing that is drawn has to doubt its numbers."""
    missing = [name for name in _ENVIRONMENT if name not in run.environment]
    if missing:
        raise _unsound(path, f"its environment lacks {', '.join(missing)}")
    if not (_is_sound_machine(run.environment) and _is_sound_calibration(run.calibration)):
        raise _unsound(path, "its first line has a value of another kind")
    for number, result in enumerate(results, start=1):
        if not (_is_sound(result.case) and _is_sound_result(result)):
            raise _unsound(path, f"result {number} has a value of another kind")


def require_sound_training(path: Path, header: Header, outcomes: Iterable[Outcome]) -> None:
    """Refuse what no training of ours holds, as `require_sound_bench` does."""
    if not {"rate", "orientation"} <= header.configuration.keys():
        raise _unsound(path, "its configuration lacks the rate or the orientation", "accuracy")
    for number, one in enumerate(outcomes, start=1):
        shares = (one.rate, one.accuracy, one.achieved_rate)
        if not (
            all(_is_number(share) and 0 <= share <= 1 for share in shares)
            and (one.group is None or (type(one.group) is int and one.group >= 1))
        ):
            raise _unsound(path, f"result {number} has a value of another kind", "accuracy")


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
    known = [value for value in values.values() if value is not None]  # what a device can measure
    return isinstance(rates, dict) and all(map(_is_positive, [*rates.values(), *known]))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _unsound(path: Path, what: str, command: str = "bench") -> GpupruneError:
    return GpupruneError(
        f"{path} is no run of gpuprune {command}: {what}",
        hint=f"give a file as `gpuprune {command} --output` wrote it",
    )
