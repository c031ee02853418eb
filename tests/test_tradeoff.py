"""Accuracy against speedup: what belongs together, the front, and what to choose."""

import json

import pytest

from gpuprune.accuracy.records import KIND
from gpuprune.errors import GpupruneError
from gpuprune.records import Case, Header, Result, Timing
from gpuprune.tradeoff import Demand, Point, front, points, recommend
from tests.conftest import assert_refused, json_rows
from tests.made_runs import ACCURACIES, outcome, trained

SPEEDUPS = {1: 0.6, 8: 1.49, 32: 1.57}


def timed(case, contender, seconds):
    timing = Timing(samples_s=(seconds,), cache="cold", stopped_by="samples")
    return Result(case=case, contender=contender, status="ok", timing=timing)


def benched(speedups=SPEEDUPS, rate=0.9, **changes):
    results = []
    for group, speedup in speedups.items():
        case = Case(rows=64, cols=64, batch=5, rate=rate, group=group, **changes)
        results += [timed(case, "dense", 1.0), timed(case, "csr", 1 / speedup)]
    return results


def header(**changes):
    configuration = {"rate": 0.9, "orientation": "row"} | changes
    return Header(
        version="1",
        started="now",
        arguments=(),
        configuration=configuration,
        environment={},
    )


def test_the_unpruned_network_comes_first_at_a_speedup_of_one():
    found = points(benched(), header(), trained())
    assert [one.group for one in found] == [None, 1, 8, 32]
    assert found[0] == Point(
        group=None, rate=0.0, speedup=1.0, accuracy=0.978, accuracy_sd=None, seeds=1, drop=0.0
    )
    assert found[2].speedup == pytest.approx(1.49)
    assert found[2].drop == pytest.approx(0.011)


def test_seeds_are_averaged_and_their_spread_told():
    other = {group: accuracy + 0.002 for group, accuracy in ACCURACIES.items()}
    (_, single, *_) = points(benched(), header(), trained() + trained(other, seed=1))
    assert single.accuracy == pytest.approx(0.973)
    assert single.accuracy_sd == pytest.approx(0.002**2 / 2**0.5 / 0.002)
    assert single.seeds == 2


def test_the_front_leaves_out_what_is_slower_and_worse():
    assert [one.group for one in front(points(benched(), header(), trained()))] == [None, 8, 32]


@pytest.mark.parametrize(
    ("demand", "group"),
    [
        ({"min_accuracy": 0.95}, 8),
        ({"min_accuracy": 0.967}, 8),
        ({"max_drop": 0.011}, 8),
        ({"max_drop": 0.005}, None),
        ({"min_speedup": 1.4}, 8),
        ({"min_speedup": 1.5}, 32),
        ({"min_speedup": 0.5}, None),
        ({"min_accuracy": 0.9, "min_speedup": 1.4}, 32),
    ],
)
def test_a_demand_has_a_recommendation(demand, group):
    chosen = recommend(points(benched(), header(), trained()), Demand(**demand))
    assert chosen is not None
    assert chosen.group == group


@pytest.mark.parametrize(
    "demand", [{"min_accuracy": 0.99}, {"min_speedup": 2}, {"max_drop": 0.005, "min_speedup": 1.1}]
)
def test_a_demand_that_nothing_meets_has_none(demand):
    assert recommend(points(benched(), header(), trained()), Demand(**demand)) is None


def test_layers_count_by_their_times():
    small = Case(rows=8, cols=8, batch=5, rate=0.9, group=8)
    results = [*benched({8: 2.0}), timed(small, "dense", 1.0), timed(small, "csr", 1.0)]
    found = points(results, header(), trained({8: 0.9}))
    assert found[0].speedup == pytest.approx(2 / 1.5)


@pytest.mark.parametrize(
    ("results", "configuration", "message"),
    [
        (benched(rate=0.8), {}, r"accuracy was told at rate 0.9, and bench has 0.8"),
        (benched(), {"orientation": "column"}, "orientation column, and bench has row"),
        (benched({4: 1.0}), {}, r"the runs share no group: accuracy has 1, 8, 32, bench 4"),
        ([], {}, "bench has none"),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(results, configuration, message):
    with pytest.raises(GpupruneError, match=message):
        points(results, header(**configuration), trained())


@pytest.fixture
def runs(run, tmp_path):
    """A real run of each, on a device whose clock is known and with accuracies that are."""
    bench, accuracy = tmp_path / "bench.jsonl", tmp_path / "accuracy.jsonl"
    sweep = ["--device", "fake", "--shape", "64x64x5", "--groups", "1,8,32", "--rates", "0.9"]
    assert run("bench", *sweep, "--contenders", "csr", "--output", bench).exit_code == 0
    lines = [header().to_record() | {"kind": KIND}, *(one.to_record() for one in trained())]
    accuracy.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return bench, accuracy


def test_the_command_prints_the_table_and_the_recommendation(run, runs):
    result = run("tradeoff", *runs, "--min-accuracy", 95)
    assert result.exit_code == 0, result.output
    assert (
        result.stdout
        == """\
   group  speedup    accuracy    points lost    remark
--------  ---------  ----------  -------------  ------------------
unpruned  1.00x      97.80 %     0.00           front
       1  3.11x      97.20 %     0.60           front
       8  3.11x      96.70 %     1.10           front, recommended
      32  3.08x      90.00 %     7.80

Take group 8 at 0.90: 96.7 % and 3.11x.
"""
    )


def test_only_seeds_that_all_groups_have_are_compared(run, runs):
    # The second seed was interrupted: it made everything else look worse than group 8.
    networks = [outcome(None, 0.98), outcome(8, 0.975), outcome(32, 0.96)]
    networks += [outcome(None, 0.90, seed=1), outcome(8, 0.885, seed=1)]
    found = points(benched(), header(), networks)
    assert [(one.group, one.seeds, one.accuracy) for one in found] == [
        (None, 1, 0.98), (8, 1, 0.975), (32, 1, 0.96),
    ]  # fmt: skip
    lines = [header().to_record() | {"kind": KIND}, *(one.to_record() for one in networks)]
    runs[1].write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    result = run("tradeoff", *runs, "--max-drop", 1.5)
    assert result.exit_code == 0
    assert "Warning: not every group size has every seed" in result.stderr


def test_an_input_is_not_drawn_over(run, runs, tmp_path):
    copy = tmp_path / "accuracy.svg"
    copy.write_bytes(runs[1].read_bytes())
    before = copy.read_bytes()
    assert run("tradeoff", runs[0], copy, "--figure", copy).exit_code == 2
    assert copy.read_bytes() == before


def test_json_is_one_object_a_group(run, runs):
    rows = json_rows(run("tradeoff", *runs, "--max-drop", 0.7, "--format", "json"))
    assert [row["group"] for row in rows] == [None, 1, 8, 32]
    assert [row["recommended"] for row in rows] == [False, True, False, False]


def test_a_demand_that_nothing_meets_exits_with_1(run, runs):
    result = run("tradeoff", *runs, "--min-accuracy", 99)
    assert result.exit_code == 1
    assert "Nothing meets this. Most accurate is the unpruned network" in result.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--min-accuracy", "0.95"], "in percent"),
        (["--min-accuracy", "nan"], "in percent"),
        (["--max-drop", "-1"], "--max-drop -1"),
        (["--min-speedup", "0"], "--min-speedup 0"),
    ],
)
def test_a_demand_that_means_nothing_is_refused(run, runs, options, words):
    assert_refused(run("tradeoff", *runs, *options), words)


def test_files_given_the_wrong_way_round_are_refused(run, runs):
    assert_refused(run("tradeoff", *reversed(runs)), "gpuprune bench")
    assert_refused(run("tradeoff", runs[0], runs[0]), "gpuprune accuracy")
