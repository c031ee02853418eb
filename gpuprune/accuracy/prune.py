"""Step C of the paper on every matrix of a network, and what it did to each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpuprune.accuracy.records import MatrixFacts
from gpuprune.accuracy.settings import Settings
from gpuprune.pruning import energy_kept, prune_mask
from gpuprune.pruning.groups import Array


@dataclass(frozen=True, slots=True)
class Pruned:
    """The masks of one network, bool (outputs, inputs), and what they do."""

    masks: tuple[NDArray[np.bool_], ...]
    facts: tuple[MatrixFacts, ...]

    @property
    def achieved_rate(self) -> float:
        """Share of all weights removed."""
        kept = sum(int(np.count_nonzero(mask)) for mask in self.masks)
        return 1 - kept / sum(mask.size for mask in self.masks)

    @property
    def empty_rows(self) -> int:
        """Outputs that no weight leads to, of all matrices."""
        return sum(facts.empty_rows for facts in self.facts)

    @property
    def dead_classes(self) -> int:
        """Classes whose output has no weight left: they are never told by the image."""
        return self.facts[-1].empty_rows


def prune_network(weights: Sequence[Array], group: int, settings: Settings, seed: int) -> Pruned:
    """Choose what stays of the matrices of one network, each (outputs, inputs)."""
    masks = tuple(
        prune_mask(
            matrix,
            settings.rate,
            group,
            settings.score,
            seed=_seed_of_matrix(seed, nth),
            orientation=settings.orientation,
            min_groups_per_row=settings.min_groups_per_row,
        )
        if pruned
        else np.ones(matrix.shape, np.bool_)
        for nth, (matrix, pruned) in enumerate(zip(weights, settings.pruned, strict=True))
    )
    facts = tuple(
        _facts(matrix, mask, group, settings.orientation)
        for matrix, mask in zip(weights, masks, strict=True)
    )
    return Pruned(masks, facts)


def leave(weights: Sequence[Array]) -> Pruned:
    """Describe a network that is not pruned."""
    masks = tuple(np.ones(matrix.shape, np.bool_) for matrix in weights)
    return Pruned(
        masks, tuple(_facts(w, m, 1, "row") for w, m in zip(weights, masks, strict=True))
    )


def _facts(matrix: Array, mask: NDArray[np.bool_], group: int, orientation: str) -> MatrixFacts:
    # A group stays or goes as a whole, so that its first weight tells.
    firsts = mask[:, ::group] if orientation == "row" else mask[::group]
    return MatrixFacts(
        rows=matrix.shape[0],
        cols=matrix.shape[1],
        removed_groups=1 - float(firsts.mean()),
        removed_weights=1 - float(mask.mean()),
        empty_rows=int(np.count_nonzero(~mask.any(axis=1))),
        energy_kept=energy_kept(matrix, np.where(mask, matrix, 0)),
    )


def _seed_of_matrix(seed: int, nth: int) -> int:
    """Give `random` another draw for each matrix of each seed."""
    return int(np.random.SeedSequence((seed, nth)).generate_state(1)[0])
