"""Time `prune_mask` against torch's own pruner making the same mask, on the paper's matrix.

    python benchmarks/prune_mask.py

`torch.ao.pruning.WeightNormSparsifier(sparse_block_shape=(1, g), norm=2)` removes the same groups
of a float32 matrix, which makes it the peer; a sweep should not wait for what it prunes. The
contenders take turns, so that a slow moment of the machine falls on all of them, and the medians
are shown. The last line is the paper's whole sweep: ranked once a group size, against a
`prune_mask` a case. It all takes about a minute and needs torch.
"""

import warnings
from collections.abc import Callable
from statistics import median
from time import perf_counter

import numpy as np
import torch
from torch.ao.pruning import WeightNormSparsifier

from gpuprune.pruning import prune_mask, rank

SHAPE = (4096, 4096)
RATE = 0.9
WANTED = {1: 10, 8: 20}  # group size: how many times faster than torch it has to be
SWEEP_RATES = [0.8, 0.82, 0.84, 0.86, 0.88, 0.9, 0.92, 0.94, 0.96, 0.98]
SWEEP_GROUPS = [1, 2, 4, 8, 16, 32, 64]


def main() -> None:
    weights = np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)
    print(
        f"numpy {np.__version__}, torch {torch.__version__} on {torch.get_num_threads()} threads"
    )
    print(f"{SHAPE[0]}x{SHAPE[1]} float32, rate {RATE}\n")
    print(f"{'group':>5}{'torch':>11}{'gpuprune':>11}{'faster':>9}{'wanted':>9}  masks")
    for group, wanted in WANTED.items():
        peer = TorchPruner(weights, group)
        theirs, ours = take_turns(7, peer.prune, lambda g=group: prune_mask(weights, RATE, g))
        differ = np.count_nonzero(peer.mask() != prune_mask(weights, RATE, group))
        print(
            f"{group:>5}{1e3 * theirs:>8.0f} ms{1e3 * ours:>8.0f} ms{theirs / ours:>8.1f}x"
            f"{wanted:>8}x  {f'{differ} weights differ' if differ else 'equal'}"
        )
    ranked, singly = take_turns(3, lambda: sweep_ranked(weights), lambda: sweep_singly(weights))
    print(f"\n{len(SWEEP_GROUPS)} group sizes x {len(SWEEP_RATES)} rates, all masks:")
    print(f"{ranked:.2f} s ranked once a group size, {singly:.2f} s a prune_mask at a time")


class TorchPruner:
    """Torch's pruner on a layer of its own."""

    def __init__(self, weights: np.ndarray, group: int) -> None:
        rows, cols = weights.shape
        self.layer = torch.nn.Linear(cols, rows, bias=False)
        self.layer.weight.data = torch.from_numpy(weights)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.ao announces that it will move
            self.pruner = WeightNormSparsifier(RATE, sparse_block_shape=(1, group), norm=2)
        self.pruner.prepare(torch.nn.Sequential(self.layer), [{"tensor_fqn": "0.weight"}])

    def prune(self) -> None:
        self.pruner.step()

    def mask(self) -> np.ndarray:
        return self.layer.parametrizations["weight"][0].mask.numpy() != 0


def sweep_ranked(weights: np.ndarray) -> None:
    buffer = np.empty(weights.shape, bool)
    for group in SWEEP_GROUPS:
        ranking = rank(weights, SWEEP_RATES, group)
        for rate in SWEEP_RATES:
            ranking.mask(rate, out=buffer)


def sweep_singly(weights: np.ndarray) -> None:
    for group in SWEEP_GROUPS:
        for rate in SWEEP_RATES:
            prune_mask(weights, rate, group)


def take_turns(rounds: int, *calls: Callable[[], object]) -> list[float]:
    """Time each call once a round, after a round that does not count; the median seconds."""
    samples: list[list[float]] = [[] for _ in calls]
    for nth in range(rounds + 1):
        for call, seconds in zip(calls, samples, strict=True):
            start = perf_counter()
            call()
            if nth:
                seconds.append(perf_counter() - start)
    return [median(seconds) for seconds in samples]


if __name__ == "__main__":
    main()
