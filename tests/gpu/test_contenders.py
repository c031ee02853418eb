import numpy as np
import pytest

from gpuprune import contenders, csr
from gpuprune.contenders import Prepared
from gpuprune.problem import AFTER, BEFORE, PREPARING
from gpuprune.records import Case, Contract
from gpuprune.sweep import Stopwatch, run
from gpuprune.verification import TOLERANCE
from tests.cheats import CHEATS
from tests.conftest import problem_of

pytestmark = pytest.mark.gpu

SHAPES = [(1, 1, 1), (3, 2, 1), (5, 64, 51), (70, 33, 17), (129, 130, 64), (512, 1000, 50)]
PATTERNS = [
    (1, 0.0, "row"),
    (1, 0.9, "row"),
    (8, 0.8, "row"),
    (64, 0.9, "row"),
    (3, 1.0, "row"),
    (8, 0.7, "column"),
]


@pytest.fixture(scope="module")
def calibration(gpu):
    return gpu.calibrate(("float32",))


def check(gpu, problem, prepared):
    """Multiply two draws; the product must be right, and its work on our stream."""
    for draw in (BEFORE, AFTER):
        gpu.delay()
        problem.renew(draw)
        product = gpu.numpy(prepared.multiply())
        assert product.shape == (problem.case.rows, problem.case.batch)
        tolerance = TOLERANCE[prepared.precision or problem.case.dtype]
        assert problem.error(product, draw) <= tolerance, (problem.case, prepared.variant)
    assert not problem.restore()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", contenders.names())
def test_a_contender_is_right_in_every_variant(gpu, name, shape, dtype):
    rows, cols, batch = shape
    for group, rate, orientation in PATTERNS:
        problem = problem_of(
            gpu, rows=rows, cols=cols, batch=batch, group=group, rate=rate,
            orientation=orientation, dtype=dtype,
        )  # fmt: skip
        problem.renew(PREPARING)
        try:
            variants = contenders.load(name)(problem, gpu)
        except contenders.NotApplicable as why:
            assert str(why)
            continue
        assert variants
        for prepared in variants:
            check(gpu, problem, prepared)
            assert prepared.bytes > 0
            if prepared.call:
                problem.renew(BEFORE)
                assert gpu.numpy(prepared.call()).shape == (rows, batch)


@pytest.mark.parametrize("name", ["dense", "csr"])
def test_bfloat16_is_right_where_the_gpu_has_it(gpu, name):
    if reason := gpu.unsupported("bfloat16"):
        pytest.skip(reason)
    problem = problem_of(gpu, rows=300, cols=4000, batch=50, rate=0.5, dtype="bfloat16")
    for prepared in contenders.load(name)(problem, gpu):
        check(gpu, problem, prepared)


@pytest.mark.parametrize("tf32", ["0", "1"])
def test_dense_float32_is_float32_even_where_cupy_takes_tf32(gpu, monkeypatch, tf32):
    from cupy._core import _routines_linalg

    before = _routines_linalg.get_compute_type("float32")
    monkeypatch.setenv("CUPY_TF32", tf32)
    _routines_linalg.set_compute_type("float32", 0)  # to be read from the environment again
    try:
        problem = problem_of(gpu, rows=512, cols=1024, batch=64, rate=0.0)
        for prepared in contenders.load("dense")(problem, gpu):
            check(gpu, problem, prepared)
    finally:
        _routines_linalg.set_compute_type("float32", before)


def test_dense_tf32_is_coarser_than_float32(gpu):
    problem = problem_of(gpu, rows=512, cols=1024, batch=64, rate=0.0)
    try:
        variants = contenders.load("dense_tf32")(problem, gpu)
    except contenders.NotApplicable as why:
        pytest.skip(str(why))
    problem.renew(BEFORE)
    for prepared in variants:
        assert prepared.precision == "tf32"
        assert 1e-6 < problem.error(gpu.numpy(prepared.multiply()), BEFORE) < 1e-3


def test_cusparse_is_given_two_layouts_and_every_algorithm(gpu):
    problem = problem_of(gpu, rows=64, cols=96, batch=50)
    variants = {one.variant: one for one in contenders.load("csr")(problem, gpu)}
    assert set(variants) == {
        f"{layout}, {algorithm}"
        for layout in ("row-major", "column-major")
        for algorithm in ("default", "ALG1", "ALG2", "ALG3")
    }
    by_rows = variants["row-major, default"].multiply()
    by_columns = variants["column-major, default"].multiply()
    assert by_rows.flags.c_contiguous
    assert by_columns.flags.f_contiguous
    assert by_rows.data.ptr != by_columns.data.ptr


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_csr_holds_what_the_mask_keeps(gpu, dtype):
    problem = problem_of(gpu, rows=30, cols=41, rate=0.7, group=3, dtype=dtype)
    row, col = (int(index[0]) for index in gpu.xp.nonzero(problem.mask))
    problem.weights[row, col] = 0  # exact zeros inside kept groups stay stored
    found = csr.compress(problem.weights, problem.mask, gpu.xp)
    weights, mask = gpu.numpy(problem.weights), gpu.numpy(problem.mask)
    rows, columns = np.nonzero(mask)
    assert found.columns.dtype == found.offsets.dtype == np.int32
    assert (gpu.numpy(found.columns) == columns).all()
    assert (gpu.numpy(found.values) == weights[mask]).all()
    assert (np.diff(gpu.numpy(found.offsets)) == np.bincount(rows, minlength=30)).all()


def test_descriptors_are_destroyed_with_what_uses_them(gpu, monkeypatch):
    import gc

    from gpuprune.contenders.csr import cusparse

    destroyed = []
    # Counted and done: the real ones are called behind it.
    for name in ("destroySpMat", "destroyDnMat"):
        real = getattr(cusparse.cusparse, name)
        monkeypatch.setattr(
            cusparse.cusparse,
            name,
            lambda descriptor, real=real: (destroyed.append(descriptor), real(descriptor)),
        )
    variants = cusparse.prepare(problem_of(gpu), gpu)
    count = len(variants)
    assert destroyed == []
    del variants
    gc.collect()
    assert len(destroyed) == 3 * count


def on_the_default_stream(problem, backend):
    """Multiply on the stream that is everyone's where none is chosen."""
    return on_a_stream(backend.xp.cuda.Stream.null, problem, backend)


def on_a_stream_of_its_own(problem, backend):
    """Multiply on a stream of which the backend knows nothing."""
    return on_a_stream(backend.xp.cuda.Stream(non_blocking=True), problem, backend)


def on_a_stream(stream, problem, backend):
    out = backend.xp.empty((problem.case.rows, problem.case.batch), problem.weights.dtype)

    def multiply():
        with stream:
            backend.xp.matmul(problem.weights, problem.activations, out=out)
        return out

    return [Prepared(multiply=multiply)]


def honest(problem, backend):
    return [Prepared(multiply=lambda: problem.weights @ problem.activations, bytes=1)]


@pytest.mark.parametrize(
    "cheat",
    [*CHEATS, on_the_default_stream, on_a_stream_of_its_own],
    ids=lambda cheat: cheat.__name__,
)
def test_a_cheat_is_wrong_and_has_no_time(gpu, calibration, cheat):
    case = Case(rows=256, cols=512, batch=50, rate=0.8, group=1)
    prepares = {"dense": contenders.load("dense"), "cheat": cheat, "honest": honest}
    (results,) = run([case], prepares, gpu, Contract(samples=3), calibration, Stopwatch())
    found = {result.contender: result for result in results}
    assert found["cheat"].status == "wrong", found["cheat"].reason
    assert found["cheat"].timing is None
    for name in ("dense", "honest"):
        assert found[name].status in ("ok", "disturbed"), found[name].reason
