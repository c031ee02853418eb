"""Whether two sides may be compared at all, and which differences are suspects if they differ."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from gpuprune.config import Sweep
from gpuprune.regression import Incomparable
from gpuprune.regression.arm import Arm, name_of
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
_DEFAULTS = asdict(Sweep(rates=()))


def require_comparable(base: Conditions, candidate: Conditions) -> None:
    """Raise Incomparable, naming everything that has to agree and does not."""
    if found := list(_differences(base, candidate)):
        raise Incomparable(
            f"the two sides cannot be compared: {'; '.join(found)}",
            hint="check on the machine and with the options of the baseline, or record another: "
            "gpuprune baseline record -o FILE",
        )


def require_same_patterns(base: Arm, candidate: Arm) -> None:
    """Raise Incomparable where the same case was pruned to other weights.

    A candidate that does not say which were kept has none that are known to be the same; only a
    base that is too old to say it is let pass.
    """
    for cell, pattern in base.patterns.items():
        other = candidate.patterns.get(cell)
        if other != pattern and (other is not None or any(candidate.times.get(cell, ()))):
            raise Incomparable(
                f"the two sides kept other weights of {name_of(cell)} "
                f"(pattern {pattern} in the baseline, {_told(other)} in the candidate)",
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
    # An option that one side does not know was at its default there; one that is taken out of a
    # file still has to agree.
    sides = [{**_DEFAULTS, **side} for side in (was, now)]
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        if name not in (*_CELLS, "device", "threads"):
            yield from _difference(name, *sides)
    contracts = [asdict(side.contract) for side in (base, candidate)]
    for name in contracts[0].keys() - sides[0].keys():
        yield from _difference(name, *contracts)


def _difference(name: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    if was.get(name) != now.get(name):
        title = name.replace("_", " ")
        yield f"{title} was {_told(was.get(name))} and is {_told(now.get(name))}"


def _told(value: object) -> str:
    return "none" if value is None else str(value)
