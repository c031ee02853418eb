from dataclasses import replace

import pytest

from gpuprune import contenders
from gpuprune.problem import PREPARING
from gpuprune.records import Case
from gpuprune.roofline import Phase, Work, predict, roofline
from tests.conftest import problem_of
from tests.test_records import CALIBRATION as OLD

CALIBRATION = replace(OLD, core_cache_bytes_per_s=2e11, core_cache_bytes=10**5, start_s=1e-6)

CASE = Case(rows=1000, cols=1000, batch=10, rate=0.9, group=1)


def test_a_sparse_product_is_bound_by_the_bytes_it_cannot_avoid():
    line = roofline(CASE, 100_000, CALIBRATION, cache="cold")
    assert line.seconds == pytest.approx((100_000 + 2 * 10_000) * 4 / 1e10)
    assert line.bound == "memory"


def test_a_wide_batch_is_bound_by_arithmetic():
    line = roofline(replace(CASE, batch=1000), 10**6, CALIBRATION, cache="cold")
    assert line.seconds == pytest.approx(2 * 10**6 * 1000 / 1e11)
    assert line.bound == "arithmetic"


def test_warm_operands_that_fit_move_at_the_rate_of_the_cache():
    line = roofline(CASE, 10_000, CALIBRATION, cache="warm")
    assert line.seconds == pytest.approx((10_000 + 2 * 10_000) * 4 / 4e10)
    assert line.bound == "cache"
    too_large = roofline(replace(CASE, batch=1), 10**6, CALIBRATION, cache="warm")
    assert too_large.bound == "memory"


def test_without_a_measured_rate_there_is_no_bound():
    assert roofline(replace(CASE, dtype="float64"), 1, CALIBRATION, cache="cold") is None


def predicted(*phases, cache="cold", calibration=CALIBRATION, **others):
    work = Work(phases=phases, **others)
    found = predict(work, calibration, cache=cache, precision="float32")
    return found.seconds, found.bound


def test_a_cold_call_takes_the_place_of_an_empty_one_where_caches_are_cold():
    cold = replace(CALIBRATION, cold_call_s=4e-5)
    phase = Phase(moved=1e5)
    assert predicted(phase, calibration=cold) == (pytest.approx(1e-5 + 4e-5), "start")
    warm_s = 1e5 / 2e11 + 1e-7
    assert predicted(phase, calibration=cold, cache="warm")[0] == pytest.approx(warm_s)


@pytest.mark.parametrize(
    ("phase", "seconds", "bound"),
    [
        (Phase(moved=1e6), 1e6 / 1e10, "memory"),
        (Phase(moved=1e6, flops=1e8), 1e8 / 1e11, "arithmetic"),
        (Phase(moved=1e6, gathered=1e8, gathered_from=1e5), 1e8 / 2e11, "core cache"),
        (Phase(moved=1e6, gathered=1e8, gathered_from=1e6), 1e8 / 4e10, "cache"),
        (Phase(moved=1e6, gathered=1e8, gathered_from=1e7), 1.01e8 / 1e10, "memory"),
        (Phase(moved=1e6, gathered=1e8, gathered_from=1, kept=1e8), 2e8 / 2e11, "core cache"),
    ],
)
def test_what_takes_a_phase_longest_is_its_time_and_binds_it(phase, seconds, bound):
    assert predicted(phase) == (pytest.approx(seconds + 1e-7), bound)


def test_phases_follow_each_other_and_the_longer_one_names_what_binds():
    packing, multiplying = Phase(moved=1e6), Phase(moved=0, flops=5e7)
    assert predicted(packing, multiplying) == (pytest.approx(1e-4 + 5e-4 + 1e-7), "arithmetic")
    assert predicted(packing, packing, packing, packing, packing, packing, multiplying)[1] == (
        "memory"
    )


def test_a_short_product_is_bound_by_its_starts():
    assert predicted(Phase(moved=100), starts=2) == (pytest.approx(2.1e-6 + 1e-8), "start")
    assert predicted(Phase(moved=0)) == (1e-7, "start")


def test_one_core_of_two_and_half_a_vector_have_a_share_of_the_rates():
    phase = Phase(moved=0, flops=1e8)
    assert predicted(phase, cores=0.5)[0] == pytest.approx(2e-3, rel=1e-3)
    assert predicted(phase, cores=0.5, lanes=0.5)[0] == pytest.approx(4e-3, rel=1e-3)
    kept = Phase(moved=0, kept=1e8)
    assert predicted(kept, cores=0.5)[0] == pytest.approx(1e-3, rel=1e-3)


def test_warm_operands_move_at_the_rate_of_the_cache_that_holds_them_all():
    whole, half = Phase(moved=1e5), Phase(moved=5e4)
    assert predicted(whole, cache="warm")[0] == pytest.approx(1e5 / 2e11 + 1e-7)
    assert predicted(half, half, cache="warm")[0] == pytest.approx(1e5 / 2e11 + 1e-7)
    assert predicted(whole, half, cache="warm")[0] == pytest.approx(1.5e5 / 4e10 + 1e-7)


def test_without_the_rates_of_a_newer_run_nothing_is_predicted():
    work = Work(phases=(Phase(moved=1e6),))
    assert predict(work, OLD, cache="cold", precision="float32") is None
    assert predict(work, CALIBRATION, cache="cold", precision="float64") is None


@pytest.mark.parametrize(
    "state",
    [
        lambda: Phase(moved=-1),
        lambda: Phase(moved=1, flops=-1),
        lambda: Phase(moved=1, kept=float("nan")),
        lambda: Work(phases=(), cores=0),
        lambda: Work(phases=(), cores=1.5),
        lambda: Work(phases=(), lanes=float("nan")),
    ],
)
def test_work_that_cannot_be_is_refused_where_it_is_stated(state):
    with pytest.raises(ValueError, match=r"less than nothing|no such share"):
        state()


LAYER = {"rows": 256, "cols": 192, "batch": 50}
RATES = (1.0, 0.9, 0.5, 0.0)


def estimates(backend, name, **changes):
    """Return predictions and rooflines in seconds of a contender on a small layer, by variant."""
    problem = problem_of(backend, **LAYER | changes)
    problem.renew(PREPARING)
    try:
        variants = contenders.load(name)(problem, backend)
    except contenders.NotApplicable:
        return {}
    return {
        (one.variant, cache): (
            predict(one.work, CALIBRATION, cache=cache, precision="float32").seconds,
            roofline(
                problem.case, one.multiplied or problem.nnz, CALIBRATION, cache=cache
            ).seconds,
        )
        for one in variants
        for cache in ("cold", "warm")
    }


@pytest.mark.parametrize("orientation", ["row", "column"])
@pytest.mark.parametrize("group", [1, 3, 8])
@pytest.mark.parametrize("name", contenders.names())
def test_no_contender_is_predicted_below_the_roofline_or_faster_with_more_weights(
    cpu, name, group, orientation
):
    before = {}
    for rate in RATES:
        found = estimates(cpu, name, rate=rate, group=group, orientation=orientation)
        for key, (seconds, least) in found.items():
            assert seconds >= least, (key, rate)
            assert seconds >= before.get(key, 0.0), (key, rate)
            before[key] = seconds
