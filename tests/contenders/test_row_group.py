from dataclasses import replace

import numpy as np
import pytest

from gpuprune import steps
from gpuprune.backends import open_backend
from gpuprune.backends.fake import FakeBackend
from gpuprune.contenders import NotApplicable, row_group
from gpuprune.contenders.row_group.blocks import panel_height
from gpuprune.errors import GpupruneError
from gpuprune.problem import BEFORE
from gpuprune.steps import registers
from tests.conftest import assert_right, problem_of

SHAPES = [(1, 1), (3, 2), (5, 64), (70, 33), (300, 130)]
RATES = [0.0, 0.5, 0.9, 1.0]


def only(problem, backend, contender=row_group):
    (prepared,) = contender.prepare(problem, backend)
    return prepared


@pytest.mark.parametrize(("group", "batch"), [(1, 50), (3, 50), (8, 50), (13, 1), (64, 1)])
def test_products_are_right_on_ragged_shapes(cpu, group, batch):
    for rows, cols in SHAPES:
        for rate in RATES:
            problem = problem_of(cpu, rows=rows, cols=cols, batch=batch, group=group, rate=rate)
            assert_right(cpu, problem, only(problem, cpu))


@pytest.mark.parametrize("batch", [0, 1, 16, 17, 51, 257])
def test_products_are_right_for_any_batch(cpu, batch):
    problem = problem_of(cpu, rows=70, cols=33, batch=batch, group=8, rate=0.5)
    assert_right(cpu, problem, only(problem, cpu))


@pytest.mark.parametrize("group", [1, 8])
def test_float64_is_as_right_as_it_can_be(cpu, group):
    for rows, cols in SHAPES:
        problem = problem_of(
            cpu, rows=rows, cols=cols, batch=50, group=group, rate=0.5, dtype="float64"
        )
        assert_right(cpu, problem, only(problem, cpu))


def test_the_kernel_suits_how_many_groups_share_their_columns(cpu):
    name = registers().name
    variants = {
        (rows, group, rate): only(
            problem_of(cpu, rows=rows, cols=64, batch=50, group=group, rate=rate), cpu
        ).variant
        for rows, group, rate in [(300, 8, 0.5), (300, 1, 0.5), (300, 2, 0.99), (3, 2, 0.5)]
    }
    assert variants == {
        (300, 8, 0.5): f"panels of 256 rows, {name}",
        (300, 1, 0.5): f"gather, {name}",
        (300, 2, 0.99): f"gather, {name}",
        (3, 2, 0.5): f"gather, {name}",
    }


@pytest.mark.parametrize("rows", [3, 300])
def test_a_group_is_kept_if_any_of_its_weights_is(cpu, rows):
    problem = problem_of(cpu, rows=rows, cols=33, batch=50, group=8, rate=0.0)
    mask = np.random.default_rng(0).random((rows, 33)) < 0.3
    weights = np.where(mask, problem.weights, 0)
    weights[1] = 0  # exact zeros, and kept
    problem = replace(problem, weights=weights, mask=mask)
    product = only(problem, cpu).multiply()
    expected = weights.astype(np.float64) @ problem.activations
    np.testing.assert_allclose(product, expected, atol=1e-5)
    assert not product[1].any()


@pytest.mark.parametrize("batch", [1, 8, 32, 33])
def test_rows_of_any_number_of_entries_are_gathered_whole(cpu, batch):
    """Small batches take four entries at a time: rows of 0 to 9 leave every remainder."""
    problem = problem_of(cpu, rows=10, cols=16, batch=batch, group=1, rate=0.0)
    mask = np.arange(16) < np.arange(10)[:, None]
    problem = replace(problem, weights=np.where(mask, problem.weights, 0), mask=mask)
    prepared = only(problem, cpu)
    assert prepared.variant.startswith("gather")
    problem.renew(BEFORE)
    expected = problem.weights.astype(np.float64) @ problem.activations
    np.testing.assert_allclose(prepared.multiply(), expected, atol=1e-5)


def test_columns_beyond_16_bits_are_found(cpu):
    problem = problem_of(cpu, rows=2, cols=(1 << 16) + 3, batch=1, group=1, rate=0.5)
    assert_right(cpu, problem, only(problem, cpu))


@pytest.mark.parametrize(("rows", "group"), [(300, 8), (300, 1)])
def test_threads_change_nothing_to_the_bit(rows, group, monkeypatch):
    monkeypatch.setattr(steps, "_FEW_FLOPS", 0)
    monkeypatch.setattr(steps, "_FEW_BYTES", 0)
    products = []
    for threads in (1, 2):
        try:
            backend, _ = open_backend("cpu", threads)
        except GpupruneError as error:  # a machine of one core
            pytest.skip(str(error))
        problem = problem_of(backend, rows=rows, cols=130, batch=50, group=group, rate=0.5)
        prepared = only(problem, backend)
        assert (prepared.multiply() == prepared.multiply()).all()
        products.append(prepared.multiply().copy())
        assert prepared.work.starts == (2 if threads == 2 else 0)
        backend.close()
    assert (products[0] == products[1]).all()


@pytest.mark.parametrize(("cols", "starts"), [(64, 0), (800, 1), (3000, 2)])
def test_threads_are_started_only_for_what_they_make_faster(cols, starts):
    try:
        backend, _ = open_backend("cpu", 2)
    except GpupruneError as error:  # a machine of one core
        pytest.skip(str(error))
    prepared = only(problem_of(backend, rows=600, cols=cols, batch=50, group=8, rate=0.5), backend)
    backend.close()
    assert prepared.work.starts == starts
    assert prepared.variant.endswith(", one thread") == (starts == 0)
    assert prepared.work.cores == (0.5 if starts == 0 else 1.0)


@pytest.mark.parametrize(
    ("rows", "workers", "height"),
    [(4096, 1, 256), (4096, 2, 256), (4096, 8, 128), (4096, 64, 32), (10, 1, 256), (10, 2, 32)],
)
def test_panels_are_high_as_long_as_every_worker_has_some(rows, workers, height):
    assert panel_height(rows, workers) == height


def test_bytes_are_those_of_the_format_and_both_operands(cpu):
    problem = problem_of(cpu, rows=256, cols=32, batch=50, group=8, rate=0.0)
    counts, rows, values, starts = 4 * 2, 1024, 256 * 32 * 4, 2 * 8
    activations, out = 32 * 50 * 4, 256 * 50 * 4
    assert only(problem, cpu).bytes == counts + rows + values + starts + activations + out


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_types_that_a_device_cannot_multiply_are_declined(dtype):
    fake = FakeBackend()
    with pytest.raises(NotApplicable, match=dtype):
        row_group.prepare(problem_of(fake, dtype=dtype), fake)
