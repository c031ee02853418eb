"""Cases of different layers that take the same time, because they multiply the same pattern."""

import hashlib
from collections.abc import Hashable, Iterable
from dataclasses import replace

import numpy as np

from gpuprune import weights
from gpuprune.records import Case


def find(cases: Iterable[Case]) -> dict[Case, Case]:
    """Map each case to the earlier one whose time is its own as well.

    A time follows from shape, dtype and pattern, not from the values. Which weights magnitudes
    remove is each tensor's own, so equal shapes alone prove nothing. Patterns are equal where
    they are drawn from the seed (`--score random`), where nothing or everything is removed, and
    where tensors that were pruned already turn out to have the same zeros.
    """
    first: dict[Hashable, Case] = {}
    found = {}
    for case, pattern in _patterns([case for case in cases if case.weights is not None]):
        twin = first.setdefault((replace(case, weights=None), pattern), case)
        if twin != case:
            found[case] = twin
    return found


def _patterns(cases: list[Case]) -> Iterable[tuple[Case, Hashable]]:
    """Pair each case with what stands for its pattern."""
    alike: dict[Case, int] = {}
    for case in cases:
        alike[replace(case, weights=None)] = alike.get(replace(case, weights=None), 0) + 1
    for case in cases:
        if case.as_is and alike[replace(case, weights=None)] > 1:
            yield case, _digest(case)
        else:
            yield case, None if _is_free_of_values(case) else case.weights


def _is_free_of_values(case: Case) -> bool:
    removes_all = case.rate == 1 and case.min_groups_per_row == 0
    return not case.as_is and (case.score == "random" or case.rate == 0 or removes_all)


def _digest(case: Case) -> str:
    (tensor,) = weights.select(str(case.weights))
    return hashlib.sha256(np.packbits(weights.read_pattern(tensor)).tobytes()).hexdigest()
