"""The kernels for groups on a GPU: the cases that tests/cuda runs on a CPU."""

import numpy as np
import pytest

from gpuprune.contenders import NotApplicable
from gpuprune.kernels import Gpu
from gpuprune.problem import BEFORE
from tests.conftest import problem_of
from tests.cuda.cases import DEVICES, PATTERNS, excess, multiply, odd_views, trials

pytestmark = pytest.mark.gpu

ALL = [
    ("row", "float32"),
    ("column", "float32"),
    ("column", "float16"),
    ("column", "bfloat16"),
]


@pytest.fixture
def device(gpu):
    return Gpu.of(gpu)


def skip_what_is_declined(gpu, dtype):
    if reason := gpu.unsupported(dtype):
        pytest.skip(reason)


@pytest.mark.parametrize(("group", "rate"), PATTERNS)
@pytest.mark.parametrize(("orientation", "dtype"), ALL)
def test_products_are_right_on_ragged_shapes(gpu, device, orientation, dtype, group, rate):
    skip_what_is_declined(gpu, dtype)
    for trial in trials(gpu, orientation, dtype, [(group, rate)]):
        try:
            product = multiply(gpu, trial, device)
        except NotApplicable as why:  # tensor cores
            pytest.skip(str(why))
        assert excess(gpu, trial, product) <= 1, trial.case


@pytest.mark.parametrize("batch", [0, 1, 2, 16, 31, 32, 33, 50, 51, 65, 257])
@pytest.mark.parametrize("orientation", DEVICES)
def test_products_are_right_for_any_batch(gpu, device, orientation, batch):
    for group in (1, 2, 8, 64):
        trial = problem_of(
            gpu, rows=300, cols=500, batch=batch, group=group, rate=0.9, orientation=orientation
        )
        assert excess(gpu, trial, multiply(gpu, trial, device)) <= 1, trial.case


@pytest.mark.parametrize("batch", [50, 257])
@pytest.mark.parametrize("group", [1, 2, 4, 8, 16, 32, 64])
@pytest.mark.parametrize("orientation", DEVICES)
def test_products_of_the_papers_layer_agree_with_float64(gpu, device, orientation, group, batch):
    trial = problem_of(
        gpu, rows=4096, cols=4096, batch=batch, group=group, rate=0.9, orientation=orientation
    )
    assert excess(gpu, trial, multiply(gpu, trial, device)) <= 1


@pytest.mark.parametrize("orientation", DEVICES)
def test_operands_may_lie_in_memory_as_they_like(gpu, device, orientation):
    for group in (1, 8):
        trial = problem_of(
            gpu, rows=21, cols=37, batch=18, group=group, rate=0.5, orientation=orientation
        )
        for name, problem in odd_views(trial.problem, gpu.xp):
            product = gpu.numpy(DEVICES[orientation].prepare(problem, device).multiply())
            assert excess(gpu, problem, product) <= 1, name


@pytest.mark.parametrize("orientation", DEVICES)
def test_places_beyond_16_bits_are_found(gpu, device, orientation):
    for group in (1, 8):
        trial = problem_of(
            gpu, rows=2, cols=(1 << 16) + 3, batch=1, group=group, rate=0.9,
            orientation=orientation,
        )  # fmt: skip
        trial.weights[:, -1], trial.mask[:, -1] = 3, True
        assert excess(gpu, trial, multiply(gpu, trial, device)) <= 1


@pytest.mark.parametrize("group", [1, 2, 8, 64])
@pytest.mark.parametrize("orientation", DEVICES)
def test_a_product_is_the_same_to_the_bit_at_every_call(gpu, device, orientation, group):
    trial = problem_of(
        gpu, rows=4096, cols=4096, batch=50, group=group, rate=0.9, orientation=orientation
    )
    prepared = DEVICES[orientation].prepare(trial, device)
    trial.renew(BEFORE)
    first = gpu.numpy(prepared.multiply()).copy()
    for _ in range(20):
        np.testing.assert_array_equal(gpu.numpy(prepared.multiply()), first)
