from dataclasses import replace

import numpy as np
import pytest

from gpuprune import steps
from gpuprune.backends import open_backend
from gpuprune.contenders import column_group
from gpuprune.errors import GpupruneError
from gpuprune.problem import BEFORE
from gpuprune.steps import registers
from tests.conftest import assert_right, problem_of

SHAPES = [(1, 1), (2, 3), (64, 5), (33, 70), (130, 300)]


def only(problem, backend):
    (prepared,) = column_group.prepare(problem, backend)
    return prepared


def column_problem(backend, **changes):
    return problem_of(backend, orientation="column", **changes)


@pytest.mark.parametrize(("group", "batch"), [(1, 50), (3, 50), (8, 50), (13, 1), (64, 1)])
def test_products_are_right_on_ragged_shapes(cpu, group, batch):
    for rows, cols in SHAPES:
        for rate in (0.0, 0.5, 0.9, 1.0):
            problem = column_problem(
                cpu, rows=rows, cols=cols, batch=batch, group=group, rate=rate
            )
            assert_right(cpu, problem, only(problem, cpu))


@pytest.mark.parametrize("batch", [1, 8, 32, 33])
def test_rows_of_any_number_of_weights_are_gathered_whole(cpu, batch):
    """Small batches take four weights at a time: rows of 0 to 9 leave every remainder."""
    problem = column_problem(cpu, rows=10, cols=16, batch=batch, group=1, rate=0.0)
    mask = np.arange(16) < np.arange(10)[:, None]
    problem = replace(problem, weights=np.where(mask, problem.weights, 0), mask=mask)
    prepared = only(problem, cpu)
    problem.renew(BEFORE)
    expected = problem.weights.astype(np.float64) @ problem.activations
    np.testing.assert_allclose(prepared.multiply(), expected, atol=1e-5)


@pytest.mark.parametrize("batch", [0, 1, 16, 17, 51, 257])
def test_products_are_right_for_any_batch(cpu, batch):
    problem = column_problem(cpu, rows=33, cols=70, batch=batch, group=8, rate=0.5)
    assert_right(cpu, problem, only(problem, cpu))


def test_float64_is_as_right_as_it_can_be(cpu):
    for rows, cols in SHAPES:
        problem = column_problem(
            cpu, rows=rows, cols=cols, batch=50, group=8, rate=0.5, dtype="float64"
        )
        assert_right(cpu, problem, only(problem, cpu))


def test_a_group_is_kept_if_any_of_its_weights_is(cpu):
    problem = column_problem(cpu, rows=33, cols=70, batch=50, group=8, rate=0.0)
    mask = np.random.default_rng(0).random((33, 70)) < 0.3
    weights = np.where(mask, problem.weights, 0)
    weights[1] = 0  # exact zeros, and kept
    product = only(replace(problem, weights=weights, mask=mask), cpu).multiply()
    expected = weights.astype(np.float64) @ problem.activations
    np.testing.assert_allclose(product, expected, atol=1e-5)
    assert not product[1].any()


def test_columns_beyond_16_bits_are_found(cpu):
    problem = column_problem(cpu, rows=3, cols=(1 << 16) + 3, batch=1, group=2, rate=0.5)
    assert_right(cpu, problem, only(problem, cpu))


def test_threads_change_nothing_to_the_bit(monkeypatch):
    monkeypatch.setattr(steps, "_FEW_FLOPS", 0)
    monkeypatch.setattr(steps, "_FEW_BYTES", 0)
    products = []
    for threads in (1, 2):
        try:
            backend, _ = open_backend("cpu", threads)
        except GpupruneError as error:  # a machine of one core
            pytest.skip(str(error))
        problem = column_problem(backend, rows=130, cols=300, batch=50, group=8, rate=0.5)
        prepared = only(problem, backend)
        products += [prepared.multiply().copy(), prepared.multiply().copy()]
        assert prepared.work.starts == (2 if threads == 2 else 0)
        backend.close()
    assert all((product == products[0]).all() for product in products)


def test_the_record_says_which_kernel_ran_and_on_how_many_bytes(cpu):
    prepared = only(column_problem(cpu, rows=16, cols=32, batch=50, group=8, rate=0.0), cpu)
    assert prepared.variant == f"gather, {registers().name}"
    entries, strips = 2 * 32, 2
    columns, values, starts, edges = entries * 2, entries * 8 * 4, (strips + 1) * 8, 2 * strips * 8
    activations, out = 32 * 50 * 4, 16 * 50 * 4
    assert prepared.bytes == columns + values + starts + edges + activations + out
