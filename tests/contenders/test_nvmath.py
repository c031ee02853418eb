import sys
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse

from gpuprune.backends.fake import FakeBackend
from gpuprune.contenders import NotApplicable, nvmath
from tests.conftest import problem_of

FAKE = FakeBackend()
GPU = SimpleNamespace(name="cuda", xp=np, unsupported=lambda dtype: None)


@pytest.mark.parametrize(("orientation", "shape"), [("row", (1, 8)), ("column", (8, 1))])
def test_blocks_are_those_that_scipy_multiplies(orientation, shape):
    problem = problem_of(FAKE, rows=24, cols=40, group=8, rate=0.6, orientation=orientation)
    problem.weights[problem.mask.nonzero()[0][0], problem.mask.nonzero()[1][0]] = 0
    values, columns, starts = nvmath.pack(problem.weights, problem.mask, *shape, np)
    assert values.shape == (columns.size, *shape)
    assert columns.size * 8 == problem.nnz
    assert columns.dtype == starts.dtype == np.int32
    matrix = scipy.sparse.bsr_matrix((values, columns, starts), shape=(24, 40))
    np.testing.assert_array_equal(matrix.toarray(), problem.weights)


def test_the_cpu_is_declined():
    with pytest.raises(NotApplicable, match="nvmath-python multiplies on a GPU"):
        nvmath.prepare(problem_of(FAKE), FAKE)


def test_blocks_that_do_not_divide_the_matrix_are_declined():
    with pytest.raises(NotApplicable, match="1 x 8 does not divide 24 x 42"):
        nvmath.prepare(problem_of(FAKE, cols=42, group=8), GPU)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nvmath", None)
    with pytest.raises(NotApplicable, match=r"pip install nvmath-python\[cu12\]$"):
        nvmath.prepare(problem_of(FAKE), GPU)
