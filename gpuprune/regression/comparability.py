"""Whether two sides may be compared at all, and which differences are suspects if they differ."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from gpuprune.regression import Incomparable
from gpuprune.regression.arm import Arm
from gpuprune.regression.baseline import Conditions

# What makes a time another time, whatever the code does.
_MACHINE = ("device", "device_name", "threads", "power_limit_w", "nvidia_tf32_override")
# What only says which cells there are: those on one side only are verdicts.
_CELLS = ("rates", "groups", "contenders")
# What may differ and can explain a change.
_SUSPECTS = (
    "node", "system", "python", "driver", "cuda_driver", "cuda_runtime", "cublas", "cusparse",
    "max_sm_clock_hz", "max_memory_clock_hz", "waiting_threads",
)  # fmt: skip


def require_comparable(base: Conditions, candidate: Conditions) -> None:
    """Raise Incomparable, naming everything that has to agree and does not."""
    if found := list(_differences(base, candidate)):
        raise Incomparable(
            f"the two sides cannot be compared: {'; '.join(found)}",
            hint="check on the machine and with the options of the baseline, or record another: "
            "gpuprune baseline record -o FILE",
        )


def require_same_patterns(base: Arm, candidate: Arm) -> None:
    """Raise Incomparable where the same case was pruned to other weights."""
    for cell, pattern in base.patterns.items():
        other = candidate.patterns.get(cell, pattern)
        if other != pattern:
            case, _ = cell
            raise Incomparable(
                f"at rate {case.rate:g}, group {case.group} the two sides kept other weights "
                f"(pattern {pattern} in the baseline, {other} in the candidate)",
                hint="the pruning itself changed: record another baseline",
            )


def suspects(base: Conditions, candidate: Conditions) -> list[str]:
    """List the versions and the like that changed, for whoever looks for a cause."""
    was, now = base.environment, candidate.environment
    pairs = {name: (was.get(name), now.get(name)) for name in _SUSPECTS}
    packages = [side.get("packages") or {} for side in (was, now)]
    for name in dict.fromkeys([*packages[0], *packages[1]]):
        pairs[name] = (packages[0].get(name), packages[1].get(name))
    pairs["gpuprune"] = (base.version, candidate.version)
    return [
        f"{name.replace('_', ' ')} {_told(old)} -> {_told(new)}"
        for name, (old, new) in pairs.items()
        if old != new
    ]


def _differences(base: Conditions, candidate: Conditions) -> Iterator[str]:
    was: Mapping[str, Any] = base.configuration
    now: Mapping[str, Any] = candidate.configuration
    for name in _MACHINE:
        yield from _difference(name, base.environment, candidate.environment)
    for name in was:
        if name not in (*_CELLS, "device", "threads"):
            yield from _difference(name, was, now)
    contracts = [asdict(side.contract) for side in (base, candidate)]
    for name in contracts[0].keys() - now.keys():
        yield from _difference(name, *contracts)


def _difference(name: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    if was.get(name) != now.get(name):
        title = name.replace("_", " ")
        yield f"{title} was {_told(was.get(name))} and is {_told(now.get(name))}"


def _told(value: object) -> str:
    return "none" if value is None else str(value)
