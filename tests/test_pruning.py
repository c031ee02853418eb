"""Grouped pruning against a slow, obvious reference, the paper's example, and torch."""

import math
import subprocess
import sys
import tracemalloc
import warnings
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from gpuprune.errors import GpupruneError
from gpuprune.pruning import energy_kept, group_scores, prune, prune_mask, rank

SCORES = ("rms", "mean", "median", "random")
ORIENTATIONS = ("row", "column")
DTYPES = (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)
SWEEP = (0.8, 0.82, 0.84, 0.86, 0.88, 0.9, 0.92, 0.94, 0.96, 0.98)


def normal(rows, cols, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, cols)).astype(dtype)


def reference_mask(
    weights, rate, group, score, orientation="row", unit="groups", min_groups_per_row=0
):
    """Sort (score, position) in plain Python and remove from the front."""
    if orientation == "column":
        return reference_mask(weights.T, rate, group, score, "row", unit, min_groups_per_row).T
    rows, cols = weights.shape
    scores = group_scores(weights, group, score)
    ranked = sorted(
        (float(scores[row, nth]), row, nth)
        for row in range(rows)
        for nth in range(scores.shape[1])
    )
    spared = set()
    for row in range(rows):
        of_row = [place for place in ranked if place[1] == row]
        spared.update(of_row[len(of_row) - min(min_groups_per_row, len(of_row)) :])
    mask = np.ones((rows, cols), bool)
    wanted = Decimal(repr(rate)) * len(ranked)
    left = int(wanted.to_integral_value(ROUND_HALF_UP))
    left_weights = Decimal(repr(rate)) * weights.size
    for place in ranked:
        if place in spared:
            continue
        _, row, nth = place
        span = slice(nth * group, min((nth + 1) * group, cols))
        left -= 1
        left_weights -= span.stop - span.start
        if (left if unit == "groups" else left_weights) < 0:
            break
        mask[row, span] = False
    return mask


shapes = st.tuples(st.integers(1, 9), st.integers(1, 23))
rates = st.one_of(st.integers(0, 100).map(lambda percent: percent / 100), st.floats(0, 1))
generators = st.integers(0, 2**32 - 1).map(np.random.default_rng)
# Quarters from -1 to 1: many ties, and sums of squares that float64 holds exactly.
tied_weights = st.builds(
    lambda shape, generator: generator.integers(-4, 5, shape).astype(np.float32) / 4,
    shapes,
    generators,
)
any_weights = shapes.flatmap(
    lambda shape: arrays(
        np.float64, shape, elements=st.floats(allow_nan=False, allow_infinity=False)
    )
)
groups = st.integers(1, 12)


def test_the_papers_worked_example_gives_its_three_arrays():
    weights = np.array(
        [[0.1, 0.2, 0.2, 0.1], [2.1, 2.2, 2.3, 2.4], [0.3, 0.1, 0.1, 0.3], [0.2, 0.3, 4.3, 4.4]]
    )
    mask = prune_mask(weights, 0.625, 2)
    csr = sparse.csr_matrix(mask)
    assert weights[mask].tolist() == [2.1, 2.2, 2.3, 2.4, 4.3, 4.4]
    assert csr.indices.tolist() == [0, 1, 2, 3, 2, 3]
    assert csr.indptr.tolist() == [0, 0, 4, 4, 6]
    assert sparse.csr_matrix(prune(weights, 0.625, 2)).data.tolist() == weights[mask].tolist()


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        ("rms", [[math.sqrt(12.5), 5.0], [1.0, 2.0]]),
        ("mean", [[3.5, 5.0], [1.0, 2.0]]),
        ("median", [[3.5, 5.0], [1.0, 2.0]]),
    ],
)
def test_the_last_group_of_a_row_is_scored_by_its_own_elements(score, expected):
    weights = np.array([[3.0, -4.0, 5.0], [1.0, 1.0, -2.0]])
    assert group_scores(weights, 2, score).tolist() == expected


def test_the_median_of_an_even_group_is_the_mean_of_the_middle_two():
    weights = np.array([[9.0, -1.0, 2.0, -4.0, 0.0, 7.0, -3.0]])
    assert group_scores(weights, 4, "median").tolist() == [[3.0, 3.0]]


def test_a_group_of_one_is_scored_by_its_absolute_value_exactly():
    weights = normal(3, 5)
    for score in ("rms", "mean", "median"):
        assert group_scores(weights, 1, score).tolist() == np.abs(weights).tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("group", [1, 2, 3, 7, 8, 64, 100])
def test_scores_are_those_of_numpy_in_float64(dtype, group):
    weights = normal(6, 70, dtype)
    parts = [weights[:, start : start + group].astype(np.float64) for start in range(0, 70, group)]
    expected = {
        "rms": [np.sqrt((part**2).mean(axis=1)) for part in parts],
        "mean": [np.abs(part).mean(axis=1) for part in parts],
        "median": [np.median(np.abs(part), axis=1) for part in parts],
    }
    for score, columns in expected.items():
        np.testing.assert_allclose(
            group_scores(weights, group, score), np.transpose(columns), rtol=1e-14
        )


@given(tied_weights, rates, groups, st.sampled_from(SCORES), st.sampled_from(ORIENTATIONS))
def test_a_mask_is_that_of_sorting_by_score_and_position(weights, rate, group, score, orientation):
    mask = prune_mask(weights, rate, group, score, orientation=orientation)
    assert mask.tolist() == reference_mask(weights, rate, group, score, orientation).tolist()


@given(any_weights, rates, groups, st.sampled_from(SCORES), st.sampled_from(ORIENTATIONS))
def test_the_same_holds_for_any_float64(weights, rate, group, score, orientation):
    mask = prune_mask(weights, rate, group, score, orientation=orientation)
    assert mask.tolist() == reference_mask(weights, rate, group, score, orientation).tolist()


@given(tied_weights, rates, groups, st.sampled_from(ORIENTATIONS), st.integers(0, 3))
def test_a_share_of_weights_is_approached_group_by_group(
    weights, rate, group, orientation, at_least
):
    options = {"orientation": orientation, "unit": "weights", "min_groups_per_row": at_least}
    mask = prune_mask(weights, rate, group, **options)
    assert mask.tolist() == reference_mask(weights, rate, group, "rms", **options).tolist()
    assert np.count_nonzero(~mask) <= Decimal(repr(rate)) * weights.size


@given(tied_weights, rates, groups, st.sampled_from(ORIENTATIONS), st.integers(0, 5))
def test_the_best_groups_of_each_row_stay(weights, rate, group, orientation, at_least):
    options = {"orientation": orientation, "min_groups_per_row": at_least}
    mask = prune_mask(weights, rate, group, **options)
    assert mask.tolist() == reference_mask(weights, rate, group, "rms", **options).tolist()


@given(tied_weights, rates, groups)
def test_the_count_is_exact_and_groups_stay_whole(weights, rate, group):
    rows, cols = weights.shape
    mask = prune_mask(weights, rate, group)
    starts = range(0, cols, group)
    whole = [mask[row, start : start + group] for row in range(rows) for start in starts]
    assert all(part.all() or not part.any() for part in whole)
    removed = sum(not part.any() for part in whole)
    assert removed == math.floor(Decimal(repr(rate)) * len(whole) + Decimal("0.5"))


@given(any_weights, st.lists(rates, min_size=2, max_size=6), groups, st.sampled_from(ORIENTATIONS))
def test_a_higher_rate_keeps_a_subset_and_no_higher_score_goes_first(
    weights, several, group, orientation
):
    several = sorted(several)
    ranking = rank(weights, several, group, orientation=orientation)
    masks = [ranking.mask(rate) for rate in several]
    for lower, higher in pairwise(masks):
        assert not (higher & ~lower).any()
    for rate, mask in zip(several, masks, strict=True):
        assert mask.tolist() == prune_mask(weights, rate, group, orientation=orientation).tolist()
        by_line, lines = (weights, mask) if orientation == "row" else (weights.T, mask.T)
        scores, kept = group_scores(by_line, group), lines[:, ::group]
        assert scores[~kept].max(initial=0) <= scores[kept].min(initial=np.inf)


@given(any_weights, rates, groups, st.sampled_from(SCORES), st.integers(0, 2))
def test_columns_are_the_rows_of_the_transpose(weights, rate, group, score, at_least):
    options = {"score": score, "seed": 3, "min_groups_per_row": at_least}
    by_column = prune_mask(weights, rate, group, orientation="column", **options)
    of_transpose = prune_mask(np.ascontiguousarray(weights.T), rate, group, **options)
    assert by_column.tolist() == of_transpose.T.tolist()


@pytest.mark.parametrize(
    ("rate", "cols", "removed"),
    [(0.7, 45, 32), (0.35, 10, 4), (0.29, 50, 15), (0.145, 100, 15), (0.5, 1, 1), (0.5, 5, 3)],
)
def test_the_count_rounds_the_decimal_half_up(rate, cols, removed):
    assert np.count_nonzero(~prune_mask(normal(1, cols), rate, 1)) == removed
    assert np.count_nonzero(~prune_mask(normal(1, cols), np.float32(rate), 1)) == removed


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_of_equal_groups_the_first_in_reading_order_go(orientation, group):
    expected = np.array([[0, 0, 0, 0], [0, 1, 1, 1], [1, 1, 1, 1]], bool).repeat(group, axis=1)
    weights = np.ones(expected.shape, np.float32)
    if orientation == "column":
        expected, weights = expected.T, weights.T
    mask = prune_mask(weights, 5 / 12, group, orientation=orientation)
    assert mask.tolist() == expected.tolist()


@pytest.mark.parametrize("group", [1, 4])
def test_ties_are_met_across_more_groups_than_are_worked_on_at_a_time(group):
    weights = np.ones((300, 2804), np.float32)
    count = weights.size // group
    kept = np.arange(count).reshape(300, -1) >= math.floor(0.37 * count + 0.5)
    expected = kept.repeat(group, axis=1)
    assert (prune_mask(weights, 0.37, group) == expected).all()
    assert (prune_mask(weights.T, 0.37, group, orientation="column") == expected.T).all()


@pytest.mark.parametrize("score", ["rms", "mean"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_groups_that_float32_cannot_order_go_in_the_right_order(score, orientation):
    generator = np.random.default_rng(0)
    weights = np.tile(generator.random(7, dtype=np.float32), (400, 1))
    nudged = generator.random(weights.shape) < 0.5
    weights[nudged] = np.nextafter(weights[nudged], np.float32(2))
    weights = generator.permuted(weights, axis=1)
    scores = group_scores(weights, 7, score).ravel()
    order = np.argsort(scores, kind="stable")
    in_float32 = np.argsort((weights**2 if score == "rms" else weights).sum(axis=1), kind="stable")
    ranking = rank(weights.reshape(40, 70), SWEEP, 7, score)
    if orientation == "column":
        ranking = rank(weights.reshape(40, 70).T, SWEEP, 7, score, orientation="column")
    for rate in SWEEP:
        mask = ranking.mask(rate) if orientation == "row" else ranking.mask(rate).T
        kept = set(np.flatnonzero(mask[:, ::7]))
        assert kept == {*order[round(rate * 400) :]}
        assert kept != {*in_float32[round(rate * 400) :]}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("group", [1, 2, 3, 4, 5, 8, 16, 24, 700])
def test_large_matrices_agree_with_a_stable_sort(dtype, orientation, group):
    weights = normal(331, 607, dtype)
    lines = weights if orientation == "row" else weights.T
    scores = group_scores(lines, group)
    order = np.argsort(scores, axis=None, kind="stable")
    kept = np.ones(scores.size, bool)
    kept[order[: math.floor(0.9 * scores.size + 0.5)]] = False
    expected = kept.reshape(scores.shape).repeat(group, axis=1)[:, : lines.shape[1]]
    mask = prune_mask(weights, 0.9, group, orientation=orientation)
    assert (mask == (expected if orientation == "row" else expected.T)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("group", [1, 2, 5])
def test_a_pruned_copy_has_the_dtype_and_the_kept_weights(dtype, group):
    weights = normal(8, 10, dtype)
    before = weights.copy()
    pruned = prune(weights, 0.5, group)
    mask = prune_mask(weights, 0.5, group)
    assert pruned.dtype == weights.dtype
    assert (weights == before).all()
    assert (pruned == np.where(mask, weights, dtype(0))).all()
    assert not np.signbit(pruned[~mask].astype(np.float32)).any()


@pytest.mark.parametrize("view", ["fortran", "strided", "reversed", "big endian", "list"])
def test_the_layout_of_the_weights_makes_no_difference(view):
    weights = normal(12, 30)
    same = {
        "fortran": np.asfortranarray(weights),
        "strided": weights.repeat(2, axis=0).repeat(3, axis=1)[::2, ::3],
        "reversed": np.ascontiguousarray(weights[::-1, ::-1])[::-1, ::-1],
        "big endian": weights.astype(">f4"),
        "list": weights.astype(np.float64).tolist(),
    }[view]
    for orientation in ORIENTATIONS:
        for group in (1, 4):
            expected = prune_mask(weights, 0.7, group, orientation=orientation)
            assert (prune_mask(same, 0.7, group, orientation=orientation) == expected).all()
            assert prune(same, 0.7, group).dtype == np.asarray(same).dtype


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("score", ["rms", "mean", "median"])
@pytest.mark.parametrize("group", [1, 3, 4])
@pytest.mark.parametrize(
    ("dtype", "scale"),
    [
        (np.float16, 300),
        (np.float16, 3e4),
        (np.float16, 1e-4),
        (ml_dtypes.bfloat16, 1e38),
        (ml_dtypes.bfloat16, 1e-35),
        (np.float32, 1e38),
        (np.float32, 1e-22),
        (np.float32, 1e-38),
        (np.float64, 1e200),
        (np.float64, 1e-160),
        (np.float64, 1e-200),
        (np.float64, 1e307),
        (np.float64, 1e-307),
    ],
)
def test_extreme_weights_rank_as_ordinary_ones(dtype, scale, group, score, orientation):
    # Of eight bits, so that the scaled weights keep the order of the scores in any of the types.
    ordinary = np.random.default_rng(1).integers(1, 256, (24, 24)).astype(dtype) / dtype(256)
    power = dtype(2.0 ** math.floor(math.log2(scale)))
    extreme = ordinary * power
    assert (extreme / power == ordinary).all()
    rates = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    levels = rank(extreme, rates, group, score, orientation=orientation).levels
    expected = rank(ordinary, rates, group, score, orientation=orientation).levels
    assert levels.tolist() == expected.tolist()


def test_tiny_and_huge_groups_rank_beside_each_other():
    weights = np.array(
        [[3e-200, 4e-200], [4e200, 3e200], [2e-200, 2e-200], [0, 0], [1e200, 1e200]]
    )
    assert group_scores(weights, 2).ravel() == pytest.approx(
        [math.sqrt(12.5) * 1e-200, math.sqrt(12.5) * 1e200, 2e-200, 0, 1e200], rel=1e-15, abs=0
    )
    assert prune_mask(weights, 0.4, 2)[:, 0].tolist() == [True, True, False, False, True]
    assert prune_mask(weights, 0.8, 2)[:, 0].tolist() == [False, True, False, False, False]


@pytest.mark.parametrize("score", ["rms", "mean", "median"])
@pytest.mark.parametrize("value", [np.finfo(np.float64).max, 5e-324])
def test_a_score_is_never_past_the_largest_weight(score, value):
    assert group_scores(np.full((1, 7), value), 7, score).tolist() == [[value]]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("group", [1, 3, 50])
def test_rate_0_keeps_all_and_rate_1_removes_all(orientation, score, group):
    weights = normal(6, 7)
    assert prune_mask(weights, 0, group, score, orientation=orientation).all()
    assert not prune_mask(weights, 1, group, score, orientation=orientation).any()
    assert prune_mask(weights, 0, group, score, unit="weights").all()
    assert not prune_mask(weights, 1, group, score, unit="weights").any()


def test_a_group_larger_than_the_row_is_the_row():
    weights = normal(10, 6)
    for orientation, length in (("row", 6), ("column", 10)):
        larger = prune_mask(weights, 0.5, 99, orientation=orientation)
        assert (larger == prune_mask(weights, 0.5, length, orientation=orientation)).all()
    assert np.count_nonzero(prune_mask(weights, 0.5, 99).any(axis=1)) == 5


def test_an_exact_zero_in_a_kept_group_stays_kept():
    weights = np.array([[0.0, 9.0, 1.0, 1.0]])
    assert prune_mask(weights, 0.5, 2).tolist() == [[True, True, False, False]]


def test_random_depends_on_the_seed_and_not_on_the_weights():
    seven = prune_mask(normal(20, 30), 0.5, 2, "random", seed=7)
    assert (seven == prune_mask(normal(20, 30, seed=1), 0.5, 2, "random", seed=7)).all()
    assert (seven != prune_mask(normal(20, 30), 0.5, 2, "random", seed=8)).any()
    scores = group_scores(normal(20, 30), 4, "random", seed=7)
    drawn = np.random.default_rng(7).random((20, 8), dtype=np.float32)
    assert scores.tolist() == drawn.tolist()


def test_where_the_best_groups_leave_too_few_all_the_others_go():
    weights = np.array([[1.0, 2.0, 3.0], [9.0, 8.0, 7.0]])
    mask = prune_mask(weights, 0.9, 1, min_groups_per_row=1)
    assert mask.tolist() == [[False, False, True], [True, False, False]]
    assert prune_mask(weights, 1, 1, min_groups_per_row=7).all()


@pytest.mark.parametrize("group", [1, 3, 8])
def test_one_ranking_gives_the_masks_of_many_rates_in_one_buffer(group):
    weights = normal(40, 50)
    thousandths = [n / 1000 for n in range(0, 1001, 3)]  # more than a byte can count
    for several in (SWEEP, thousandths, reversed(SWEEP), [0.9, 0.9]):
        several = [*several]
        ranking = rank(weights, several, group)
        assert ranking.rates == tuple(sorted(set(several)))
        buffer = np.empty((40, 50), bool)
        for rate in several:
            assert ranking.mask(rate, out=buffer) is buffer
            assert (buffer == prune_mask(weights, rate, group)).all()


def test_a_ranking_answers_only_for_its_rates_and_a_fitting_buffer():
    ranking = rank(normal(4, 6), [0.5, 0.9], 2)
    with pytest.raises(GpupruneError, match=r"^rate 0\.8 was not ranked$") as error:
        ranking.mask(0.8)
    assert error.value.hint == "give it to rank() with the others: 0.5, 0.9"
    for buffer in (np.empty((6, 4), bool), np.empty((4, 6)), np.empty((6, 4), bool).T):
        with pytest.raises(GpupruneError, match="does not fit"):
            ranking.mask(0.5, out=buffer)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_weights_that_are_not_finite_are_counted_and_placed(score, orientation):
    weights = normal(5, 9)
    weights[2, 7] = np.nan
    weights[3, 1] = -np.inf
    with pytest.raises(GpupruneError) as error:
        prune_mask(weights, 0.5, 4, score, orientation=orientation)
    assert str(error.value) == ("2 of the weights are NaN or infinite, the first at [2, 7] (nan)")
    assert error.value.hint


def test_a_single_infinity_beyond_the_first_block_is_placed():
    weights = np.zeros((700, 300), np.float16)
    weights[650, 299] = np.inf
    with pytest.raises(GpupruneError, match=r"^1 of the weights is .* at \[650, 299\] \(inf\)$"):
        prune_mask(weights, 0.5, 1)


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        (np.ones(4), {}, "the weights have 1 dimensions (shape (4,)), not 2"),
        (np.ones((2, 2, 2)), {}, "the weights have 3 dimensions (shape (2, 2, 2)), not 2"),
        (np.ones((0, 4)), {}, "the weights are empty (shape (0, 4))"),
        (np.ones((4, 0)), {}, "the weights are empty (shape (4, 0))"),
        (np.ones((2, 2), int), {}, "weights of type int64 cannot be pruned"),
        (np.ones((2, 2), complex), {}, "weights of type complex128 cannot be pruned"),
        (np.ones((2, 2), object), {}, "weights of type object cannot be pruned"),
        (np.ones((2, 2)), {"rate": 1.2}, "rate 1.2 is not between 0 and 1"),
        (np.ones((2, 2)), {"rate": -0.1}, "rate -0.1 is not between 0 and 1"),
        (np.ones((2, 2)), {"rate": float("nan")}, "rate nan is not between 0 and 1"),
        (np.ones((2, 2)), {"rate": float("inf")}, "rate inf is not between 0 and 1"),
        (np.ones((2, 2)), {"rate": None}, "rate None is not between 0 and 1"),
        (np.ones((2, 2)), {"group": 0}, "group 0 is below 1"),
        (np.ones((2, 2)), {"group": -1}, "group -1 is below 1"),
        (np.ones((2, 2)), {"group": 2.0}, "group 2.0 is not an integer"),
        (np.ones((2, 2)), {"group": "a"}, "group 'a' is not an integer"),
        (np.ones((2, 2)), {"group": True}, "group True is not an integer"),
        (np.ones((2, 2)), {"score": "max"}, "unknown score 'max'"),
        (np.ones((2, 2)), {"seed": -1}, "seed -1 is below 0"),
        (np.ones((2, 2)), {"orientation": "rows"}, "unknown orientation 'rows'"),
        (np.ones((2, 2)), {"unit": "bytes"}, "unknown unit 'bytes'"),
        (np.ones((2, 2)), {"min_groups_per_row": -1}, "min_groups_per_row -1 is below 0"),
    ],
)
def test_bad_input_is_named_and_comes_with_a_hint(weights, options, message):
    with pytest.raises(GpupruneError) as error:
        prune(weights, **{"rate": 0.5, "group": 1, **options})
    assert str(error.value) == message
    assert error.value.hint


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_extra_memory_is_at_most_four_times_the_matrix(dtype, score, orientation):
    weights = normal(1024, 1024, dtype)
    rank(weights, [0.9], 8, score)  # what is allocated once is no part of it
    options = {"score": score, "orientation": orientation}
    for group, more in (
        (1, {}),
        (2, {}),
        (3, {"unit": "weights"}),
        (2, {"min_groups_per_row": 1}),
        (1024, {}),
    ):
        tracemalloc.start()
        ranking = rank(weights, SWEEP, group, **options, **more)
        ranking.mask(0.9)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= 4 * weights.nbytes, (group, more, peak / weights.nbytes)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_ties_without_end_take_no_more_memory(dtype, orientation):
    weights = np.ones((1024, 1024), dtype)
    tracemalloc.start()
    rank(weights, SWEEP, 2, orientation=orientation).mask(0.9)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 4 * weights.nbytes


@pytest.mark.parametrize("group", [1, 2, 3, 8, 16, 64])
@pytest.mark.parametrize("rate", [0.5, 0.8, 0.9, 0.98])
@pytest.mark.peer
def test_masks_are_those_of_torchs_pruner_in_float32(group, rate):
    torch = pytest.importorskip("torch")
    weights = normal(128, 192)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao says that it will move
        from torch.ao.pruning import WeightNormSparsifier

        layer = torch.nn.Linear(192, 128, bias=False)
        layer.weight.data = torch.from_numpy(weights.copy())
        pruner = WeightNormSparsifier(rate, sparse_block_shape=(1, group), norm=2)
        pruner.prepare(torch.nn.Sequential(layer), [{"tensor_fqn": "0.weight"}])
        pruner.step()
        expected = layer.parametrizations["weight"][0].mask.numpy() != 0
    assert (prune_mask(weights, rate, group) == expected).all()


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [("f8", 1e200), ("f8", 1e-200), ("f4", 1e-30), ("f2", 300), ("f2", 1e-4), ("bfloat16", 1.0)],
)
def test_the_energy_kept_is_right_at_any_scale(dtype, scale):
    weights = (normal(300, 700, np.float64) * scale).astype(np.dtype(dtype))
    pruned = prune(weights, 0.9, 7)
    exact = [math.fsum((array.astype("f8") / scale).ravel() ** 2) for array in (pruned, weights)]
    assert energy_kept(weights, pruned) == pytest.approx(exact[0] / exact[1], rel=1e-12)


def test_zeros_lose_no_energy():
    zeros = np.zeros((2, 3), np.float32)
    assert energy_kept(zeros, zeros) == 1.0


def test_importing_brings_no_other_library_than_numpy():
    unwanted = ["scipy", "numba", "cupy", "torch", "ml_dtypes", "click"]
    code = f"import sys, gpuprune.pruning; print([m for m in {unwanted} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
