"""What a sweep measures: its cases, and what forbids them before anything is measured."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from gpuprune import weights
from gpuprune.config import Sweep
from gpuprune.errors import GpupruneError
from gpuprune.problem import load_weights
from gpuprune.records import ITEM_BYTES, Case

_COPIES = 8  # of a layer and its operands that a case needs at once, ranking and float64 included


def cases(sweep: Sweep) -> list[Case]:
    """List the cases of a sweep: by layer, then group, then rate, as they are best made.

    Reads the heads of weight files, and with `as_is` their values.
    """
    common: dict[str, Any] = {
        "dtype": sweep.dtype,
        "orientation": sweep.orientation,
        "score": sweep.score,
        "min_groups_per_row": sweep.min_groups_per_row,
        "seed": sweep.seed,
    }
    if sweep.weights is None:
        layers: list[dict[str, Any]] = [
            {"rows": rows, "cols": cols, "batch": batch} for rows, cols, batch in sweep.shape
        ]
        return _grid(sweep, layers, common)
    tensors = weights.select(sweep.weights, sweep.tensor)
    if sweep.as_is:
        return [_as_is(tensor, sweep, common) for tensor in tensors]
    if patterns := [tensor for tensor in tensors if tensor.is_pattern]:
        raise GpupruneError(
            f"{patterns[0].label} is a pattern without values, which cannot be ranked",
            hint="add --as-is to time it as it is",
        )
    layers = [
        {"rows": t.rows, "cols": t.cols, "batch": sweep.batch, "weights": t.label} for t in tensors
    ]
    return _grid(sweep, layers, common)


def told_crosswise(planned: Iterable[Case]) -> str | None:
    """Say of what was pruned elsewhere that its groups are larger in the other orientation.

    Reads the values of the tensors once more.
    """
    found = []
    for case in planned:
        if case.as_is and case.weights is not None:
            (tensor,) = weights.select(case.weights)
            structure = weights.find_structure(tensor)
            groups = {"row": structure.column_group, "column": structure.row_group}
            if (group := groups[case.orientation] or 1) > case.group:
                found.append((case, group))
    if not found:
        return None
    case, group = found[0]
    other = "column" if case.orientation == "row" else "row"
    more = f" (and {len(found) - 1} more likewise)" if len(found) > 1 else ""
    timed = f"{case.orientation} groups of {case.group}" if case.group > 1 else "single weights"
    return (
        f"{case.weights} has {other} groups of {group}, and is timed as {timed}{more}: "
        f"--orientation {other} takes the larger groups."
    )


def told_zeros(planned: Iterable[Case]) -> list[str]:
    """Say of which tensors a rate removes fewer weights than are zero, a sentence a tensor.

    Reads the values of the tensors.
    """
    lowest: dict[str, float] = {}
    for case in planned:
        if case.weights is not None and not case.as_is and case.rate > 0:
            lowest[case.weights] = min(case.rate, lowest.get(case.weights, 1.0))
    told = []
    for label, rate in lowest.items():
        (tensor,) = weights.select(label)
        if sentence := tell_zeros(label, weights.find_structure(tensor).rate, rate):
            told.append(f"{sentence} --as-is times what is there.")
    return told


def tell_zeros(label: str, zeros: float, rate: float) -> str | None:
    """Say of a matrix that more of it is zero than a rate removes, None where that is not so."""
    if not zeros > rate:
        return None
    share = "All" if zeros == 1 else f"{100 * zeros:.4g} %"
    return (
        f"{share} of the weights of {label} are 0 already, more than a rate of {rate:g} removes."
    )


def check_weights(planned: Iterable[Case]) -> None:
    """Raise GpupruneError where a case's file holds what cannot be measured, such as NaN."""
    for _, alike in groupby(planned, lambda case: (case.weights, case.dtype)):
        case = next(alike)
        if case.weights is not None:
            load_weights(case)


def check_memory(planned: Iterable[Case], free: int) -> None:
    """Raise GpupruneError where a case needs more than so many bytes, which are free."""
    for case in planned:
        matrix, operands = case.rows * case.cols, (case.rows + case.cols) * case.batch
        need = ITEM_BYTES[case.dtype] * _COPIES * (matrix + operands)
        if need > free:
            name, way = f"shape {case.shape}", "take a smaller --shape"
            if case.weights is not None:
                name, way = f"{case.weights} ({name})", "choose what fits with --tensor PATTERN"
            raise GpupruneError(
                f"{name} needs about {need / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB is free",
                hint=f"{way}, or a machine with more memory",
            )


def _grid(sweep: Sweep, layers: list[dict[str, Any]], common: dict[str, Any]) -> list[Case]:
    return [
        Case(**layer, **common, group=group, rate=rate)
        for layer in layers
        for group in sweep.groups
        for rate in sweep.rates
    ]


def _as_is(tensor: weights.Tensor, sweep: Sweep, common: dict[str, Any]) -> Case:
    found = weights.find_structure(tensor)
    group = found.column_group if sweep.orientation == "column" else found.row_group
    return Case(
        rows=tensor.rows,
        cols=tensor.cols,
        batch=sweep.batch,
        weights=tensor.label,
        as_is=True,
        rate=found.rate,
        group=group or 1,
        **common,
    )
