"""What the kernels for groups load, as they do it and as it is predicted."""

import numpy as np
import pytest

from gpuprune.backends.fake import FakeBackend
from gpuprune.errors import GpupruneError
from gpuprune.profiler.own_kernels import count_product, predict
from tests.conftest import problem_of
from tests.cuda import on_cpu
from tests.cuda.cases import DEVICES
from tests.cuda.on_cpu import gpu
from tests.cuda.watched import WatchedMachine

FAKE = FakeBackend()
SMALL_GPU = {"multiprocessors": 5, "shared_bytes": 99 << 10}


def watched_and_counted(trial, **size):
    """Return what the kernels of a product load, by name, and what is counted for them."""
    machine = WatchedMachine()
    problem = trial.problem
    prepared = DEVICES[trial.case.orientation].prepare(problem, gpu(xp=machine, **size))
    prepared.multiply()
    mapping = f"{trial.case.orientation}_group"
    counted = count_product(trial.case, np.asarray(problem.mask), mapping, **size)
    return machine.loaded, {name: counts.tolist() for name, counts in counted.items()}


@pytest.mark.skipif(not on_cpu.COMPILER, reason=on_cpu.NO_COMPILER)
@pytest.mark.parametrize(
    ("orientation", "group", "rows", "cols", "batch", "rate"),
    [
        ("row", 1, 40, 300, 33, 0.9),
        ("row", 1, 70, 33, 17, 0.0),
        ("row", 2, 37, 301, 50, 0.8),
        ("row", 2, 5, 64, 99, 1.0),
        ("row", 3, 70, 90, 51, 0.7),
        ("row", 8, 150, 130, 33, 0.8),
        ("row", 4, 70, 196, 33, 0.6),  # no block reaches beyond the matrix
        ("row", 13, 64, 77, 65, 0.5),
        ("row", 32, 129, 130, 20, 0.6),
        ("row", 48, 70, 100, 34, 0.0),
        ("column", 1, 16, 200, 50, 0.9),
        ("column", 2, 33, 77, 65, 0.5),
        ("column", 4, 70, 33, 17, 0.7),
        ("column", 13, 64, 130, 51, 0.8),
        ("column", 32, 65, 90, 33, 0.5),
        ("column", 48, 100, 70, 34, 0.0),
        ("column", 2, 2, (1 << 16) + 3, 1, 0.99),  # columns beyond 16 bits
    ],
)
def test_every_load_of_every_kernel_is_counted(orientation, group, rows, cols, batch, rate):
    trial = problem_of(
        FAKE, rows=rows, cols=cols, batch=batch, group=group, rate=rate, orientation=orientation
    )
    watched, counted = watched_and_counted(trial, **SMALL_GPU)
    assert counted == watched


@pytest.mark.skipif(not on_cpu.COMPILER, reason=on_cpu.NO_COMPILER)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    ("group", "rows", "cols", "batch", "rate"),
    [
        (1, 16, 200, 50, 0.9),
        (2, 33, 77, 64, 0.5),
        (8, 70, 33, 17, 0.7),
        (13, 64, 130, 51, 0.8),
        (32, 65, 90, 16, 0.5),
        (48, 100, 70, 34, 0.0),
        (8, 24, 40, 1, 0.8),
        (8, 24, 40, 2, 1.0),
        (2, 2, (1 << 16) + 3, 6, 0.99),  # columns beyond 16 bits
    ],
)
def test_every_load_for_tensor_cores_is_counted(dtype, group, rows, cols, batch, rate):
    trial = problem_of(
        FAKE,
        **{"rows": rows, "cols": cols, "batch": batch, "group": group, "rate": rate},
        **{"orientation": "column", "dtype": dtype},
    )
    watched, counted = watched_and_counted(trial, **SMALL_GPU)
    assert counted == watched


def test_products_that_these_kernels_do_not_make_are_refused():
    refused = [
        ("row_group", problem_of(FAKE, orientation="column")),
        ("column_group", problem_of(FAKE, dtype="float64", orientation="column")),
        ("column_group", problem_of(FAKE, dtype="float16")),
        ("column_group", problem_of(FAKE, dtype="float64")),
    ]
    wide = problem_of(FAKE, group=8)
    found = []
    for mapping, trial in refused:
        with pytest.raises(GpupruneError) as why:
            predict(trial.case, trial.mask, mapping)
        found.append((str(why.value), why.value.hint))
    with pytest.raises(GpupruneError) as why:
        count_product(wide.case, wide.mask, "row_group", shared_bytes=4 << 10)
    otherwise = "or the mapping row_major, which is of any pattern and dtype"
    by_row = "the mapping column_group is of --orientation column, and these groups are of row"
    assert found == [
        (
            "the mapping row_group is of --orientation row, and these groups are of column",
            f"take --orientation row, {otherwise}",
        ),
        (
            "the mapping column_group is of float32 and float16 and bfloat16, and these weights "
            "are float64",
            f"take --dtype float32, {otherwise}",
        ),
        (by_row, f"take --orientation column, {otherwise}"),
        (by_row, f"take --orientation column and --dtype float32, {otherwise}"),
    ]
    assert str(why.value) == (
        "there is no row_group for this case: its kernel needs 9.12 KiB of shared memory for a "
        "block, and this GPU has 4.00 KiB"
    )


def test_prediction_is_of_all_kernels_of_a_product_together():
    trial = problem_of(FAKE, rows=70, cols=900, batch=50, group=1, rate=0.5)
    counted = count_product(trial.case, trial.mask, "row_group")
    assert list(counted) == ["multiply_staged", "add_parts"]
    asked, by_lanes, sectors = sum(counted.values())
    found = predict(trial.case, trial.mask, "row_group")
    assert found.gld_efficiency_pct == pytest.approx(100 * asked / (32 * sectors))
    assert found.nvprof_style_pct == pytest.approx(100 * by_lanes / (32 * sectors))
    assert (found.error_points, found.sampled_rows) == (0.0, 70)
