"""Load efficiencies as `gpuprune profile --format json` prints them."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpuprune.errors import GpupruneError
from gpuprune.evidence.records import Efficiency
from gpuprune.profiler.parse import KernelProfile
from gpuprune.profiler.tables import average_efficiency
from gpuprune.records import LAYER, Case
from gpuprune.regression.efficiency import FIGURE, read_rows
from gpuprune.soundness import case_fault, is_efficiency, is_number, quoted

_MOST_HEAD_BYTES = 1 << 20
_CASE = (*LAYER, "dtype", "orientation", "score", "seed", "rate", "group")


def holds_profile(path: Path) -> bool:
    """Whether a file begins like the JSON lines of `profile`; whatever else is wrong waits.

    Raises GpupruneError where it is the same in CSV.
    """
    line = _first_line(path)
    if FIGURE in line.decode(errors="replace").strip().split(","):
        raise GpupruneError(
            f"{path} is CSV of `gpuprune profile`", hint="give the same with --format json"
        )
    try:
        first = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(first, dict) and "record" not in first and FIGURE in first


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
                definition = row["gld_definition"] or row["tool"]  # null where no value is
                key = _efficiency(path, row, row["contender"], definition, 0.0)
                products.setdefault(key, []).append(_kernel(row))
    except KeyError as lacking:
        raise _unlike(path, f"a line has no {lacking.args[0]}") from None
    except ValueError as fault:
        raise _unlike(path, str(fault)) from None
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


def _first_line(path: Path) -> bytes:
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.readline(_MOST_HEAD_BYTES)
    except OSError:
        return b""


def _predicted(path: Path, row: dict[str, Any]) -> list[Efficiency]:
    product = f"predicted, {row['mapping']}"
    return [
        _efficiency(path, row, product, "ncu", row["gld_efficiency_pct"]),
        _efficiency(path, row, product, "nvprof", row["nvprof_style_pct"]),
    ]


def _efficiency(
    path: Path, row: dict[str, Any], product: Any, definition: Any, percent: Any
) -> Efficiency:
    case = Case(**{name: row[name] for name in _CASE})
    texts = {"device": row.get("device"), "contender": product, "gld_definition": definition}
    if fault := case_fault(case):
        raise ValueError(fault)
    for name, text in texts.items():
        if not (text is None or isinstance(text, str)):
            raise ValueError(f"{name} is {quoted(text)}")
    if not is_efficiency(percent):
        raise ValueError(f"a load efficiency is {quoted(percent)}")
    return Efficiency(
        **case.setting(),
        device=texts["device"],
        path=path,
        product=str(product),
        definition=str(definition),
        rate=case.rate,
        group=case.group,
        percent=percent,
    )


def _kernel(row: dict[str, Any]) -> KernelProfile:
    metrics = row["metrics"]
    if not (isinstance(metrics, dict) and all(map(is_number, metrics.values()))):
        raise ValueError(f"metrics is {quoted(metrics)}")
    return KernelProfile(
        **{name: row[name] for name in KernelProfile._fields if name != "no_value"}
    )


def _unlike(path: Path, fault: str) -> GpupruneError:
    return GpupruneError(
        f"{path} holds no load efficiencies of products: {fault}",
        hint="give what `gpuprune profile --format json` prints",
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
