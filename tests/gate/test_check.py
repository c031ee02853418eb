"""`gpuprune check` on runs that are there: verdicts, tables and exit codes."""

import json

import numpy as np

from tests.conftest import json_rows
from tests.gate.runs import edit, refused, runs_of, slowed, unsealed

FIELDS = "level rate group contender verdict change low high reason".split()


def test_nothing_changed_is_one_line_and_exit_code_0(run, recorded, measured):
    result = run("check", "--baseline", recorded, *runs_of(measured, 3))
    assert result.exit_code == 0, result.output
    assert result.stdout == "No regression: 18 SAME (3 runs against 5, floor 10 %).\n"
    assert result.stderr == ""


def test_json_is_one_verdict_a_line_with_exactly_the_promised_fields(run, recorded, measured):
    result = run("check", "--baseline", recorded, *runs_of(measured, 3), "--format", "json")
    rows = json_rows(result)
    assert [list(row) for row in rows] == [FIELDS] * 18
    assert [row["level"] for row in rows[:3]] == ["device", "contender", "cell"]
    assert (rows[2]["rate"], rows[2]["group"]) == (0.5, 1)
    assert {row["verdict"] for row in rows} == {"SAME"}


def test_a_slower_contender_is_exit_code_1_and_a_row(run, recorded, rewritten):
    slow = rewritten(slowed(0.25))
    result = run("check", "--baseline", recorded, *runs_of(slow, 3))
    assert result.exit_code == 1
    assert (
        result.stdout
        == """\
A regression: 1 SLOW, 17 SAME (3 runs against 5, floor 10 %).

verdict    what      rate    group    change     from       to  reason
---------  ------  ------  -------  --------  -------  -------  \
--------------------------------------------------------------------
SLOW       csr        all      all   +25.0 %  +25.0 %  +25.0 %  slower by at least 25.0 % \
relative to dense; the threshold is 10.0 %

A cell's change is relative to its contender's other cells, a contender's to dense: what a whole \
run does to everybody is no change.
"""
    )


def test_a_slower_cell_is_named_and_can_be_explained(run, recorded, rewritten):
    # The rate has two cells of eight: the others are its control.
    slow = rewritten(slowed(0.25, rate=0.9))
    result = run(
        "check", "--baseline", recorded, *runs_of(slow, 3), "--explain", "csr,0.9,8", "-q"
    )
    assert result.exit_code == 1
    table, explained = result.stdout.split("\n\ncsr,0.9,8 256x256x9: SLOW\n")
    assert table.startswith("A regression: 2 SLOW, 16 SAME")
    assert "change +25.0 %, between +25.0 % and +25.0 %" in explained
    assert "baseline: " in explained
    assert "candidate: " in explained
    assert "Held against its contender's other cells, in the same run." in explained
    refused_cell = run("check", "--baseline", recorded, *runs_of(slow, 3), "--explain", "mkl,1,1")
    assert refused_cell.exit_code == 2
    assert run("check", "--baseline", recorded, "--explain", "csr,0.9").exit_code == 2


def test_one_layer_of_several_is_explained_where_its_tensor_is_named(run, tmp_path):
    model, path, baseline = (tmp_path / name for name in ("m.npz", "run.jsonl", "b.json"))
    values = np.random.default_rng(0).standard_normal((64, 64), dtype=np.float32)
    np.savez(model, query=values, key=values.T)
    sweep = ["--device", "fake", "--rates", "0.9", "--groups", "8", "--contenders", "csr"]
    run("bench", *sweep, "--weights", model, "--samples", "2", "-q", "--output", path)
    runs = runs_of(unsealed(path), 5)
    assert run("baseline", "record", "-o", baseline, *runs).exit_code == 0
    command = ["check", "--baseline", baseline, *runs[:6], "--explain"]
    one = run(*command, "csr,0.9,8,key").stdout
    assert "\n\ncsr,0.9,8 key: SAME\n" in one
    assert "query" not in one
    every = run(*command, "csr,0.9,8").stdout
    assert every.count(": SAME\n") == 2
    refused(run(*command, "csr,0.9,8,value"), 2, "its layers are key, query\n")


def test_one_run_is_unsure_with_a_warning_and_fails_where_that_is_strict(run, recorded, measured):
    command = ["check", "--baseline", recorded, "--run", measured]
    result = run(*command, "--format", "json")
    assert result.exit_code == 0
    assert {row["verdict"] for row in json_rows(result)} == {"UNSURE"}
    assert result.stderr == "Warning: 18 verdicts are unsure.\n"  # files get no more by --runs
    assert run(*command, "--strict").exit_code == 1


def test_a_run_that_lacks_results_its_end_tells_of_is_a_warning(run, recorded, rewritten):
    fewer = rewritten(lambda line: None if line.get("case", {}).get("rate") == 0.9 else line)
    result = run("check", "--baseline", recorded, "--run", fewer)
    assert f"Warning: {fewer}: its end tells of " in result.stderr


def test_a_contender_that_became_wrong_fails(run, recorded, rewritten):
    def wrong(line):
        if line.get("contender") == "csr" and line["case"]["rate"] == 0.9:
            line |= {"status": "wrong", "reason": "its error is 1e-03", "samples_s": None}
        return line

    result = run("check", "--baseline", recorded, *runs_of(rewritten(wrong), 3))
    assert result.exit_code == 1
    assert result.stdout.count("MISSING") == 3
    assert "wrong: its error is 1e-03" in result.stdout


def test_missing_cells_fail_and_new_ones_do_not(run, recorded, rewritten, tmp_path):
    fewer = rewritten(lambda line: None if line.get("case", {}).get("rate") == 0.9 else line)
    result = run("check", "--baseline", recorded, *runs_of(fewer, 3), "--format", "json")
    assert result.exit_code == 1
    missing = [row for row in json_rows(result) if row["verdict"] == "MISSING"]
    assert {(row["rate"], row["reason"]) for row in missing} == {(0.9, "the candidate lacks it")}
    small = tmp_path / "small.json"
    assert run("baseline", "record", "-o", small, *runs_of(fewer, 5)).exit_code == 0
    full = rewritten(lambda line: line)
    result = run("check", "--baseline", small, *runs_of(full, 3), "--format", "json")
    assert result.exit_code == 0
    assert [row["verdict"] for row in json_rows(result)].count("NEW") == 4


def test_an_older_baseline_is_migrated(run, recorded, measured):
    table = json.loads(recorded.read_text())
    del table["profile"], table["accepted"]
    for row in table["cells"]:
        del row["pattern"]
    recorded.write_text(json.dumps(table | {"schema": 1}))
    assert run("check", "--baseline", recorded, *runs_of(measured, 3)).exit_code == 0


def test_versions_that_changed_are_named_as_suspects(run, recorded, rewritten):
    edit(recorded, "conditions", "environment", "packages", "numpy", to="1.0")
    edit(recorded, "conditions", "version", to="0.0.1")
    slow = rewritten(slowed(0.25))
    stdout = run("check", "--baseline", recorded, *runs_of(slow, 3)).stdout
    assert "Changed between the two sides: numpy 1.0 -> " in stdout
    assert "gpuprune 0.0.1 -> " in stdout


def test_incomplete_runs_are_named_and_counted(run, recorded, measured):
    options = runs_of(measured, 3)
    lines = options[1].read_text().splitlines(keepends=True)
    options[1].write_text(lines[0])
    failed = [json.loads(line) for line in options[3].read_text().splitlines()]
    for line in failed:
        if line.get("contender") == "csr":
            line |= {"status": "failed", "reason": "out of memory", "samples_s": None}
    options[3].write_text("".join(json.dumps(line) + "\n" for line in failed))
    result = run("check", "--baseline", recorded, *options)
    assert f"{options[1]}: the run has not ended; what it lacks is not judged" in result.stderr
    assert result.stdout.endswith(
        "Incomplete: candidate: dense has no time in 1 of 3 runs at 8 cells (the run lacks it); "
        "candidate: csr has no time in 2 of 3 runs at 8 cells (failed: out of memory).\n"
    )
    programs = run("check", "--baseline", recorded, *options, "--format", "json")
    assert "Warning: candidate: csr has no time in 2 of 3 runs" in programs.stderr


def test_a_dense_product_that_moved_stands_in_the_headline(run, recorded, rewritten):
    slow = rewritten(lambda line: slowed(19.0)(slowed(19.0, contender="dense")(line)))
    result = run("check", "--baseline", recorded, *runs_of(slow, 3))
    assert result.exit_code == 0
    assert result.stdout.startswith("No regression, but dense itself moved by +1900.0 %: 1 UNSURE")


def test_help_of_check_shows_no_backspace(run):
    assert "\\b" not in run("check", "--help").stdout
