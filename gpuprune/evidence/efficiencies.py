"""Load efficiencies as `gpuprune profile --format json` prints them."""

import json
from collections.abc import Iterable
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

from gpuprune.errors import GpupruneError
from gpuprune.evidence.records import Efficiency
from gpuprune.profiler.parse import KernelProfile
from gpuprune.profiler.tables import average_efficiency
from gpuprune.regression.efficiency import read_rows

_MOST_HEAD_BYTES = 1 << 20


def holds_profile(path: Path) -> bool:
    """Whether a file begins like the JSON lines of `profile`; whatever else is wrong waits."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            first = json.loads(file.readline(_MOST_HEAD_BYTES))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(first, dict) and "record" not in first and "gld_efficiency_pct" in first


def read_efficiencies(path: Path) -> list[Efficiency]:
    """Read the JSON lines of `profile`; of several kernels of a product the average by sectors.

    Raises GpupruneError where there is no efficiency of a known rate and group size, and where
    nothing tells two of them apart.
    """
    products: dict[Efficiency, list[KernelProfile]] = {}
    found = []
    try:
        for row in read_rows(path):
            if row.get("rate") is None:
                continue  # a captured file tells no rate
            if row.get("predicted"):
                found += _predicted(path, row)
            else:
                names = str(row["contender"]), str(row["gld_definition"])
                key = _efficiency(path, row, *names, 0.0)
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
    return _distinct(found)


def _predicted(path: Path, row: dict[str, Any]) -> list[Efficiency]:
    product = f"predicted, {row['mapping']}"
    return [
        _efficiency(path, row, product, "ncu", row["gld_efficiency_pct"]),
        _efficiency(path, row, product, "nvprof", row["nvprof_style_pct"]),
    ]


def _efficiency(
    path: Path, row: dict[str, Any], product: str, definition: str, percent: float
) -> Efficiency:
    weights, rate, group = row.get("weights"), float(row["rate"]), int(row["group"])
    if not (0 <= rate <= 1 and group >= 1 and 0 <= float(percent) < inf):
        raise ValueError(f"rate {rate:g}, group {group}, {percent} %")
    return Efficiency(
        weights=None if weights is None else str(weights),
        rows=int(row["rows"]),
        cols=int(row["cols"]),
        batch=int(row["batch"]),
        dtype=str(row["dtype"]),
        orientation=str(row["orientation"]),
        score=str(row["score"]),
        seed=int(row["seed"]),
        device=None if (device := row.get("device")) is None else str(device),
        path=path,
        product=product,
        definition=definition,
        rate=rate,
        group=group,
        percent=float(percent),
    )


def _kernel(row: dict[str, Any]) -> KernelProfile:
    return KernelProfile(
        **{name: row[name] for name in KernelProfile._fields if name != "no_value"}
    )


def _distinct(found: Iterable[Efficiency]) -> list[Efficiency]:
    """Drop what is there twice; raises GpupruneError where two figures are of the same product."""
    known: dict[Efficiency, Efficiency] = {}
    for one in found:
        other = known.setdefault(replace(one, percent=0.0), one)
        if other != one:
            raise GpupruneError(
                f"{one.path} has two load efficiencies of {one.product} at rate {one.rate:g} and "
                f"group {one.group}, and does not tell them apart: "
                f"{other.percent:g} % and {one.percent:g} %",
                hint="print what was asked for in different ways into a file each",
            )
    return list(known.values())
