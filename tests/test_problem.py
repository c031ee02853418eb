from dataclasses import replace

import numpy as np
import pytest

from gpuprune import pruning
from gpuprune.errors import GpupruneError
from gpuprune.problem import AFTER, BEFORE, PREPARING, load_weights, make_trials
from gpuprune.records import Case
from gpuprune.verification import TOLERANCE
from tests.conftest import problem_of

CASE = Case(rows=24, cols=40, batch=5, rate=0.8, group=4)


def product(problem):
    return problem.weights @ problem.activations


def test_weights_are_pruned_by_the_projects_own_pruner(fake):
    problem = problem_of(fake, score="mean", orientation="column", seed=3)
    unpruned = load_weights(problem.case)
    mask = pruning.prune_mask(unpruned, 0.8, 4, score="mean", orientation="column")
    np.testing.assert_array_equal(problem.mask, mask)
    np.testing.assert_array_equal(problem.weights, unpruned * mask)
    assert problem.nnz == mask.sum()
    assert problem.achieved_rate == pytest.approx(0.8, abs=0.01)


def test_a_seed_gives_the_same_arrays_again_and_another_seed_others(fake):
    first, again = problem_of(fake), problem_of(fake)
    other = problem_of(fake, seed=1)
    np.testing.assert_array_equal(first.weights, again.weights)
    np.testing.assert_array_equal(first.activations, again.activations)
    assert not np.array_equal(first.activations, other.activations)
    assert first.pattern == again.pattern
    assert first.pattern != other.pattern  # though as many weights are kept
    assert first.nnz == other.nnz


def test_every_draw_of_activations_differs_and_both_orders_hold_it(fake):
    problem = problem_of(fake)
    seen = []
    for draw in (PREPARING, BEFORE, AFTER):
        problem.renew(draw)
        np.testing.assert_array_equal(problem.activations, problem.activations_fortran)
        seen.append(problem.activations.copy())
    assert problem.activations.flags.c_contiguous
    assert problem.activations_fortran.flags.f_contiguous
    assert not np.array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[1], seen[2])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("draw", [BEFORE, AFTER])
def test_a_right_product_has_next_to_no_error(fake, dtype, draw):
    problem = problem_of(fake, rows=600, cols=300, dtype=dtype)
    problem.renew(draw)
    error = problem.error(product(problem), draw)
    assert error < {"float32": 1e-7, "float64": 1e-15}[dtype]


def test_the_error_is_that_of_the_definition(fake):
    problem = problem_of(fake)
    problem.renew(BEFORE)
    wrong = product(problem)
    row = int(np.flatnonzero(problem.mask.any(axis=1))[0])
    wrong[row, 2] += 0.25
    norms = [
        np.linalg.norm(problem.weights[row].astype(float)),
        np.linalg.norm(problem.activations[:, 2].astype(float)),
    ]
    assert problem.error(wrong, BEFORE) == pytest.approx(0.25 / (norms[0] * norms[1]), rel=1e-3)


def test_one_dropped_weight_is_an_error_of_a_thousandth(fake):
    problem = problem_of(fake, rows=512, cols=512, batch=50, group=1)
    problem.renew(BEFORE)
    lacking = problem.weights.copy()
    kept = np.argwhere(problem.mask)
    lacking[tuple(kept[len(kept) // 2])] = 0
    assert 1e-4 < problem.error(lacking @ problem.activations, BEFORE) < 1


TINY = [(1, 1), (1, 2), (2, 3), (7, 5)]


def stored(problem):
    """A right product: summed in float32, and rounded once."""
    sums = problem.weights.astype(np.float32) @ problem.activations.astype(np.float32)
    return sums.astype(problem.weights.dtype)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(("rows", "cols"), TINY)
def test_storing_a_right_product_in_16_bits_is_no_error_however_small_the_layer(
    fake, rows, cols, dtype
):
    for seed in range(20):
        problem = problem_of(fake, rows=rows, cols=cols, rate=0.0, dtype=dtype, seed=seed)
        problem.renew(BEFORE)
        assert problem.error(stored(problem), BEFORE) < 1e-6


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(("rows", "cols"), TINY)
def test_a_weight_dropped_in_16_bits_is_found_however_small_the_layer(fake, rows, cols, dtype):
    for seed in range(20):
        problem = problem_of(fake, rows=rows, cols=cols, rate=0.0, dtype=dtype, seed=seed)
        problem.renew(BEFORE)
        largest = np.unravel_index(np.abs(problem.weights).argmax(), problem.weights.shape)
        problem.weights[largest] = 0
        assert problem.error(stored(problem), BEFORE) > TOLERANCE[dtype]


def test_both_neighbours_of_a_right_product_are_not_right_in_bfloat16(fake):
    problem = problem_of(fake, rows=1, cols=1, batch=1, rate=0.0, dtype="bfloat16")
    problem.renew(BEFORE)
    right = stored(problem)
    spacing = np.spacing(np.abs(right))
    errors = [problem.error(right + step, BEFORE) for step in (-spacing, 0 * spacing, spacing)]
    assert errors[1] == 0
    assert max(errors) > TOLERANCE["bfloat16"]


def test_only_the_dtype_of_the_case_may_be_rounded_to(fake):
    """Half the bits of float32 are wrong, however the product is stored."""
    problem = problem_of(fake)
    problem.renew(BEFORE)
    assert problem.error(product(problem).astype(np.float16), BEFORE) > 10 * TOLERANCE["float32"]


def test_a_product_where_there_should_be_nothing_is_infinitely_wrong(fake):
    problem = problem_of(fake, rate=1.0)
    nothing = np.zeros((24, 5), np.float32)
    assert problem.error(nothing, BEFORE) == 0.0
    nothing[3, 3] = 1e-30
    assert problem.error(nothing, BEFORE) == np.inf


def test_a_product_with_nan_or_infinity_is_never_right(fake):
    problem = problem_of(fake)
    problem.renew(BEFORE)
    for value in (np.nan, np.inf):
        wrong = product(problem)
        wrong[0, 0] = value
        assert not problem.error(wrong, BEFORE) <= 1e300


def test_float64_weights_near_their_limit_still_have_an_error(fake, tmp_path):
    path = tmp_path / "large.npy"
    np.save(path, np.random.default_rng(0).standard_normal((24, 40)) * 1e200)
    problem = problem_of(fake, weights=str(path), dtype="float64")
    problem.renew(BEFORE)
    assert problem.error(product(problem), BEFORE) < 1e-15
    assert problem.error(product(problem) * 1.01, BEFORE) > 1e-4


def test_changed_weights_and_masks_are_noticed_and_restored(fake):
    problem = problem_of(fake, rows=7, cols=9)
    weights, mask = problem.weights.copy(), problem.mask.copy()
    assert problem.restore() is False
    problem.weights[6, 8] += 1
    assert problem.restore() is True
    problem.mask[0, 0] ^= True
    assert problem.restore() is True
    assert problem.restore() is False
    np.testing.assert_array_equal(problem.weights, weights)
    np.testing.assert_array_equal(problem.mask, mask)


def test_a_sweep_makes_the_same_arrays_as_case_by_case(fake):
    cases = [
        replace(CASE, group=group, rate=rate, rows=rows)
        for rows in (24, 16)
        for group in (1, 4)
        for rate in (0.5, 0.9)
    ]
    together = [(p.weights.copy(), p.mask.copy()) for p in make_trials(cases, fake)]
    for case, (weights, mask) in zip(cases, together, strict=True):
        (alone,) = make_trials([case], fake)
        np.testing.assert_array_equal(alone.weights, weights)
        np.testing.assert_array_equal(alone.mask, mask)


def test_zeros_of_a_file_are_the_mask_as_it_is(fake, tmp_path):
    path = tmp_path / "pruned.npy"
    values = np.arange(24 * 40, dtype=np.float32).reshape(24, 40) % 3
    np.save(path, values)
    problem = problem_of(fake, weights=str(path), as_is=True)
    np.testing.assert_array_equal(problem.mask, values != 0)
    np.testing.assert_array_equal(problem.weights, values)


def test_values_beyond_the_dtype_are_refused(fake, tmp_path):
    path = tmp_path / "large.npy"
    np.save(path, np.full((24, 40), 1e200))
    with pytest.raises(GpupruneError, match="beyond the range of float32") as error:
        problem_of(fake, weights=str(path))
    assert error.value.hint == "take --dtype float64, as the file has it"


@pytest.mark.parametrize(
    ("value", "dtype", "reason"),
    [
        (3e38, "float32", "gives products near float32's largest number, 3.4e+38"),
        (1e308, "float64", "gives products near float64's largest number, 1.8e+308"),
        (3000.0, "float16", "gives products near float16's largest number, 6.6e+04"),
        (1e-44, "float32", "gives products near float32's smallest numbers, where no error"),
        (5e-324, "float64", "gives products near float64's smallest numbers, where no error"),
        (1e36, "float32", None),
        (1e-30, "float32", None),
        (1e-3, "float16", None),
        (0.0, "float32", None),
    ],
)
def test_weights_whose_products_the_dtype_cannot_hold_are_told(
    fake, tmp_path, value, dtype, reason
):
    path = tmp_path / "w.npy"
    np.save(path, np.full((24, 40), value, dtype))
    problem = problem_of(fake, weights=str(path), dtype=dtype, as_is=True)
    if reason is None:
        assert problem.out_of_range is None
    else:
        assert problem.out_of_range.startswith(f"{path} {reason}")


def test_a_row_of_the_smallest_numbers_does_not_make_a_product_wrong(fake, tmp_path):
    path = tmp_path / "w.npy"
    weights = np.random.default_rng(0).standard_normal((24, 40)).astype(np.float32)
    weights[3] *= np.float32(1e-43)
    np.save(path, weights)
    problem = problem_of(fake, weights=str(path), as_is=True)
    problem.renew(BEFORE)
    right = product(problem)
    assert problem.out_of_range is None
    assert problem.error(right, BEFORE) < 1e-7
    right[4] *= 1.01
    assert problem.error(right, BEFORE) > 1e-4
