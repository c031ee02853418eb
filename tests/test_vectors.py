from typing import Any

import numpy as np
import pytest
from numba import njit

from gpuprune.steps import Step, registers
from gpuprune.vectors import copy, load, multiply_add, prefetch, store, zeros


@njit
def _add_narrow(step: Any, weights: Any, at: Any, operand: Any, sums: Any) -> None:
    """Add the products with a wide operand to narrow sums."""
    total = multiply_add(
        step, weights, at, load(operand, 0, step.wide), load(sums, 0, step.narrow)
    )
    store(sums, 0, total)


@njit
def _add_wide(step: Any, weights: Any, at: Any, operand: Any, sums: Any) -> None:
    """Add the products with a narrow operand to wide sums."""
    total = multiply_add(
        step, weights, at, load(operand, 0, step.narrow), load(sums, 0, step.wide)
    )
    store(sums, 0, total)


@njit
def _clear(step: Any, array: Any, at: Any) -> None:
    store(array, at, zeros(array, step.narrow))


@njit
def _copy_some(source: Any, at: Any, target: Any, to: Any, count: Any) -> None:
    prefetch(source, at)
    copy(source, at, target, to, count)


def step_of(dtype, depth, vectors, spills):
    return Step(depth, vectors, spills, registers().bytes // np.dtype(dtype).itemsize)


def spread(step, weights):
    """Repeat a step's weights until they fill a vector."""
    return np.tile(weights, step.lanes // step.depth)


STEPS = [("float32", 2, 2, True), ("float64", 2, 1, True), ("float32", 3, 1, False)]


@pytest.mark.parametrize(("dtype", "depth", "vectors", "spills"), STEPS)
def test_narrow_sums_take_the_products_of_all_weights(dtype, depth, vectors, spills):
    step = step_of(dtype, depth, vectors, spills)
    random = np.random.default_rng(0)
    weights, operand, sums = (
        random.standard_normal(size).astype(dtype)
        for size in (depth + 5, step.wide * step.lanes, step.narrow * step.lanes)
    )
    mine, width = weights[5:].astype(np.float64), vectors * step.lanes
    expected = sums.astype(np.float64)
    for t in range(depth):
        expected[:width] += mine[t] * operand[t * width : (t + 1) * width]
    if spills:
        expected[width:] += spread(step, mine) * operand[depth * width :]
    _add_narrow(step, weights, 5, operand, sums)
    np.testing.assert_allclose(sums, expected, rtol=8 * np.finfo(dtype).eps, atol=1e-6)


@pytest.mark.parametrize(("dtype", "depth", "vectors", "spills"), STEPS)
def test_wide_sums_keep_the_products_of_each_weight_apart(dtype, depth, vectors, spills):
    step = step_of(dtype, depth, vectors, spills)
    random = np.random.default_rng(1)
    weights, operand, sums = (
        random.standard_normal(size).astype(dtype)
        for size in (depth, step.narrow * step.lanes, step.wide * step.lanes)
    )
    mine, width = weights.astype(np.float64), vectors * step.lanes
    expected = sums.astype(np.float64)
    for t in range(depth):
        expected[t * width : (t + 1) * width] += mine[t] * operand[:width]
    if spills:
        expected[depth * width :] += spread(step, mine) * operand[width:]
    _add_wide(step, weights, 0, operand, sums)
    np.testing.assert_allclose(sums, expected, rtol=8 * np.finfo(dtype).eps, atol=1e-6)


def test_vectors_are_stored_where_asked_and_nowhere_else():
    step = step_of("float32", 2, 2, True)
    size = step.narrow * step.lanes
    array = np.ones(size + 8, np.float32)
    _clear(step, array, 3)
    assert array.tolist() == [1.0] * 3 + [0.0] * size + [1.0] * 5


def test_values_are_copied_however_few():
    source, target = np.arange(9.0), np.zeros(9)
    _copy_some(source, 2, target, 1, 0)
    assert not target.any()
    _copy_some(source, 2, target, 1, 3)
    assert target.tolist() == [0, 2, 3, 4, 0, 0, 0, 0, 0]
