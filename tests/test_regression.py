import math
from dataclasses import replace

import numpy as np
import pytest

from gpuprune.records import Case
from gpuprune.regression.arm import Arm
from gpuprune.regression.estimate import estimate, medians_of_others
from gpuprune.regression.rule import Terms, floor_of, judge
from tests.simulated_jobs import CELLS, Runner, Simulation

GPU = Terms(floor=floor_of("cuda"))
RATES, GROUPS = (0.8, 0.85, 0.9, 0.95), (1, 8)


def case(rate=0.9, group=8):
    return Case(rows=1024, cols=1024, batch=32, rate=rate, group=group)


def arm(runs=5, seed=0, noise=0.002, slower=lambda cell: 0.0, contenders=("dense", "csr")):
    """Times near 1 ms (dense) and 0.5 ms, with a little noise between runs."""
    random = np.random.default_rng(seed)
    times = {}
    for name in contenders:
        for rate in RATES:
            for group in GROUPS:
                cell = (case(rate, group), name)
                typical = (1e-3 if name == "dense" else 5e-4) * (1 + slower(cell))
                times[cell] = tuple(typical * np.exp(random.normal(0, noise, runs)))
    return Arm(runs=runs, times=times, faults={}, wrong=frozenset(), patterns={})


def verdict_on(verdicts, contender, rate=None, group=None):
    cells = {
        (one.contender, one.case and one.case.rate, one.case and one.case.group): one
        for one in verdicts
    }
    return cells[contender, rate, group]


def words(verdicts):
    return {one.verdict for one in verdicts}


def test_what_did_not_change_is_the_same():
    verdicts = judge(arm(seed=1), arm(seed=2), GPU)
    assert [one.level for one in verdicts[:2]] == ["device", "contender"]
    assert len(verdicts) == 2 + 2 * len(RATES) * len(GROUPS)
    assert words(verdicts) == {"SAME"}
    assert all(abs(one.low) < 0.03 and abs(one.high) < 0.03 for one in verdicts)


def test_a_slower_cell_is_found_and_nothing_else_is():
    slow = (case(0.9, 8), "csr")
    verdicts = judge(arm(seed=1), arm(seed=2, slower=lambda cell: 0.1 * (cell == slow)), GPU)
    found = verdict_on(verdicts, "csr", 0.9, 8)
    assert found.verdict == "SLOW"
    assert found.change == pytest.approx(0.1, abs=0.01)
    assert 0.08 < found.low < found.change < found.high < 0.12
    assert [one for one in verdicts if one.verdict != "SAME"] == [found]


def test_a_contender_that_is_slower_everywhere_is_found_as_one():
    verdicts = judge(arm(seed=1), arm(seed=2, slower=lambda cell: 0.1 * (cell[1] == "csr")), GPU)
    found = verdict_on(verdicts, "csr")
    assert (found.level, found.verdict) == ("contender", "SLOW")
    assert found.change == pytest.approx(0.1, abs=0.01)
    assert [one for one in verdicts if one.verdict != "SAME"] == [found]


@pytest.mark.parametrize("share", [-0.2, 0.25])
def test_a_device_in_another_mood_is_no_regression_and_is_reported(share):
    verdicts = judge(arm(seed=1), arm(seed=2, slower=lambda cell: share), GPU)
    assert words(verdicts) == {"SAME", "UNSURE"}
    (device,) = (one for one in verdicts if one.verdict == "UNSURE")
    assert device.level == "device"
    assert device.change == pytest.approx(share, abs=0.01)
    assert "--base" in device.reason


def test_in_turns_a_slower_dense_product_fails():
    verdicts = judge(arm(seed=1), arm(seed=2, slower=lambda c: 0.1), replace(GPU, paired=True))
    assert (verdicts[0].level, verdicts[0].verdict) == ("device", "SLOW")


def test_faster_mirrors_slower():
    fast = (case(0.9, 8), "csr")
    verdicts = judge(arm(seed=1), arm(seed=2, slower=lambda cell: -0.1 * (cell == fast)), GPU)
    found = verdict_on(verdicts, "csr", 0.9, 8)
    assert found.verdict == "FAST"
    assert found.high < 0
    assert not any(one.fails for one in verdicts)


def test_a_change_below_the_floor_does_not_count_however_sure():
    verdicts = judge(
        arm(seed=1, noise=1e-4),
        arm(seed=2, noise=1e-4, slower=lambda cell: 0.02 * (cell[1] == "csr")),
        GPU,
    )
    assert verdict_on(verdicts, "csr").verdict == "SAME"
    assert verdict_on(verdicts, "csr").low > 0


def test_what_noise_hides_is_unsure_and_says_how_many_runs_would_settle_it():
    slow = (case(0.9, 8), "csr")
    noisy = {"noise": 0.02}
    candidate = arm(runs=3, seed=2, slower=lambda cell: 0.06 * (cell == slow), **noisy)
    found = verdict_on(judge(arm(seed=1, **noisy), candidate, GPU), "csr", 0.9, 8)
    assert found.verdict == "UNSURE"
    assert f"further runs that would settle it: {found.more_runs}" in found.reason
    assert found.more_runs >= 1


def test_a_microsecond_more_does_not_count():
    tiny = (case(0.9, 8), "csr")

    def short(seed, slower):
        made = arm(seed=seed, noise=0.002)
        times = {cell: tuple(s / 100 * (1 + slower * (cell == tiny)) for s in seconds)
                 for cell, seconds in made.times.items()}  # fmt: skip
        return replace(made, times=times)

    found = verdict_on(judge(short(1, 0), short(2, 0.2), GPU), "csr", 0.9, 8)
    assert found.verdict == "SAME"  # 1 µs of 5
    assert found.change == pytest.approx(0.2, abs=0.02)
    found = verdict_on(judge(short(1, 0), short(2, 0.6), GPU), "csr", 0.9, 8)
    assert found.verdict == "SLOW"  # 3 µs


@pytest.mark.parametrize(("base_runs", "candidate_runs"), [(5, 1), (1, 5), (1, 1)])
@pytest.mark.parametrize("share", [0.0, 5.0])
def test_one_run_is_never_the_same_and_never_slow(base_runs, candidate_runs, share):
    verdicts = judge(
        arm(base_runs), arm(candidate_runs, slower=lambda cell: share * (cell[1] == "csr")), GPU
    )
    assert words(verdicts) == {"UNSURE"}


def test_a_decision_that_flipped_is_told():
    loses = (case(0.9, 8), "csr")
    verdicts = judge(arm(seed=1), arm(seed=2, slower=lambda cell: 1.5 * (cell == loses)), GPU)
    found = verdict_on(verdicts, "csr", 0.9, 8)
    assert found.flipped
    assert found.reason.startswith("no longer beats dense; slower by at least")
    assert [one for one in verdicts if one.flipped] == [found]


def test_without_dense_no_decision_flips():
    verdicts = judge(arm(contenders=("csr",)), arm(seed=1, contenders=("csr",)), GPU)
    assert [one.level for one in verdicts] == ["cell"] * len(RATES) * len(GROUPS)
    assert not any(one.flipped for one in verdicts)


def test_an_unsure_change_above_the_threshold_tells_the_bound_that_decides():
    slow = (case(0.9, 8), "csr")
    candidate = arm(runs=3, seed=2, noise=0.02, slower=lambda cell: 0.06 * (cell == slow))
    found = verdict_on(judge(arm(seed=1, noise=0.02), candidate, GPU), "csr", 0.9, 8)
    assert found.change > found.threshold
    assert found.reason.startswith(
        "slower relative to its contender's other cells, but perhaps by chance: the 99 % bound "
        "for 8 together is -"
    )


def test_one_run_in_the_baseline_is_not_settled_by_runs_of_the_candidate():
    found = judge(arm(runs=1), arm(runs=5), GPU)
    assert {one.more_runs for one in found} == {None}


def test_cells_on_one_side_only_are_missing_or_new():
    both = arm()
    fewer = replace(both, times={c: s for c, s in both.times.items() if c[0].rate < 0.95})
    gone = judge(both, fewer, GPU)
    assert {one.verdict for one in gone if one.case and one.case.rate == 0.95} == {"MISSING"}
    assert all(one.fails for one in gone if one.case and one.case.rate == 0.95)
    new = judge(fewer, both, GPU)
    assert {one.verdict for one in new if one.case and one.case.rate == 0.95} == {"NEW"}
    assert not any(one.fails for one in new)


def test_a_contender_that_became_wrong_fails_whatever_its_time():
    cell = (case(0.9, 8), "csr")
    candidate = replace(
        arm(seed=2), wrong=frozenset([cell]), faults={cell: "wrong: its error is 1e-03"}
    )
    found = verdict_on(judge(arm(seed=1), candidate, GPU), "csr", 0.9, 8)
    assert (found.verdict, found.fails) == ("MISSING", True)
    assert found.reason == "wrong: its error is 1e-03"


def test_times_missing_in_some_runs_are_done_without():
    candidate = arm(seed=2)
    hole = (case(0.9, 8), "csr")
    times = dict(candidate.times) | {hole: (None, None, None, 5e-4, 5.01e-4)}
    verdicts = judge(arm(seed=1), replace(candidate, times=times), GPU)
    assert verdict_on(verdicts, "csr", 0.9, 8).change == pytest.approx(0, abs=0.01)
    assert not any(one.fails for one in verdicts)
    assert not any(math.isnan(one.change) for one in verdicts)


@pytest.mark.parametrize("cells", [1, 2, 3])
def test_few_cells_are_held_against_dense(cells):
    def few(made):
        kept = {(case(rate, 8)) for rate in RATES[:cells]}
        return replace(made, times={c: s for c, s in made.times.items() if c[0] in kept})

    slow = (case(RATES[0], 8), "csr")
    verdicts = judge(
        few(arm(seed=1)), few(arm(seed=2, slower=lambda cell: 0.1 * (cell == slow))), GPU
    )
    assert verdict_on(verdicts, "csr", RATES[0], 8).verdict == "SLOW"
    assert "FAST" not in words(verdicts)
    assert not any(one.case and one.contender == "dense" for one in verdicts)


def test_without_dense_there_is_no_contender_to_judge():
    verdicts = judge(arm(contenders=("csr",)), arm(contenders=("csr",)), GPU)
    assert {one.level for one in verdicts} == {"cell"}


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8])
def test_the_median_of_the_others_is_that(count):
    row = np.random.default_rng(count).permutation(count).astype(float)
    expected = [np.median(np.delete(row, i)) for i in range(count)]
    np.testing.assert_array_equal(medians_of_others(row[None, :])[0], expected)
    hole = np.append(row, np.nan)
    np.testing.assert_array_equal(medians_of_others(hole[None, :])[0], [*expected, np.nan])


def test_intervals_cover_the_truth_as_often_as_they_say():
    random = np.random.default_rng(0)
    outside = 0
    for _ in range(20):
        found = estimate(random.normal(0, 1, (5, 100)), random.normal(0, 1, (5, 100)), alike=True)
        outside += sum(abs(found.change[i]) > found.half_width(i) for i in range(100))
    assert outside / 2000 < 0.025  # two bounds at 1 %, and a little for the shrinking


# The gate as a whole, on a runner with drift, spikes and correlated cells.


def job_fails(base, candidate, again, about=None):
    """Judge, confirm in fresh runs, and say whether the job fails (because of `about`)."""
    first, second = (
        {one.key for one in judge(base, arm, GPU) if one.fails} for arm in (candidate, again)
    )
    kept = first & second
    return about in kept if about else bool(kept)


def false_alarms(jobs, candidate_runs, runner):
    count = 0
    for seed in range(jobs):
        simulation = Simulation(runner, seed)
        (base,) = simulation.session(5)
        count += job_fails(base, *simulation.session(candidate_runs, candidate_runs))
    return count


def found_share(jobs, slows, about, runner=None):
    count = 0
    for seed in range(jobs):
        simulation = Simulation(runner or Runner(), 10_000 + seed)
        (base,) = simulation.session(5)
        cell = CELLS[70 + seed * 37 % 140]  # every sparse cell in turn
        arms = simulation.session(5, 5, slower=lambda one, cell=cell: 0.1 * slows(one, cell))
        count += job_fails(base, *arms, about=about(cell))
    return count / jobs


def one_cell(one, cell):
    return one == cell


def whole_contender(one, cell):
    return one[1] == cell[1]


def test_the_gate_stays_silent_when_nothing_changed():
    assert false_alarms(100, 5, Runner()) <= 1  # of 1000 jobs 4 do
    assert false_alarms(100, 3, Runner()) <= 1


def test_the_gate_finds_a_tenth_more_in_one_cell():
    assert found_share(40, one_cell, lambda cell: ("cell", cell[1], cell[0])) >= 0.95


def test_the_gate_finds_a_tenth_more_in_a_whole_contender():
    assert found_share(20, whole_contender, lambda cell: ("contender", cell[1], None)) >= 0.95


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("candidate_runs", [3, 5])
def test_at_most_one_in_a_hundred_jobs_is_a_false_alarm(candidate_runs):
    assert false_alarms(2000, candidate_runs, Runner()) <= 20


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "runner", [Runner(session=0.08), Runner(spikes=0.02), Runner(shared=0.95)]
)
def test_a_worse_runner_gives_no_more_false_alarms(runner):
    assert false_alarms(500, 5, runner) <= 5


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_at_least_95_of_100_regressions_are_found():
    assert found_share(1000, one_cell, lambda cell: ("cell", cell[1], cell[0])) >= 0.95
    assert found_share(400, whole_contender, lambda c: ("contender", c[1], None)) >= 0.95
