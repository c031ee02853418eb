"""The network's arithmetic against automatic differentiation, and against itself."""

from itertools import pairwise

import numpy as np
import pytest

from gpuprune.accuracy.model import WIDTHS, Network, initialise
from gpuprune.pruning import prune_mask

BATCH = 16


def network(layers=7, lanes=1, masks=None):
    generators = [np.random.default_rng(lane) for lane in range(lanes)]
    parameters = initialise(WIDTHS[layers], generators, np)
    made = Network(parameters, masks or [None] * layers, BATCH, np)
    made.inputs[...] = np.random.default_rng(5).random((BATCH, 784), dtype=np.float32)
    labels = np.arange(BATCH) % 10
    targets = np.broadcast_to(np.eye(10, dtype=np.float32)[labels], (lanes, BATCH, 10))
    return made, targets, labels


def masks_of(parameters, lane=0):
    return [prune_mask(weights[lane], 0.9, 8) for weights in parameters.weights]


@pytest.mark.parametrize(("layers", "weights"), [(8, 1_228_032), (7, 613_376)])
def test_both_readings_of_table_2_have_as_many_weights_as_the_paper_implies(layers, weights):
    parameters = network(layers)[0].parameters
    assert sum(matrix.size for matrix in parameters.weights) == weights
    assert len(parameters.weights) == layers


def test_the_first_weights_have_the_variance_that_he_asks_for():
    first = network(8)[0].parameters.weights[0]
    assert first.std() == pytest.approx((2 / 784) ** 0.5, rel=0.01)


@pytest.mark.peer
def test_the_gradient_is_that_of_autograd():
    torch = pytest.importorskip("torch")
    ours, targets, labels = network(8)
    losses, weight_gradients, bias_gradients = ours.gradients(targets)
    layers = [torch.nn.Linear(i, o) for i, o in pairwise(WIDTHS[8])]
    for layer, weights in zip(layers, ours.parameters.weights, strict=True):
        layer.weight.data = torch.from_numpy(weights[0])
        torch.nn.init.zeros_(layer.bias)
    stack = [part for layer in layers for part in (layer, torch.nn.ReLU())][:-1]
    logits = torch.nn.Sequential(*stack)(torch.from_numpy(ours.inputs[0]))
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels))
    loss.backward()
    assert losses[0] == pytest.approx(loss.item(), rel=1e-5)
    for layer, weights, bias in zip(layers, weight_gradients, bias_gradients, strict=True):
        np.testing.assert_allclose(weights[0], layer.weight.grad.numpy(), rtol=0, atol=1e-5)
        np.testing.assert_allclose(bias[0, 0], layer.bias.grad.numpy(), rtol=0, atol=1e-5)


def test_the_gradient_is_that_of_finite_differences():
    ours, targets, _ = network(7)
    _, gradients, _ = ours.gradients(targets)
    place = (0, 3, 5)
    expected = gradients[2][place]
    for change in (1, -1):
        ours.parameters.weights[2][place] += change * 1e-2
        loss = ours.gradients(targets)[0][0]
        ours.parameters.weights[2][place] -= change * 1e-2
        expected -= change * loss / 2e-2
    assert abs(expected) < 1e-4


def test_masked_weights_are_exactly_zero_after_every_step():
    ours, targets, _ = network(7)
    masks = masks_of(ours.parameters)
    for weights, mask in zip(ours.parameters.weights, masks, strict=True):
        weights[0][~mask] = 0
    held = Network(ours.parameters, [mask[None] for mask in masks], BATCH, np)
    held.inputs[...] = ours.inputs
    before = [weights.copy() for weights in ours.parameters.weights]
    for _ in range(5):
        held.step(targets, 0.1)
        for weights, mask in zip(ours.parameters.weights, masks, strict=True):
            removed = weights[0][~mask]
            assert removed.tobytes() == bytes(removed.nbytes)  # not even a -0.0
    assert all((a != b).any() for a, b in zip(before, ours.parameters.weights, strict=True))


def test_networks_side_by_side_compute_the_bits_that_each_computes_alone():
    together, targets, _ = network(7, lanes=3)
    for _ in range(3):
        losses = together.step(targets, 0.1)
    for lane in range(3):
        alone, one_target, _ = network(7)
        parameters = initialise(WIDTHS[7], [np.random.default_rng(lane)], np)
        alone = Network(parameters, [None] * 7, BATCH, np)
        alone.inputs[...] = together.inputs[lane]
        for _ in range(3):
            loss = alone.step(one_target, 0.1)
        assert loss[0] == losses[lane]
        for a, b in zip(parameters.weights, together.parameters.weights, strict=True):
            np.testing.assert_array_equal(a[0], b[lane])


@pytest.mark.parametrize("group", [1, 2, 4, 8, 16, 32, 64])
@pytest.mark.parametrize("shape", [(128, 784), (256, 128), (512, 256), (512, 512), (10, 512)])
@pytest.mark.filterwarnings("ignore")
@pytest.mark.peer
def test_masks_are_those_of_torch(shape, group):
    sparsifier = pytest.importorskip("torch.ao.pruning").WeightNormSparsifier
    torch = pytest.importorskip("torch")
    weights = np.random.default_rng(group).standard_normal(shape, dtype=np.float32)
    layer = torch.nn.Linear(shape[1], shape[0], bias=False)
    layer.weight.data = torch.from_numpy(weights)
    peer = sparsifier(0.9, sparse_block_shape=(1, group), norm=2)
    peer.prepare(torch.nn.Sequential(layer), [{"tensor_fqn": "0.weight"}])
    peer.step()
    theirs = layer.parametrizations["weight"][0].mask.numpy() != 0
    np.testing.assert_array_equal(prune_mask(weights, 0.9, group), theirs)
