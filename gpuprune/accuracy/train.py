"""Gradient descent over epochs, which can stop after any step and go on to the same bits."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import cos, isfinite, pi
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuprune.accuracy.model import CLASSES, Network, Parameters
from gpuprune.backends import Array
from gpuprune.errors import GpupruneError

_USUAL_RATE = 0.1


@dataclass(frozen=True, slots=True)
class Examples:
    """Images and what they show, on the device."""

    images: Array  # (count, pixels), uint8: a quarter of the memory to gather from
    labels: Array  # (count,), int64
    targets: Array  # (count, classes), float32, one-hot

    @classmethod
    def on_device(
        cls, images: NDArray[np.uint8], labels: NDArray[np.uint8], xp: Any
    ) -> "Examples":
        """Copy a data set of the host: images (count, pixels), labels (count,)."""
        targets = np.eye(CLASSES, dtype=np.float32)[labels]
        return cls(xp.asarray(images), xp.asarray(labels.astype(np.int64)), xp.asarray(targets))


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Plain gradient descent whose rate falls along half a cosine to zero."""

    epochs: int
    batch: int
    learning_rate: float


@dataclass(slots=True)
class State:
    """Where training stands; all of it that a checkpoint must hold."""

    parameters: Parameters
    step: int
    loss_sum: NDArray[np.float64]  # (lanes,), of this epoch's steps


@dataclass(frozen=True, slots=True)
class Epoch:
    """One more epoch is done."""

    number: int  # from 1
    losses: tuple[float, ...]  # a lane


def train(
    state: State,
    masks: Sequence[Array | None],
    examples: Examples,
    order: Callable[[int], NDArray[np.int64]],
    schedule: Schedule,
    xp: Any,
    after_step: Callable[[State], None],
) -> Iterator[Epoch]:
    """Train all lanes of a state in place from its step to the last one of the schedule.

    `order` gives the examples of an epoch (from 0) for each lane: (lanes, examples); those that
    fill no whole batch are left out, so that all steps have one shape. `after_step` may copy the
    state. Raises GpupruneError when a lane's loss is no longer finite.
    """
    network = Network(state.parameters, masks, schedule.batch, xp)
    picker = _Picker(network, examples, xp)
    per_epoch = order(0).shape[1] // schedule.batch
    total = per_epoch * schedule.epochs
    sums = xp.asarray(state.loss_sum)
    picks = None
    while state.step < total:
        epoch, nth = divmod(state.step, per_epoch)
        if picks is None or nth == 0:
            picks = xp.asarray(order(epoch))
        targets = picker.pick(picks[:, nth * schedule.batch : (nth + 1) * schedule.batch])
        rate = schedule.learning_rate * (1 + cos(pi * state.step / total)) / 2
        # What overflows shows in the loss.
        with np.errstate(all="ignore"):
            sums += network.step(targets, rate)
        state.step += 1
        if nth + 1 == per_epoch:
            losses = tuple(float(value) / per_epoch for value in sums)
            _require_finite(losses, epoch + 1, schedule)
            sums[...] = 0
            yield Epoch(epoch + 1, losses)
        state.loss_sum = sums
        after_step(state)


def count_right(
    parameters: Parameters, examples: Examples, picks: NDArray[np.int64], batch: int, xp: Any
) -> list[int]:
    """Count the examples that each lane classifies rightly; picks are (lanes, examples)."""
    network = Network(parameters, [None] * len(parameters.weights), batch, xp)
    picker = _Picker(network, examples, xp)
    right = xp.zeros(parameters.lanes, np.int64)
    for start in range(0, picks.shape[1], batch):
        chosen = xp.asarray(picks[:, start : start + batch])
        picker.pick(chosen)
        with np.errstate(all="ignore"):
            guesses = network.forward(chosen.shape[1]).argmax(axis=2)
        right += (guesses == examples.labels[chosen]).sum(axis=1)
    return [int(count) for count in right]


class _Picker:
    """Gathers a batch into the network's inputs, through buffers that are used again."""

    def __init__(self, network: Network, examples: Examples, xp: Any) -> None:
        lanes, batch, pixels = network.inputs.shape
        self._inputs = network.inputs
        self._examples = examples
        self._xp = xp
        self._pixels = xp.empty((lanes, batch, pixels), np.uint8)
        self._targets = xp.empty((lanes, batch, CLASSES), np.float32)

    def pick(self, picks: Array) -> Array:
        """Fill the inputs with images scaled to 0..1; returns the one-hot targets.

        picks are (lanes, at most batch).
        """
        xp, count = self._xp, picks.shape[1]
        pixels, targets = self._pixels[:, :count], self._targets[:, :count]
        xp.take(self._examples.images, picks, axis=0, out=pixels)
        xp.take(self._examples.targets, picks, axis=0, out=targets)
        xp.multiply(pixels, np.float32(1 / 255), out=self._inputs[:, :count])
        return targets


def _require_finite(losses: Sequence[float], epoch: int, schedule: Schedule) -> None:
    if not all(isfinite(loss) for loss in losses):
        raise GpupruneError(
            f"the loss diverged in epoch {epoch} of {schedule.epochs} "
            f"(learning rate {schedule.learning_rate:g})",
            hint=f"lower it: --learning-rate {min(schedule.learning_rate / 4, _USUAL_RATE):.2g}",
        )
