from dataclasses import replace

import numpy as np
import pytest

from gpuprune.contenders import column_group, row_group
from gpuprune.problem import AFTER, BEFORE
from gpuprune.verification import TOLERANCE
from tests.conftest import problem_of


def apart(shape, dtype):
    """Columns that lie two apart."""
    return np.zeros((shape[0], 2 * shape[1]), dtype)[:, ::2]


def turned(shape, dtype):
    return np.zeros(shape, dtype, order="F")


def misaligned(shape, dtype):
    size = shape[0] * shape[1] * dtype.itemsize
    return np.zeros(size + 1, np.uint8)[1:].view(dtype).reshape(shape)


@pytest.mark.parametrize("make", [apart, turned, misaligned])
@pytest.mark.parametrize("contender", [row_group, column_group])
def test_activations_may_lie_anywhere_and_are_read_afresh(cpu, contender, make):
    orientation = contender.__name__.rpartition(".")[2].partition("_")[0]
    problem = problem_of(cpu, rows=70, cols=33, batch=51, group=8, orientation=orientation)
    activations = make(problem.activations.shape, problem.activations.dtype)
    (prepared,) = contender.prepare(replace(problem, activations=activations), cpu)
    for draw in (BEFORE, AFTER):
        problem.renew(draw)
        activations[...] = problem.activations
        assert problem.error(prepared.multiply(), draw) <= TOLERANCE["float32"]


@pytest.mark.parametrize("make", [apart, turned, misaligned])
@pytest.mark.parametrize("contender", [row_group, column_group])
def test_weights_and_mask_may_lie_anywhere(cpu, contender, make):
    orientation = contender.__name__.rpartition(".")[2].partition("_")[0]
    problem = problem_of(cpu, rows=70, cols=40, batch=51, group=8, orientation=orientation)
    weights = make(problem.weights.shape, problem.weights.dtype)
    mask = make(problem.mask.shape, problem.mask.dtype)
    weights[...], mask[...] = problem.weights, problem.mask
    (prepared,) = contender.prepare(replace(problem, weights=weights, mask=mask), cpu)
    problem.renew(BEFORE)
    assert problem.error(prepared.multiply(), BEFORE) <= TOLERANCE["float32"]
