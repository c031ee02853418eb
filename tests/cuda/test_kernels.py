"""The kernels for groups, run on the CPU as they would be on a GPU, their launches included."""

from dataclasses import replace

import numpy as np
import pytest

from gpuprune.backends.fake import FakeBackend
from gpuprune.contenders import NotApplicable
from gpuprune.contenders.row_group import device as row_device
from gpuprune.kernels import Steps
from gpuprune.problem import Problem
from gpuprune.records import Case
from gpuprune.roofline import Phase, Work
from tests.conftest import problem_of
from tests.cuda import on_cpu
from tests.cuda.cases import DEVICES, PATTERNS, excess, multiply, odd_views, trials
from tests.cuda.on_cpu import LaunchError, gpu

pytestmark = pytest.mark.skipif(not on_cpu.COMPILER, reason=on_cpu.NO_COMPILER)

FAKE = FakeBackend()
ALL = [
    ("row", "float32"),
    ("column", "float32"),
    ("column", "float16"),
    ("column", "bfloat16"),
]
# The kernels of the 16-bit types differ in how they read a number, and in nothing else.
CHECKS = [
    (*kind, *pattern)
    for kind in ALL
    for pattern in (PATTERNS[::4] if kind[1] == "bfloat16" else PATTERNS)
]


@pytest.mark.parametrize(("orientation", "dtype", "group", "rate"), CHECKS)
def test_products_are_right_on_ragged_shapes(orientation, dtype, group, rate):
    for seed, trial in enumerate(trials(FAKE, orientation, dtype, [(group, rate)])):
        product = multiply(FAKE, trial, gpu(seed))
        assert excess(FAKE, trial, product) <= 1, trial.case


@pytest.mark.parametrize("batch", [0, 1, 2, 16, 31, 32, 33, 51, 65, 257])
@pytest.mark.parametrize(("orientation", "dtype"), ALL)
def test_products_are_right_for_any_batch(orientation, dtype, batch):
    for group in (1, 8):
        trial = problem_of(
            FAKE, rows=21, cols=37, batch=batch, group=group, rate=0.5, orientation=orientation,
            dtype=dtype,
        )  # fmt: skip
        assert excess(FAKE, trial, multiply(FAKE, trial, gpu())) <= 1


@pytest.mark.parametrize("shared_kib", [48, 64, 163, 227])
@pytest.mark.parametrize("multiprocessors", [1, 132])
@pytest.mark.parametrize(("orientation", "dtype"), ALL)
def test_products_are_right_on_gpus_of_any_size(orientation, dtype, multiprocessors, shared_kib):
    device = gpu(multiprocessors=multiprocessors, shared_bytes=shared_kib << 10)
    for group in (1, 4, 32):
        trial = problem_of(
            FAKE, rows=150, cols=260, batch=40, group=group, rate=0.9, orientation=orientation,
            dtype=dtype,
        )  # fmt: skip
        assert excess(FAKE, trial, multiply(FAKE, trial, device)) <= 1


def test_a_kernel_serves_layers_that_want_different_shared_memory_by_turns():
    device = gpu(shared_bytes=227 << 10)
    layers = [
        problem_of(FAKE, rows=70, cols=cols, batch=64, group=1, rate=0.5).problem
        for cols in (600, 300)  # of which a block copies windows of 150 and of 75 KiB
    ]
    products = [DEVICES["row"].prepare(layer, device) for layer in layers]
    for layer, product in zip(layers, products, strict=True):
        assert excess(FAKE, layer, product.multiply()) <= 1


@pytest.mark.parametrize(("orientation", "dtype"), ALL)
def test_operands_may_lie_in_memory_as_they_like(orientation, dtype):
    for group in (1, 8):
        trial = problem_of(
            FAKE, rows=21, cols=37, batch=18, group=group, rate=0.5, orientation=orientation,
            dtype=dtype,
        )  # fmt: skip
        for name, problem in odd_views(trial.problem, np):
            product = DEVICES[orientation].prepare(problem, gpu()).multiply()
            assert excess(FAKE, problem, product) <= 1, name


@pytest.mark.parametrize("group", [1, 2, 4, 8, 40])
@pytest.mark.parametrize(("orientation", "dtype"), ALL)
def test_a_group_is_kept_if_any_of_its_weights_is(orientation, dtype, group):
    problem = problem_of(
        FAKE, rows=70, cols=90, batch=5, group=group, rate=0.0, orientation=orientation,
        dtype=dtype,
    ).problem  # fmt: skip
    mask = np.random.default_rng(0).random((70, 90)) < 0.1
    weights = np.where(mask, problem.weights, problem.weights.dtype.type(0))
    weights[1] = 0  # exact zeros, and kept
    problem = replace(problem, weights=weights, mask=mask, nnz=int(mask.sum()))
    product = DEVICES[orientation].prepare(problem, gpu()).multiply()
    assert excess(FAKE, problem, product) <= 1
    assert not product[1].any()


@pytest.mark.parametrize("rate", [0.5, 0.999])
@pytest.mark.parametrize(("orientation", "dtype"), ALL)
def test_columns_beyond_16_bits_are_found(orientation, dtype, rate):
    for group in (1, 8):
        trial = problem_of(
            FAKE, rows=2, cols=(1 << 16) + 3, batch=1, group=group, rate=rate,
            orientation=orientation, dtype=dtype,
        )  # fmt: skip
        trial.weights[:, -1], trial.mask[:, -1] = 3, True
        assert excess(FAKE, trial, multiply(FAKE, trial, gpu())) <= 1


@pytest.mark.parametrize(("orientation", "dtype"), ALL)
def test_activations_may_reach_beyond_32_bits(orientation, dtype):
    for group in (1, 4):
        problem = problem_of(
            FAKE, rows=3, cols=3, batch=1, group=group, rate=0.0, orientation=orientation,
            dtype=dtype,
        ).problem  # fmt: skip
        apart = (1 << 30) + (1 << 28)  # two rows further, it is beyond 2^31 values
        memory = np.zeros(2 * apart + 1, problem.activations.dtype)  # of which few pages exist
        activations = memory[::apart, None]
        activations[...] = problem.activations
        problem = replace(problem, activations=activations)
        product = DEVICES[orientation].prepare(problem, gpu()).multiply()
        assert excess(FAKE, problem, product) <= 1


@pytest.mark.parametrize(
    ("orientation", "dtype", "group", "last"),
    [
        ("row", "float32", 1, 0),  # one block has all rows
        ("row", "float32", 4, 2),  # four panels of 64 rows a block
        ("column", "float32", 4, 187),  # as many strips
        ("column", "float16", 8, 93),
    ],
)
def test_products_may_reach_beyond_32_bits(orientation, dtype, group, last):
    rows, batch = 750, 3_000_001  # of the product few pages are written
    case = Case(
        rows=rows, cols=4, batch=batch, rate=0.0, group=group, orientation=orientation, dtype=dtype
    )
    weights, activations = np.ones((rows, 4), dtype), np.ones((4, batch), dtype)
    problem = Problem(
        case=case,
        weights=weights,
        mask=np.ones((rows, 4), bool),
        activations=activations,
        activations_fortran=activations,
        nnz=4 * rows,
    )
    device = gpu(only=(last, (batch - 1) // 64), multiprocessors=1)
    out = DEVICES[orientation].prepare(problem, device).multiply()
    assert (out[-1, -1 - (batch - 1) % 64 :] == 4).all()


def test_what_cannot_be_done_is_declined_in_a_sentence():
    row, column = DEVICES["row"].prepare, DEVICES["column"].prepare
    half = problem_of(FAKE, dtype="float16", orientation="column")
    double = problem_of(FAKE, dtype="float64", orientation="column")
    plain = problem_of(FAKE)
    single = problem_of(FAKE, group=1, rows=99, cols=600)
    wide = Case(rows=4, cols=(1 << 30) + 1, batch=1, rate=0.0, group=8)
    many = Case(rows=1 << 24, cols=500, batch=1, rate=0.0, group=1, orientation="column")
    many_halves = replace(many, rows=1 << 30, cols=1, group=8, dtype="float16")
    declined = {
        "float16 rows": (row, half, {}),
        "float64 columns": (column, double, {}),
        "old tensor cores": (column, half, {"capability": (7, 5)}),
        "little shared memory": (row, plain, {"shared_bytes": 4 << 10}),
        "no room for a window": (row, single, {"shared_bytes": 2 << 10}),
        "little memory": (row, single, {"free_bytes": 8000, "shared_bytes": 16 << 10}),
        "large batch": (row, replace(plain, case=replace(wide, cols=8, batch=1 << 23)), {}),
        "wide": (row, replace(plain, case=wide), {}),
        "many groups": (row, replace(plain, case=replace(wide, rows=1 << 28, cols=80)), {}),
        "many column groups": (column, replace(plain, case=many), {}),
        "filled up": (column, replace(plain, case=many_halves), {}),
    }
    reasons = {}
    for name, (prepare, problem, changes) in declined.items():
        with pytest.raises(NotApplicable) as why:
            prepare(problem, gpu(**changes))
        reasons[name] = str(why.value)
    assert reasons == {
        "float16 rows": "row groups are float32 on a GPU, and the weights are float16",
        "float64 columns": (
            "column groups are float32 and 16-bit on a GPU, and the weights are float64"
        ),
        "old tensor cores": (
            "its tensor cores came with compute capability 8.0, and this GPU has 7.5"
        ),
        "little shared memory": (
            "its kernel needs 8.62 KiB of shared memory for a block, and this GPU has 4.00 KiB"
        ),
        "no room for a window": (
            "its kernel needs 2.75 KiB of shared memory for a block, and this GPU has 2.00 KiB"
        ),
        "little memory": ("its 6 parts give products of 11.6 KiB, and 7.81 KiB is free"),
        "large batch": ("its kernels cover a batch of at most 4194240, and this one is 8388608"),
        "wide": "its kernels count to 1073741824, and there are 1073741825 columns",
        "many groups": "its kernels count to 1073741824, and there are 2684354560 groups",
        "many column groups": ("its kernels count to 1073741824, and there are 8455716864 groups"),
        "filled up": ("its kernels count to 1073741824, and there are 2147483648 groups"),
    }


@pytest.mark.parametrize(("orientation", "dtype"), ALL)
def test_a_product_is_the_same_to_the_bit_in_whatever_order_warps_run(orientation, dtype):
    trial = problem_of(
        FAKE, rows=150, cols=200, batch=40, group=8, rate=0.7, orientation=orientation,
        dtype=dtype,
    )  # fmt: skip
    products = [multiply(FAKE, trial, gpu(seed)) for seed in (0, 1, 2)]
    assert (products[1] == products[0]).all()
    assert (products[2] == products[0]).all()


def test_bytes_are_those_of_the_format_and_both_operands():
    operands = (32 + 256) * 50 * 4
    found = {}
    for orientation, group in [("row", 1), ("row", 8), ("column", 8)]:
        problem = problem_of(
            FAKE, rows=256, cols=32, batch=50, group=group, rate=0.0, orientation=orientation
        )
        prepared = DEVICES[orientation].prepare(problem, gpu(multiprocessors=1))
        found[prepared.variant] = prepared.bytes - operands - 256 * 32 * 4
    assert found == {
        # Shares of 32 warps, starts of 256 rows, a place for each weight.
        "windows in shared memory": 33 * 4 + 257 * 4 + 256 * 32 * 2,
        # Shares of a slice for 4 panels, columns and starts of 16 records, 64 rows of each.
        "panels of 64 rows": 4 * 2 * 4 + 16 * 4 + 17 * 4 + 16 * 64,
        # Order and starts of 32 strips, and a column for each of their entries.
        "gather": 32 * 4 + 33 * 4 + 32 * 32 * 2,
    }


def test_groups_are_cut_into_the_fewest_steps():
    groups = (1, 3, 32, 33, 65, 200)
    assert [Steps.of(group, 100, shallowest=1, deepest=32) for group in groups] == [
        Steps(group=1, count=1, depth=1),
        Steps(group=3, count=1, depth=4),
        Steps(group=32, count=1, depth=32),
        Steps(group=33, count=2, depth=32),
        Steps(group=65, count=3, depth=32),
        Steps(group=100, count=4, depth=32),
    ]
    assert Steps.of(33, 100, shallowest=1, deepest=16) == Steps(group=33, count=3, depth=16)
    matrix = np.arange(1, 8).reshape(1, 7)
    assert Steps(group=3, count=2, depth=2).cut(matrix, np).tolist() == [
        [[1, 2], [3, 0], [4, 5], [6, 0], [7, 0], [0, 0]]
    ]


@pytest.mark.parametrize(
    ("rows", "cols", "slabs", "spread"),
    [
        (4096, 4096, 1, (1, 12, 2)),  # two products of 64 blocks, not eight of 16
        (4096, 4096, 5, (1, 12, 2)),  # 640 blocks in five rounds: one more is not worth it
        (3200, 4096, 1, (2, 6, 5)),  # as soon done with one panel a block, in two rounds
        (11008, 4096, 1, (4, 3, 3)),  # whose panels alone leave half of the second round idle
        (16384, 16384, 1, (2, 6, 1)),  # enough rows for the GPU: nothing is left to add
        (1024, 1024, 1, (1, 12, 3)),
        (384, 384, 1, (1, 12, 1)),
        (1, 4, 1, (1, 1, 1)),
    ],
)
def test_columns_are_split_only_as_far_as_that_fills_the_gpu(rows, cols, slabs, spread):
    panels, blocks = -(-rows // 64), -(-cols // 8)
    size = {"slabs": slabs, "warps": 12, "multiprocessors": 132}
    assert row_device.spread_panels(panels, blocks, **size) == spread


BROKEN = """
extern "C" __global__ void half_wait(int* out) {
    if (threadIdx.x < 16) {
        __syncthreads();
    }
}
"""


def test_the_machine_finds_threads_that_wait_for_ever():
    kernel = gpu().xp.RawModule(BROKEN).get_function("half_wait")
    with pytest.raises(LaunchError, match=r"half_wait: line 4, .*: waits for ever"):
        kernel((1,), (32,), (np.zeros(1, np.int32),))


def test_the_machine_refuses_arguments_of_another_kind():
    kernel = gpu().xp.RawModule(BROKEN).get_function("half_wait")
    with pytest.raises(LaunchError, match=r"takes \['P8'\], not \['i4'\]"):
        kernel((1,), (32,), (np.int32(1),))


def test_the_machine_refuses_shared_memory_that_was_not_asked_for():
    kernel = gpu().xp.RawModule(BROKEN).get_function("half_wait")
    with pytest.raises(LaunchError, match="asks for 49153 bytes"):
        kernel((1,), (32,), (np.zeros(1, np.int32),), shared_mem=(48 << 10) + 1)


def test_a_kernel_accounts_for_what_it_asks_of_the_device():
    works = {}
    for orientation, group in [("row", 1), ("row", 8), ("column", 8)]:
        problem = problem_of(
            FAKE, rows=256, cols=32, batch=50, group=group, rate=0.0, orientation=orientation
        )
        prepared = DEVICES[orientation].prepare(problem, gpu(multiprocessors=4))
        works[prepared.variant] = (prepared.bytes, prepared.work)
    activations, weights = 32 * 50 * 4, 256 * 32
    arithmetic = 2 * weights * 64  # a slab has 64 columns
    size, work = works["windows in shared memory"]
    assert work == Work(
        phases=(
            Phase(
                moved=size,
                flops=arithmetic,
                gathered=4 * activations,  # each of the blocks
                gathered_from=activations,
                kept=(4 * 32 + weights) * 64 * 4,
            ),
        )
    )
    size, work = works["panels of 64 rows"]
    assert work == Work(
        phases=(
            Phase(
                moved=size,
                flops=arithmetic,
                gathered=4 * activations,  # each of the panels
                gathered_from=activations,
                kept=2 * weights // 8 * 64 * 4,
            ),
        ),
    )
    size, work = works["gather"]
    assert work == Work(
        phases=(
            Phase(
                moved=size,
                flops=arithmetic,
                gathered=32 * activations,  # each of the strips
                gathered_from=activations,
                kept=32 * 2 * 8 * 64 * 4,  # of two warps, one's sums are added
            ),
        )
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("orientation", "dtype", "group"),
    [("row", "float32", 1), ("row", "float32", 8), ("column", "float32", 8),
     ("column", "float16", 8)],
)  # fmt: skip
def test_the_papers_layer_is_right_as_a_large_gpu_launches_it(orientation, dtype, group):
    trial = problem_of(
        FAKE, rows=4096, cols=4096, batch=50, group=group, rate=0.9, orientation=orientation,
        dtype=dtype,
    )  # fmt: skip
    product = multiply(FAKE, trial, gpu(multiprocessors=132, shared_bytes=227 << 10))
    assert excess(FAKE, trial, product) <= 1
