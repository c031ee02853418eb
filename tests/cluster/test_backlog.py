"""Who gets which cases: without Ray, for a cluster is a matter of the pool."""

import pytest

from gpuprune.cluster.backlog import Backlog
from gpuprune.records import Case


def grid(layers=1, groups=2, rates=4):
    return [
        Case(rows=8, cols=8 + layer, batch=1, rate=rate / 10, group=group)
        for layer in range(layers)
        for group in range(1, groups + 1)
        for rate in range(rates)
    ]


def take_all(backlog, kinds, workers):
    """Let workers of some kinds take turns until nothing is left for them."""
    taken = {number: [] for number in range(len(kinds))}
    while True:
        got = 0
        for number, kind in enumerate(kinds):
            near = taken[number][-1] if taken[number] else None
            cases = backlog.take(kind, near, workers)
            taken[number] += cases
            got += len(cases)
        if not got:
            return taken


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_every_case_is_given_out_once(workers):
    cases = grid(layers=3, groups=5, rates=7)
    taken = take_all(Backlog(cases), ["H100"] * workers, workers)
    given = [case for own in taken.values() for case in own]
    assert len(given) == len(cases)
    assert set(given) == set(cases)


def test_cases_that_are_ranked_together_stay_together():
    backlog = Backlog(grid(groups=2, rates=4))
    assert [case.group for case in backlog.take("H100", None, 1)] == [1, 1, 1, 1]


def test_the_last_cases_are_shared_out_among_the_workers():
    backlog = Backlog(grid(groups=1, rates=10))
    assert [len(backlog.take("H100", None, 2)) for _ in range(5)] == [3, 2, 2, 1, 1]


def test_a_worker_stays_with_its_layer_and_begins_one_of_its_own():
    backlog = Backlog(grid(layers=2, groups=2))
    first = backlog.take("H100", None, 2)
    second = backlog.take("H100", None, 2)
    assert (first[0].cols, second[0].cols) == (8, 9)
    assert backlog.take("H100", first[-1], 2)[0].cols == 8
    assert backlog.take("H100", second[-1], 2)[0].cols == 9


def test_one_layer_is_measured_by_one_kind_of_device():
    taken = take_all(Backlog(grid(layers=5)), ["H100", "A100"], 2)
    layers = [{case.cols for case in own} for own in taken.values()]
    assert not layers[0] & layers[1]
    assert all(layers)


def test_what_an_earlier_session_claimed_waits_for_that_kind():
    cases = grid(layers=1)
    layer = Case(rows=8, cols=8, batch=1, rate=0.0, group=1)
    backlog = Backlog(cases, {layer: "H100"})
    assert backlog.take("A100", None, 1) == []
    assert backlog.claimed_by_others(["A100"]) == {"H100"}
    assert backlog.claimed_by_others(["A100", "H100"]) == set()
    assert backlog.take("H100", None, 1)


def test_what_a_lost_worker_had_is_given_out_again():
    backlog = Backlog(grid(groups=1))
    taken = backlog.take("H100", None, 1)
    backlog.give_back(taken)
    assert len(backlog) == 4
    assert set(backlog.take("H100", None, 1)) <= set(grid(groups=1))
