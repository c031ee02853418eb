import gc
import inspect
import re
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from gpuprune.backends.fake import FakeBackend
from gpuprune.contenders import NotApplicable, nvmath
from gpuprune.problem import AFTER, BEFORE
from gpuprune.roofline import Phase
from gpuprune.verification import TOLERANCE
from tests.conftest import problem_of
from tests.contenders import cusparse_on_cpu

FAKE = FakeBackend()
GPU = SimpleNamespace(
    name="cuda", xp=cusparse_on_cpu.ArrayModule(), unsupported=lambda dtype: None
)


@pytest.fixture
def library(monkeypatch):
    """Stand in for the bindings; fails where a descriptor outlives its product."""
    library = cusparse_on_cpu.Library()
    monkeypatch.setitem(sys.modules, "nvmath.bindings", SimpleNamespace(cusparse=library))
    yield library
    gc.collect()
    assert library.live == {}


def prepare(**case):
    problem = problem_of(FAKE, **case)
    names = ("weights", "mask", "activations", "activations_fortran")
    arrays = {name: cusparse_on_cpu.on_device(getattr(problem, name)) for name in names}
    return problem, nvmath.prepare(replace(problem, **arrays), GPU)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("orientation", ["row", "column"])
@pytest.mark.parametrize(("group", "rate"), [(1, 0.9), (4, 0.9), (8, 0.97), (64, 0.5)])
def test_every_format_and_layout_describes_the_right_product(
    library, group, rate, orientation, dtype
):
    problem, variants = prepare(
        rows=24, cols=40, batch=5, group=group, rate=rate, orientation=orientation, dtype=dtype
    )
    for draw in (BEFORE, AFTER):
        problem.renew(draw)
        for prepared in variants:
            product = np.asarray(prepared.multiply())
            assert problem.error(product, draw) <= TOLERANCE[dtype], prepared.variant
    del variants, prepared


def test_variants_tell_what_each_holds_and_does(library):
    _, variants = prepare(rows=24, cols=40, batch=5, group=8, rate=0.9)
    operands, item = (24 + 40) * 5 * 4, 4
    blocks, width = 12, 3  # of 1 x 8; the most of 8 x 8 in a block row
    of_bsr, of_ell = blocks * 8, 24 * width * 8
    bsr = Phase(
        moved=of_bsr * item + blocks * 4 + 25 * 4 + operands,
        flops=2 * of_bsr * 5,
        gathered=of_bsr * 5 * item,  # a row of activations for each weight
        gathered_from=40 * 5 * item,
    )
    ell = Phase(
        moved=of_ell * item + 3 * width * 4 + operands,
        flops=2 * of_ell * 5,
        gathered=of_ell / 8 * 5 * item,  # and here for each column of a block
        gathered_from=40 * 5 * item,
    )
    assert [(one.variant, one.bytes, one.work.phases) for one in variants] == [
        ("BSR 1 x 8, row-major", bsr.moved, (bsr,)),
        ("BSR 1 x 8, column-major", bsr.moved, (bsr,)),
        ("Blocked-ELL 8 x 8, row-major", ell.moved, (ell,)),
        ("Blocked-ELL 8 x 8, column-major", ell.moved, (ell,)),
    ]
    del variants


def test_square_blocks_lie_as_nvidia_draws_them():
    weights = np.array(
        [[0, 0, 1, 2, 0, 0], [0, 0, 3, 4, 0, 0], [5, 6, 0, 0, 0, 8], [0, 9, 0, 0, 7, 0]]
    )
    values, columns = nvmath.pack_ell(weights, weights != 0, 2, np)
    assert columns.tolist() == [[0, 1], [0, 2]]  # the first row's block 0 is there to fill it up
    assert values.tolist() == [[0, 0, 1, 2], [0, 0, 3, 4], [5, 6, 0, 8], [0, 9, 7, 0]]


@pytest.mark.parametrize(
    ("cols", "rate"), [(44, 0.9), (40, 0.0)], ids=["8 does not divide 44", "every block is kept"]
)
def test_square_blocks_are_left_out_where_they_gain_nothing(library, cols, rate):
    _, variants = prepare(rows=24, cols=cols, group=8, rate=rate, orientation="column")
    assert {one.variant for one in variants} == {"BSR 8 x 1, row-major", "BSR 8 x 1, column-major"}
    del variants


def test_what_this_cusparse_refuses_is_left_out_and_anything_else_is_raised(library):
    def refuse(*_):
        raise cusparse_on_cpu.cuSPARSEError(status)

    library.create_blocked_ell = refuse
    status = 10
    _, variants = prepare(rows=24, cols=40, group=8, rate=0.9)
    assert [one.variant[:3] for one in variants] == ["BSR", "BSR"]
    library.create_bsr = refuse
    with pytest.raises(
        NotApplicable, match="refuses such blocks; BSR 1 x 8, row-major: status 10"
    ):
        prepare(rows=24, cols=40, group=8, rate=0.9)
    status = 7
    with pytest.raises(cusparse_on_cpu.cuSPARSEError):
        prepare(rows=24, cols=40, group=8, rate=0.9)
    del variants


@pytest.mark.peer
def test_the_stand_in_takes_what_the_real_bindings_take():
    real = pytest.importorskip("nvmath.bindings.cusparse")
    for name, function in inspect.getmembers(cusparse_on_cpu.Library, inspect.isfunction):
        if not name.startswith("_"):
            signature = re.search(r"\((.*?)\)", getattr(real, name).__doc__).group(1)
            _self, *parameters = inspect.signature(function).parameters
            assert [one.split()[-1] for one in filter(None, signature.split(", "))] == parameters
    for name in ("IndexType", "IndexBase", "Order", "Operation", "SpMMAlg"):
        for member in getattr(cusparse_on_cpu, name):
            assert getattr(real, name)[member.name] == member


def test_the_cpu_is_declined():
    with pytest.raises(NotApplicable, match="nvmath-python multiplies on a GPU"):
        nvmath.prepare(problem_of(FAKE), FAKE)


def test_blocks_that_do_not_divide_the_matrix_are_declined():
    with pytest.raises(NotApplicable, match="1 x 8 does not divide 24 x 42"):
        nvmath.prepare(problem_of(FAKE, cols=42, group=8), GPU)


def test_nothing_kept_is_declined(library):
    with pytest.raises(NotApplicable, match="wants a block at least"):
        prepare(rate=1.0)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nvmath", None)
    with pytest.raises(NotApplicable, match=r"pip install nvmath-python\[cu12\]$"):
        nvmath.prepare(problem_of(FAKE), GPU)
