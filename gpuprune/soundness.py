"""Values that no run holds, although its lines are well-formed: refused before any use."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any, get_args

from gpuprune.errors import GpupruneError
from gpuprune.records import ITEM_BYTES, Calibration, Case, Result, Run, Status
from gpuprune.resuming import MACHINE

_LARGEST_COUNT = 2**63 - 1
_LONGEST_TOLD = 40  # characters of a value
# By nvprof's definition 32 lanes that read the same 16 bytes have 1600, and ncu's passes 100, too,
# where it counts bytes of loads whose sectors it leaves out; nothing comes near this.
_MOST_EFFICIENCY_PCT = 1e6
_SHORTEST_S, _LONGEST_S = 1e-12, 1e9  # what no clock shows, and three decades


def require_sound(path: Path, run: Run, results: Iterable[Result]) -> None:
    """Raise GpupruneError for what no run of ours holds, so that nobody has to doubt a number."""
    if fault := environment_fault(run.environment):
        raise unsound(path, fault)
    if not (isinstance(run.configuration, dict) and _is_sound_calibration(run.calibration)):
        raise unsound(path, "its first line has a value of another kind")
    first: dict[tuple[Case, str], int] = {}
    for number, result in enumerate(results, start=1):
        if fault := _result_fault(result):
            raise unsound(path, f"{fault} in result {number}")
        before = first.setdefault((result.case, result.contender), number)
        if before != number:
            raise unsound(path, f"result {number} repeats result {before}")


def environment_fault(environment: object) -> str | None:
    """Say what is wrong with the description of a machine, None if nothing is."""
    if not isinstance(environment, Mapping):
        return "its environment is no table"
    if missing := [name for name in MACHINE if name not in environment]:
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


def case_fault(case: Case) -> str | None:
    """Say which value of a case is none that a case can have, None if all are."""
    rules = {
        **dict.fromkeys(("rows", "cols", "batch", "group"), _is_size),
        **dict.fromkeys(("min_groups_per_row", "seed"), _is_count),
        "rate": lambda rate: is_number(rate) and 0 <= rate <= 1,
        "dtype": lambda dtype: isinstance(dtype, str) and dtype in ITEM_BYTES,
        **dict.fromkeys(("orientation", "score"), _is_text),
        "weights": lambda label: label is None or _is_text(label),
        "as_is": lambda flag: isinstance(flag, bool),
    }
    return _first_fault(case, rules)


def is_time(value: Any) -> bool:
    """Whether a value is a number of seconds that something can take."""
    return is_number(value) and _SHORTEST_S <= value <= _LONGEST_S


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, which in Python `True` seems to be as well."""
    if isinstance(value, float):
        return isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def is_efficiency(value: Any) -> bool:
    """Whether a value is a load efficiency that a kernel can have, in per cent."""
    return is_number(value) and 0 <= value <= _MOST_EFFICIENCY_PCT


def quoted(value: object) -> str:
    """Write a value as an error names it: as Python would, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of so many digits
        return "a number of very many digits"
    return text if len(text) <= _LONGEST_TOLD else f"{text[:_LONGEST_TOLD]}..."


def unsound(path: Path, what: str, command: str = "bench") -> GpupruneError:
    """Make the error that says what is wrong with a run."""
    return GpupruneError(
        f"{path} is no run of gpuprune {command}: {what}",
        hint=f"give a file as `gpuprune {command} --output` wrote it",
    )


def lacking(path: Path, error: Exception, command: str = "bench") -> GpupruneError:
    """Make the error that says what a line lacks of a record."""
    return GpupruneError(
        f"{path} lacks what a run of gpuprune {command} holds: {error}",
        hint=f"give a file that `gpuprune {command} --output` wrote",
    )


def _result_fault(result: Result) -> str | None:
    texts = dict.fromkeys(
        ("reason", "bound", "pattern"), lambda text: text is None or _is_text(text)
    )
    fault = case_fault(result.case) or _first_fault(
        result,
        {
            "contender": _is_text,
            "status": lambda status: _is_text(status) and status in get_args(Status),
            **texts,
            "roofline_s": lambda seconds: seconds is None or _is_positive(seconds),
            "nnz": lambda count: count is None or _is_count(count),
        },
    )
    if fault or result.timing is None:
        return fault
    samples = result.timing.samples_s
    wrong = () if not samples else next((one for one in samples if not is_time(one)), None)
    return None if wrong is None else f"samples_s is {quoted(wrong)}"


def _first_fault(record: object, rules: Mapping[str, Callable[[Any], bool]]) -> str | None:
    values = ((name, getattr(record, name), holds) for name, holds in rules.items())
    return next((f"{name} is {quoted(v)}" for name, v, holds in values if not holds(v)), None)


def _is_size(value: Any) -> bool:
    return _is_count(value) and value >= 1


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST_COUNT


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


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
