"""Grouped magnitude pruning: score groups of weights, rank them once, take each rate's mask."""

from gpuprune.pruning.energy import energy_kept
from gpuprune.pruning.ranking import Ranking, prune, prune_mask, rank
from gpuprune.pruning.scores import group_scores

__all__ = ["Ranking", "energy_kept", "group_scores", "prune", "prune_mask", "rank"]
