import random
from dataclasses import replace

import pytest

from gpuprune import config, fresh, gate, verdicts
from gpuprune.cli import gate_console
from gpuprune.errors import GpupruneError
from gpuprune.records import Case
from gpuprune.regression import MeasurementFailed
from gpuprune.regression.arm import Arm
from gpuprune.regression.rule import Terms
from gpuprune.regression.verdict import Verdict

NOTHING = Arm(runs=3, times={}, faults={}, wrong=frozenset(), patterns={})


def order(seed=0):
    return random.Random(seed)  # noqa: S311


def verdict(word="SLOW", rate=0.9, **changes):
    values = {
        "level": "cell",
        "verdict": word,
        "contender": "csr",
        "case": Case(rows=64, cols=64, batch=5, rate=rate, group=8),
        "change": 0.25,
        "low": 0.2,
        "high": 0.3,
        "reason": "slower by at least 20.0 %",
    }
    return Verdict(**(values | changes))


def comparison(*found):
    return gate.Comparison(
        base=NOTHING,
        candidate=NOTHING,
        terms=Terms(floor=0.03),
        verdicts=list(found),
        suspects=[],
    )


def test_only_what_fresh_runs_find_again_stays_slow():
    first = comparison(verdict(rate=0.8), verdict(rate=0.9), verdict("MISSING", rate=0.95))
    again = comparison(verdict(rate=0.8), verdict("UNSURE", rate=0.9, change=0.02))
    kept = gate.confirm(first, again).verdicts
    assert [one.verdict for one in kept] == ["SLOW", "UNSURE", "MISSING"]
    assert kept[1].reason == "slow at first, but not in fresh runs (+2.0 % there)"


def test_every_run_has_another_order_of_cells_and_the_same_sweep():
    sweep = config.load(None, config.paper(), {"shape": "64x64x5,32x32x5", "samples": 3})
    orders = [fresh.bench_arguments(sweep, order(seed)) for seed in range(4)]
    options = [dict(zip(one[::2], one[1::2], strict=True)) for one in orders]
    assert len({one["--rates"] for one in options}) == 4
    assert len({one["--groups"] for one in options}) == 4
    for one in options:
        asked = {name.removeprefix("--").replace("-", "_"): value for name, value in one.items()}
        read = config.load(None, config.quick(), asked)
        assert sorted(read.rates) == sorted(sweep.rates)
        assert sorted(read.groups) == sorted(sweep.groups)
        assert sorted(read.shape) == sorted(sweep.shape)
        assert replace(read, rates=(), groups=(), shape=()) == replace(
            sweep, rates=(), groups=(), shape=()
        )


def test_weights_are_passed_on_without_a_shape():
    sweep = replace(config.paper(), weights="w.npz::a", tensor="*", as_is=True)
    arguments = fresh.bench_arguments(sweep, order())
    assert "--as-is" in arguments
    assert not {"--shape", "--rates", "--groups"} & set(arguments)
    assert arguments[arguments.index("--weights") + 1] == "w.npz::a"


def test_what_a_run_refuses_is_passed_on(tmp_path):
    refused = replace(config.quick(), device="tpu")
    with pytest.raises(GpupruneError, match="unknown device 'tpu'") as error:
        fresh.fresh_runs(refused, [fresh.HEAD], 1, lambda text: None)
    assert "cuda:N" in error.value.hint


def test_a_run_that_dies_is_a_failed_measurement(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho something >&2\nexit 9\n")
    python.chmod(0o755)
    broken = fresh.Side(name="base", interpreter=str(python))
    with pytest.raises(MeasurementFailed, match="exit code 9: something"):
        fresh.fresh_runs(config.quick(), [broken], 1, lambda text: None)


def test_flipped_decisions_come_first_then_what_is_worst():
    found = [
        verdict("SAME", rate=0.1),
        verdict("FAST", rate=0.2),
        verdict("UNSURE", rate=0.3),
        verdict(rate=0.4, change=0.1),
        verdict(rate=0.5, change=0.3),
        verdict(rate=0.6, change=0.2, flipped=True),
        verdict("MISSING", rate=0.7, change=None),
        verdict(level="contender", case=None, change=0.15),
    ]
    rates = [one.case and one.case.rate for one in verdicts.ordered(found)]
    assert rates == [0.6, None, 0.5, 0.4, 0.7, 0.3, 0.2, 0.1]


def test_a_flip_that_does_not_fail_is_told_first_everywhere():
    found = [
        verdict(rate=0.5),
        verdict("SAME", rate=0.6, change=0.02, flipped=True),
        verdict("UNSURE", rate=0.7, flipped=True),
    ]
    assert [one.case.rate for one in verdicts.ordered(found)] == [0.7, 0.6, 0.5]
    quiet = comparison(*found[1:])
    assert verdicts.summary(quiet).startswith(
        "No regression, but 2 decisions flipped: sparse no longer beats dense: 1 UNSURE, 1 SAME"
    )
    assert "| SAME" in verdicts.summary(quiet, markdown=True)
    kinds = [line.partition(" ")[0] for line in verdicts.annotations(comparison(*found))]
    assert kinds == ["::warning", "::warning", "::error"]
    assert not any(map(quiet.fails, quiet.verdicts))


@pytest.mark.parametrize(
    ("flips_again", "first"), [(True, "no longer beats dense; "), (False, "")]
)
def test_a_slow_flip_stays_a_flip_only_where_fresh_runs_see_it(flips_again, first):
    slow = comparison(verdict(flipped=True, reason="no longer beats dense; slower"))
    again = comparison(verdict("SAME", change=0.02, flipped=flips_again))
    (kept,) = gate.confirm(slow, again).verdicts
    assert (kept.verdict, kept.flipped) == ("UNSURE", flips_again)
    assert kept.reason == f"{first}slow at first, but not in fresh runs (+2.0 % there)"


@pytest.mark.parametrize(
    ("more_runs", "measured", "said"),
    [
        ([2, 4, 30], True, "Warning: 3 verdicts are unsure; --runs 7 would settle most."),
        ([2, 4, 30], False, "Warning: 3 verdicts are unsure."),
        ([2, None, None], True, "Warning: 3 verdicts are unsure."),
        ([None], True, "Warning: 1 verdict is unsure."),
    ],
)
def test_more_runs_are_proposed_only_where_they_help(more_runs, measured, said):
    heard = []
    unsure = comparison(*(verdict("UNSURE", more_runs=more) for more in more_runs))
    gate_console.warn_of_unsure(unsure, heard.append, measured=measured)
    assert heard == [said]


def test_markdown_for_a_comment_stays_under_its_limit_and_keeps_the_worst():
    found = [verdict(rate=i / 10_000, change=1 + i / 10_000) for i in range(5000)]
    text = verdicts.summary(comparison(*found), markdown=True, most_bytes=verdicts.COMMENT_BYTES)
    assert len(text.encode()) <= 64 << 10
    assert text.startswith("**A regression: 5000 SLOW (3 runs against 3, floor 3 %).**")
    assert "0.4999" in text
    shown = text.count("| SLOW")
    assert text.endswith(f"And {5000 - shown} more, less bad: --format csv or json.")
    assert shown > 300


def test_annotations_are_ten_at_most():
    lines = verdicts.annotations(comparison(*(verdict(rate=i / 100) for i in range(30))))
    assert len(lines) == 10
    assert lines[-1] == "::error title=gpuprune::and 21 more, see the summary of the job"
    assert verdicts.annotations(comparison(verdict("UNSURE"), verdict("SAME"))) == []


def test_names_cannot_begin_commands_or_break_tables():
    evil = Case(rows=1, cols=1, batch=1, rate=0.9, group=8, weights="f::a|b\n::error::x\x1b[31m<")
    found = [verdict(case=evil, reason="no\n::error::y"), verdict()]
    for line in verdicts.annotations(comparison(*found)):
        assert "\n" not in line
    for markdown in (True, False):
        text = verdicts.summary(comparison(*found), markdown=markdown)
        assert "\n::error::" not in text
        assert "\x1b" not in text
    assert "\x1b" not in verdicts.junit(comparison(*found))
    assert "\n::error" not in verdicts.explain(comparison(*found), found[0])


def test_the_layer_stands_in_json_only_where_there_are_several():
    one, other = verdict(), verdict(case=Case(rows=8, cols=8, batch=2, rate=0.9, group=8))
    assert "rows" not in verdicts.rows([one])[0]
    both = verdicts.rows([one, other])
    assert [(row["rows"], row["weights"]) for row in both] == [(64, None), (8, None)]
