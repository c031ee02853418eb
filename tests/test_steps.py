from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprune.steps import (
    DEEPEST,
    Registers,
    Sizes,
    Step,
    aligned_zeros,
    cut,
    cut_batch,
    registers,
    share_out,
    team,
)

AVX512 = Registers("AVX-512", 64, 32)
AVX2 = Registers("AVX2", 32, 16)
NEON = Registers("NEON", 16, 32)


@pytest.mark.parametrize(
    ("length", "group", "depth", "firsts", "lasts"),
    [
        (4, 1, 1, [0, 1, 2, 3], [1, 2, 3, 4]),
        (14, 7, 7, [0, 7], [7, 14]),
        (16, 16, 8, [0, 8], [8, 16]),
        (20, 9, 5, [0, 5, 9, 14, 18], [5, 9, 14, 18, 20]),  # the last group has one step
        (17, 64, 6, [0, 6, 12], [6, 12, 17]),
    ],
)
def test_groups_are_cut_into_few_steps_of_one_depth(length, group, depth, firsts, lasts):
    found, *edges = cut(length, group)
    assert (found, [edge.tolist() for edge in edges]) == (depth, [firsts, lasts])


@given(st.integers(1, 500), st.integers(1, 600))
def test_the_steps_of_groups_cover_them_and_none_is_idle(length, group):
    depth, firsts, lasts = cut(length, group)
    assert 1 <= depth <= DEEPEST
    assert firsts.tolist() == [0, *lasts[:-1]]
    assert lasts[-1] == length
    assert ((firsts < lasts) & (lasts <= firsts + depth)).all()
    of_group = firsts // min(group, length)
    assert (of_group == (lasts - 1) // min(group, length)).all()
    assert np.bincount(of_group).max() == -(-min(group, length) // DEEPEST)


@pytest.mark.parametrize(
    ("host", "itemsize", "batch", "depth", "step", "slices"),
    [
        # 48 columns in three vectors, and two that spill into one more
        (AVX512, 4, 50, 8, Step(depth=8, vectors=3, spills=True, lanes=16), 1),
        (AVX512, 4, 50, 4, Step(depth=4, vectors=3, spills=True, lanes=16), 1),
        (AVX512, 4, 50, 1, Step(depth=1, vectors=4, spills=False, lanes=16), 1),
        (AVX512, 4, 64, 8, Step(depth=8, vectors=2, spills=False, lanes=16), 2),
        (AVX512, 4, 257, 8, Step(depth=8, vectors=3, spills=False, lanes=16), 6),
        (AVX512, 8, 50, 8, Step(depth=8, vectors=3, spills=True, lanes=8), 2),
        # a lane for each weight, none for columns that nobody asked for
        (AVX512, 4, 1, 8, Step(depth=8, vectors=0, spills=True, lanes=16), 1),
        (AVX2, 4, 50, 8, Step(depth=8, vectors=1, spills=True, lanes=8), 6),
        (AVX2, 4, 8, 8, Step(depth=8, vectors=1, spills=False, lanes=8), 1),
        # four lanes hold no eight weights
        (NEON, 4, 50, 8, Step(depth=8, vectors=2, spills=False, lanes=4), 7),
        (AVX512, 4, 50, 3, Step(depth=3, vectors=4, spills=False, lanes=16), 1),
    ],
)
def test_a_batch_is_cut_into_the_slices_of_fewest_operations(
    host, itemsize, batch, depth, step, slices
):
    assert cut_batch(batch, depth, itemsize, host) == (step, slices)


@given(
    st.sampled_from([AVX512, AVX2, NEON, Registers("128-bit vectors", 16, 16)]),
    st.sampled_from([4, 8]),
    st.integers(1, 600),
    st.integers(1, DEEPEST),
)
def test_slices_cover_the_batch_and_fit_the_registers(host, itemsize, batch, depth):
    step, slices = cut_batch(batch, depth, itemsize, host)
    assert slices == ceil(batch / step.columns)
    assert step.wide + step.narrow < host.count
    assert step.lanes * itemsize == host.bytes
    if step.spills:
        assert step.lanes % depth == 0


def test_the_sizes_of_a_step_are_numbers_of_values():
    step = Step(depth=8, vectors=3, spills=True, lanes=16)
    assert (step.columns, step.wide, step.narrow) == (50, 25, 4)
    assert step.sizes == Sizes(depth=8, whole=48, columns=50, wide=400, narrow=64)


def test_the_host_has_registers():
    host = registers()
    assert (host.bytes, host.count) in {(64, 32), (32, 16), (16, 32), (16, 16)}


def test_work_is_shared_out_in_runs_of_about_equal_work():
    assert share_out(np.array([1, 1, 1, 1, 4, 4]), 1).tolist() == [0, 6]
    assert share_out(np.array([1, 1, 1, 1, 4, 4]), 2).tolist() == [0, 4, 6]
    assert share_out(np.array([5]), 3).tolist() == [0, 0, 0, 1]
    assert share_out(np.zeros(0, np.int64), 2).tolist() == [0, 0, 0]


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=50), st.integers(1, 9))
def test_every_task_has_one_worker(work, workers):
    shares = share_out(np.array(work), workers)
    assert shares.size == workers + 1
    assert shares[0] == 0
    assert shares[-1] == len(work)
    assert (np.diff(shares) >= 0).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_aligned_arrays_begin_with_a_cache_line(dtype):
    for size in (0, 1, 17, 4096):
        array = aligned_zeros((3, size), np.dtype(dtype))
        assert array.shape == (3, size)
        assert array.dtype == dtype
        assert not array.any()
        assert size == 0 or array.ctypes.data % 64 == 0


@pytest.mark.parametrize(
    ("asked", "started"),
    [
        ({"flops": 1e6}, 1),
        ({"flops": 1e8}, 4),
        ({"packed_bytes": 1 << 16}, 1),
        ({"packed_bytes": 1 << 24}, 4),
    ],
)
def test_threads_are_started_where_there_is_enough_to_do(asked, started):
    assert team(4, **asked) == started
    assert team(1, **asked) == 1
