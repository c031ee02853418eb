"""The paper's network (Table 2) by hand: copies of it side by side, on NumPy or CuPy.

The copies are *lanes*: every array has them as its first axis, and one product serves all. A
processor gains nothing from more than one lane; a GPU needs many to have enough to do. What a
lane computes does not depend on the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from gpuprune.backends import Array

CLASSES = 10
PIXELS = 784

# Table 2 lists eight fully connected layers, of which the first may be the pixels themselves.
WIDTHS = {
    8: (PIXELS, 784, 128, 128, 256, 256, 512, 512, CLASSES),
    7: (PIXELS, 128, 128, 256, 256, 512, 512, CLASSES),
}


@dataclass(frozen=True, slots=True)
class Parameters:
    """What is learnt, a matrix and a vector a layer; training changes them in place."""

    weights: tuple[Array, ...]  # (lanes, outputs, inputs), float32
    biases: tuple[Array, ...]  # (lanes, 1, outputs)

    @property
    def lanes(self) -> int:
        """How many copies of the network these are."""
        return int(self.weights[0].shape[0])

    def pick(self, lanes: Sequence[int]) -> "Parameters":
        """Copy some lanes, in this order; one may be picked several times."""
        picked = list(lanes)
        return Parameters(
            tuple(values[picked] for values in self.weights),
            tuple(values[picked] for values in self.biases),
        )


def initialise(
    widths: Sequence[int], generators: Sequence[np.random.Generator], xp: Any
) -> Parameters:
    """Draw normal weights after He et al. (2015), a lane a generator; biases are zero.

    Keeps the variance of activations through ReLU; with narrower weights a network this deep
    takes epochs to begin to learn.
    """
    weights, biases = [], []
    for inputs, outputs in pairwise(widths):
        deviation = np.float32((2 / inputs) ** 0.5)
        drawn = [
            generator.standard_normal((outputs, inputs), dtype=np.float32) * deviation
            for generator in generators
        ]
        weights.append(xp.asarray(np.stack(drawn)))
        biases.append(xp.zeros((len(generators), 1, outputs), np.float32))
    return Parameters(tuple(weights), tuple(biases))


class Network:
    """The network with the buffers of one batch: nothing is allocated that is as large as those.

    Fresh memory for each step would be zeroed page by page by the operating system, which takes
    longer than the arithmetic.
    """

    def __init__(
        self, parameters: Parameters, masks: Sequence[Array | None], batch: int, xp: Any
    ) -> None:
        """Work on parameters in place; masks are bool as the weights, None where all may learn."""
        lanes = parameters.lanes
        widths = [PIXELS, *(bias.shape[2] for bias in parameters.biases)]
        self.parameters = parameters
        self.batch = batch
        self._xp = xp
        self._masks = masks
        self._activations = [xp.empty((lanes, batch, width), np.float32) for width in widths]
        self._deltas = [xp.empty_like(values) for values in self._activations]
        self._active = [xp.empty(values.shape, np.bool_) for values in self._activations]
        self._weight_steps = [xp.empty_like(values) for values in parameters.weights]
        self._bias_steps = [xp.empty_like(values) for values in parameters.biases]

    @property
    def inputs(self) -> Array:
        """The buffer of a batch, to be filled before `forward`: (lanes, batch, pixels)."""
        return self._activations[0]

    def forward(self, count: int | None = None) -> Array:
        """Compute the logits of the first `count` inputs: (lanes, count, classes)."""
        xp, layers = self._xp, self._activations
        last = len(layers) - 1
        for i, (weights, bias) in enumerate(
            zip(self.parameters.weights, self.parameters.biases, strict=True), start=1
        ):
            before, after = layers[i - 1][:, :count], layers[i][:, :count]
            xp.matmul(before, weights.swapaxes(1, 2), out=after)
            xp.add(after, bias, out=after)
            if i < last:
                xp.maximum(after, 0, out=after)
        return layers[last][:, :count]

    def step(self, targets: Array, learning_rate: float) -> Array:
        """Take one step of gradient descent on the mean loss of the batch in `inputs`.

        Returns the mean loss of each lane before the step. Weights outside their mask stay 0.0.
        """
        xp = self._xp
        losses, weight_steps, bias_steps = self.gradients(targets, scale=learning_rate)
        for values, change, mask in zip(
            self.parameters.weights, weight_steps, self._masks, strict=True
        ):
            if mask is not None:
                xp.multiply(change, mask, out=change)
            xp.subtract(values, change, out=values)
        for values, change in zip(self.parameters.biases, bias_steps, strict=True):
            xp.subtract(values, change, out=values)
        return losses

    def gradients(
        self, targets: Array, scale: float = 1.0
    ) -> tuple[Array, list[Array], list[Array]]:
        """Differentiate `scale` x the mean cross-entropy of the batch in `inputs`.

        Returns the mean loss of each lane (unscaled), and the derivatives by weights and by
        biases, in buffers that the next call overwrites. `targets` is one-hot: (lanes, batch,
        classes). The scale goes into the narrow output layer, where it costs nothing, instead of
        over all weights.
        """
        xp, deltas = self._xp, self._deltas
        losses = self._output_delta(self.forward(), targets, scale)
        for i in reversed(range(len(self.parameters.weights))):
            xp.matmul(
                deltas[i + 1].swapaxes(1, 2), self._activations[i], out=self._weight_steps[i]
            )
            xp.sum(deltas[i + 1], axis=1, keepdims=True, out=self._bias_steps[i])
            if i:
                xp.matmul(deltas[i + 1], self.parameters.weights[i], out=deltas[i])
                xp.greater(self._activations[i], 0, out=self._active[i])
                xp.multiply(deltas[i], self._active[i], out=deltas[i])
        return losses, self._weight_steps, self._bias_steps

    def _output_delta(self, logits: Array, targets: Array, scale: float) -> Array:
        """Write the derivative by the logits of softmax and cross-entropy; return the losses."""
        xp, delta = self._xp, self._deltas[-1]
        shifted = logits - logits.max(axis=2, keepdims=True)
        xp.exp(shifted, out=delta)
        sums = delta.sum(axis=2, keepdims=True)
        losses = (xp.log(sums) - (shifted * targets).sum(axis=2, keepdims=True)).mean(axis=(1, 2))
        xp.divide(delta, sums, out=delta)
        xp.subtract(delta, targets, out=delta)
        xp.multiply(delta, np.float32(scale / self.batch), out=delta)
        return losses
