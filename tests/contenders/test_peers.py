import sys
from types import SimpleNamespace

import numpy as np
import pytest

from gpuprune import contenders
from gpuprune.backends.fake import FakeBackend
from gpuprune.problem import AFTER, BEFORE
from gpuprune.verification import TOLERANCE
from tests.conftest import problem_of

pytestmark = pytest.mark.peer

PEERS = ["mkl", "scipy_bsr", "torch_csr"]


def prepared_by(name, problem, backend):
    try:
        (prepared,) = contenders.load(name)(problem, backend)
    except contenders.NotApplicable as why:
        pytest.skip(str(why))
    return prepared


@pytest.mark.parametrize(
    ("name", "module", "packages"),
    [("mkl", "sparse_dot_mkl", "sparse-dot-mkl mkl"), ("torch_csr", "torch", "torch")],
)
def test_a_missing_package_is_named(cpu, monkeypatch, name, module, packages):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(contenders.NotApplicable, match=f"pip install {packages}$"):
        contenders.load(name)(problem_of(cpu), cpu)


def test_a_torch_without_cuda_is_told_from_a_missing_one(cpu):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this torch has a GPU")
    gpu = SimpleNamespace(name="cuda", xp=np, threads=None, unsupported=lambda dtype: None)
    with pytest.raises(contenders.NotApplicable, match="finds no GPU: install one built for CUDA"):
        contenders.load("torch_csr")(problem_of(cpu), gpu)


@pytest.mark.parametrize("orientation", ["row", "column"])
@pytest.mark.parametrize("name", PEERS)
def test_what_a_user_would_write_gives_the_same_product(cpu, name, orientation):
    problem = problem_of(cpu, rows=24, cols=40, group=8, orientation=orientation)
    prepared = prepared_by(name, problem, cpu)
    for draw in (BEFORE, AFTER):
        problem.renew(draw)
        for multiply in filter(None, (prepared.multiply, prepared.call)):
            assert problem.error(multiply(), draw) <= TOLERANCE["float32"]


@pytest.mark.parametrize("name", PEERS)
def test_bytes_are_those_of_the_format_and_both_operands(cpu, name):
    problem = problem_of(cpu, rows=24, cols=40, batch=5, group=4, rate=0.5)
    weights, blocks, starts = 24 * 40 // 2, 24 * 40 // 2 // 4, 25
    operands = (40 + 24) * 5 * 4
    expected = {
        "mkl": weights * 8 + starts * 4 + operands,
        "scipy_bsr": weights * 4 + blocks * 4 + starts * 4 + operands,
        "torch_csr": weights * 12 + starts * 8 + operands,
    }
    assert prepared_by(name, problem, cpu).bytes == expected[name]


def test_blocks_that_do_not_divide_the_matrix_are_declined(cpu):
    with pytest.raises(contenders.NotApplicable, match="1 x 8 does not divide 24 x 42"):
        contenders.load("scipy_bsr")(problem_of(cpu, cols=42, group=8), cpu)


@pytest.mark.parametrize("name", PEERS)
def test_types_that_a_device_cannot_multiply_are_declined(name):
    fake = FakeBackend()
    with pytest.raises(contenders.NotApplicable, match="float16"):
        contenders.load(name)(problem_of(fake, dtype="float16"), fake)
