"""Predicted load efficiency of the cases of a sweep."""

from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from gpuprune.problem import load_weights, rank
from gpuprune.profiler import model, own_kernels
from gpuprune.profiler.mappings import OWN_KERNELS, mapping_of
from gpuprune.profiler.model import Prediction
from gpuprune.records import ITEM_BYTES, Case, layer_of


def predict_cases(cases: Iterable[Case], mapping: str) -> Iterator[tuple[Case, Prediction]]:
    """Prune each case and predict the load efficiency of its sparse product, in turn.

    Weights are read once, and groups ranked once, for neighbours that differ in the rate alone.
    Raises GpupruneError for an unknown mapping or one that does not fit a case, and for weights
    that cannot be read or pruned.
    """
    for case, mask in _masks(cases):
        yield case, predict_case(case, mask, mapping)


def predict_products(
    products: Iterable[tuple[str, Case]], mapping: str
) -> dict[tuple[str, Case], Prediction]:
    """Predict products that contenders made of cases; `mapping` is for that in compressed rows.

    What no mapping is a model of is left out. Raises GpupruneError as `predict_cases` does.
    """
    modelled: dict[Case, list[tuple[str, str]]] = {}  # contenders and mappings
    for contender, case in products:
        own = mapping_of(contender, mapping)
        if own and not (own in OWN_KERNELS and own_kernels.reason_against(case, own)):
            modelled.setdefault(case, []).append((contender, own))
    return {
        (contender, case): predict_case(case, mask, own)
        for case, mask in _masks(modelled)
        for contender, own in modelled[case]
    }


def predict_case(case: Case, mask: NDArray[np.bool_], mapping: str) -> Prediction:
    """Predict the load efficiency of a case whose mask (rows, cols) is known, True = kept.

    Raises GpupruneError for an unknown mapping, and for one that does not fit the case.
    """
    if mapping in OWN_KERNELS:
        return own_kernels.predict(case, mask, mapping)
    return model.predict(mask, ITEM_BYTES[case.dtype], case.batch, mapping, case.seed)


def _masks(cases: Iterable[Case]) -> Iterator[tuple[Case, NDArray[np.bool_]]]:
    for layer, of_layer in groupby(cases, layer_of):
        weights = load_weights(layer)  # (rows, cols)
        for _, grouped in groupby(of_layer, lambda case: case.group):
            alike = list(grouped)
            ranking = rank(weights, alike)
            for case in alike:
                yield case, ranking.mask(case.rate) if ranking else weights != 0
