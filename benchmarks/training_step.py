"""Time one training step of the paper's network against the same step in PyTorch.

    python benchmarks/training_step.py [THREADS]

Both take plain gradient descent on the mean cross-entropy of 128 images of random pixels, the
eight weight matrices of Table 2, float32, on as many threads (1 if none are given). Ours is timed
while training and, with masks at a rate of 0.9, while retraining; PyTorch's mask is multiplied
into the gradient before its optimiser steps. The contenders take turns, so that a slow moment of
the machine falls on all of them; the medians are shown. Needs torch; takes about ten seconds.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median
from time import perf_counter

import numpy as np
import torch
from script import Parser, count, run
from threadpoolctl import threadpool_limits

from gpuprune.accuracy.model import PIXELS, WIDTHS, Network, initialise
from gpuprune.environment import let_waiting_threads_sleep
from gpuprune.pruning import prune_mask

BATCH = 128
LEARNING_RATE = 0.1
ROUNDS = 150
MOST = 1.1  # times PyTorch's step, as wanted


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("threads", type=count, nargs="?", default=1)
    threads = parser.parse_args().threads
    let_waiting_threads_sleep()
    torch.set_num_threads(threads)
    generator = np.random.default_rng(0)
    pixels = generator.random((BATCH, PIXELS), dtype=np.float32)
    labels = generator.integers(0, 10, BATCH)
    parameters = initialise(WIDTHS[8], [generator], np)
    masks = [prune_mask(matrix[0], 0.9, 8)[None] for matrix in parameters.weights]
    print(f"numpy {np.__version__}, torch {torch.__version__}, {threads} threads, batch {BATCH}\n")
    print(f"{'':<12}{'gpuprune':>11}{'torch':>11}{'ratio':>8}{'wanted':>9}")
    with threadpool_limits(threads):
        for what, held in (("training", [None] * len(masks)), ("retraining", masks)):
            ours, theirs = take_turns(
                our_step(pixels, labels, held), torch_step(pixels, labels, held)
            )
            print(
                f"{what:<12}{1e3 * ours:>8.2f} ms{1e3 * theirs:>8.2f} ms{ours / theirs:>8.2f}"
                f"{'<= ' + str(MOST):>9}"
            )


def our_step(pixels: np.ndarray, labels: np.ndarray, masks: Sequence) -> Callable[[], object]:
    parameters = initialise(WIDTHS[8], [np.random.default_rng(0)], np)
    network = Network(parameters, masks, BATCH, np)
    network.inputs[0] = pixels
    targets = np.eye(10, dtype=np.float32)[labels][None]
    return lambda: network.step(targets, LEARNING_RATE)


def torch_step(pixels: np.ndarray, labels: np.ndarray, masks: Sequence) -> Callable[[], object]:
    layers = [torch.nn.Linear(inputs, outputs) for inputs, outputs in pairwise(WIDTHS[8])]
    stack = [part for layer in layers for part in (layer, torch.nn.ReLU())][:-1]
    network = torch.nn.Sequential(*stack)
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE)
    held = [None if mask is None else torch.from_numpy(mask[0]) for mask in masks]
    images, targets = torch.from_numpy(pixels), torch.from_numpy(labels)

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images), targets).backward()
        for layer, mask in zip(layers, held, strict=True):
            if mask is not None:
                layer.weight.grad *= mask
        optimizer.step()

    return step


def take_turns(*calls: Callable[[], object]) -> list[float]:
    """Time each call once a round, after a tenth that does not count; the median seconds."""
    samples: list[list[float]] = [[] for _ in calls]
    for nth in range(ROUNDS):
        for call, seconds in zip(calls, samples, strict=True):
            start = perf_counter()
            call()
            if nth >= ROUNDS // 10:
                seconds.append(perf_counter() - start)
    return [median(seconds) for seconds in samples]


if __name__ == "__main__":
    run(main)
