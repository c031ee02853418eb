"""Writes the kernels of a report of ncu to stdout, a JSON object a line, with ncu-report.

    python -m gpuprune.profiler.parse.dump_report FILE

In a process of its own: the package's C++ half ends the process over some damaged files, and
tells stderr about others.
"""

import json
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from math import isfinite
from typing import Any

# Its name is ours: a broadcast counts as ideal here, so it is not the load efficiency.
SECTOR_IDEALITY = "ldg_sector_ideality_pct"

_THEORETICAL = "memory_l2_theoretical_sectors_global"

# What the package raises on contents that its C++ half reads and its Python half cannot.
_UNREADABLE = (LookupError, OSError, RuntimeError, SystemError, TypeError, ValueError)


def main() -> None:
    """Write the kernels of the file that the command line names."""
    for kernel in _kernels(sys.argv[1]):
        sys.stdout.write(json.dumps(kernel) + "\n")


def _kernels(path: str) -> Iterator[dict[str, object]]:
    package: Any = import_module("ncu_report")
    context = package.load_report(path)
    for at in range(context.num_ranges()):
        actions = context.range_by_idx(at)
        for action_at in range(actions.num_actions()):
            yield _kernel(actions.action_by_idx(action_at))


def _kernel(action: Any) -> dict[str, object]:
    """Take a launch apart; the units of its values stand in a table of their own."""
    values: dict[str, float | str] = {}
    units: dict[str, str] = {}
    for name in action.metric_names():
        try:
            value, unit = _value(action.metric_by_name(name))
        except _UNREADABLE:  # a damaged name
            continue
        if value is not None:
            values[name], units[name] = value, unit
    if (ideality := _sector_ideality(action)) is not None:
        values[SECTOR_IDEALITY], units[SECTOR_IDEALITY] = ideality, "%"
    rules = [str(result.get("rule_message")) for result in action.rule_results_as_dicts()]
    name = action.name(action.NameBase_DEMANGLED)
    return {"kernel": name, "values": values, "units": units, "rules": rules}


def _value(metric: Any) -> tuple[float | str | None, str]:
    """Read a metric; the package gives 0 for one that has no value."""
    if metric is None or not getattr(metric, "has_value", lambda: True)():
        return None, ""
    value = metric.value()
    if isinstance(value, int | float) and isfinite(value):
        return float(value), str(metric.unit())
    return (value, "") if isinstance(value, str) else (None, "")


def _sector_ideality(action: Any) -> float | None:
    """Compare the fewest sectors that the LDG instructions need with those of their addresses."""
    ideal, theoretical = (
        _by_instruction(action.metric_by_name(_THEORETICAL + form)) for form in ("_ideal", "")
    )
    loads = [
        pc for pc in theoretical if pc in ideal and re.search(r"\bLDG\b", action.sass_by_pc(pc))
    ]
    needed, taken = (sum(counts[pc] for pc in loads) for counts in (ideal, theoretical))
    return 100 * needed / taken if taken else None


def _by_instruction(metric: Any) -> dict[int, int]:
    if metric is None or not metric.has_correlation_ids():
        return {}
    addresses = metric.correlation_ids()
    return {addresses.as_uint64(at): metric.as_uint64(at) for at in range(metric.num_instances())}


if __name__ == "__main__":
    main()
