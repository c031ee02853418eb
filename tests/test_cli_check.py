"""The gate as its users run it: whole commands, exit codes, and what is left on disk."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

import pytest

import gpuprune
from tests.conftest import json_rows

SWEEP = ["--device", "fake", "--shape", "256x256x9", "--rates", "0.5,0.7,0.8,0.9"]
SWEEP += ["--groups", "1,8", "--contenders", "csr", "--samples", "2"]
FIELDS = "level rate group contender verdict change low high reason".split()


@pytest.fixture
def recorded(run, measured, tmp_path):
    """A baseline of five runs."""
    path = tmp_path / "baseline.json"
    result = run("baseline", "record", "-o", path, *runs_of(measured, 5))
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture(scope="session")
def measured(tmp_path_factory):
    """The lines of a run on the fake device, without checksums."""
    from click.testing import CliRunner

    from gpuprune.cli import cli

    path = tmp_path_factory.mktemp("run") / "run.jsonl"
    result = CliRunner().invoke(cli, ["bench", *SWEEP, "-q", "--output", str(path)])
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        del line["crc"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def runs_of(path, count):
    """Options for so many runs with the times of one, each a run of its own."""
    options = []
    for number in range(count):
        first, _, rest = path.read_text().partition("\n")
        other = path.with_name(f"{path.stem}-{number}.jsonl")
        started = f"2026-01-01T00:00:0{number}+00:00"
        other.write_text(json.dumps(json.loads(first) | {"started": started}) + "\n" + rest)
        options += ["--run", other]
    return options


@pytest.fixture
def rewritten(measured, tmp_path):
    """Make a run file in which every record has been through a function; None drops it."""

    def rewrite(function):
        path = tmp_path / "candidate.jsonl"
        lines = [function(json.loads(line)) for line in measured.read_text().splitlines()]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines if line))
        return path

    return rewrite


def slowed(share, contender="csr", rate=None):
    def change(line):
        if line.get("contender") == contender and rate in (None, line["case"]["rate"]):
            line["samples_s"] = [one * (1 + share) for one in line["samples_s"]]
        return line

    return change


def refused(result, code, *words):
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.splitlines()[-2].startswith("Error: ")
    assert result.stderr.splitlines()[-1].startswith("Hint: ")
    for word in words:
        assert word in result.stderr


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


def test_one_run_is_unsure_with_a_warning_and_fails_where_that_is_strict(run, recorded, measured):
    command = ["check", "--baseline", recorded, "--run", measured]
    result = run(*command, "--format", "json")
    assert result.exit_code == 0
    assert {row["verdict"] for row in json_rows(result)} == {"UNSURE"}
    assert result.stderr == "Warning: 18 verdicts are unsure.\n"  # files get no more by --runs
    assert run(*command, "--strict").exit_code == 1


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


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (None, "there is no baseline"),
        ("", "empty"),
        ("{", "cut off"),
        ("[]", "no baseline"),
        ('{"record": "run", "schema": 1}', "no baseline"),
        ('{"record": "baseline", "schema": 1e999}', "unknown schema"),
        ("\x00\xff", "no baseline"),
        ("[" * 100_000, "no baseline"),
    ],
)
def test_what_is_no_baseline_is_exit_code_4(run, tmp_path, measured, text, word):
    path = tmp_path / "baseline.json"
    if text is not None:
        path.write_text(text)
    refused(run("check", "--baseline", path, "--run", measured), 4, str(path), word)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_torn_baseline_is_exit_code_4(run, recorded, measured, share):
    text = recorded.read_text()
    recorded.write_text(text[: int(share * len(text))])
    refused(run("check", "--baseline", recorded, "--run", measured), 4, str(recorded))


def test_a_directory_or_a_pipe_is_no_baseline(run, tmp_path, measured):
    refused(run("check", "--baseline", tmp_path, "--run", measured), 4)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    refused(run("check", "--baseline", pipe, "--run", measured), 4)


def edit(path, *keys, to):
    table = json.loads(path.read_text())
    place = table
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    path.write_text(json.dumps(table))


@pytest.mark.parametrize(
    ("keys", "value", "word"),
    [
        (("conditions", "environment", "device_name"), "another GPU", "another GPU"),
        (("conditions", "environment", "device"), "cuda", "device was cuda and is fake"),
        (("conditions", "environment", "threads"), 64, "threads was 64 and is 1"),
        (("conditions", "environment", "power_limit_w"), 350.0, "power limit w was 350.0"),
        (("conditions", "configuration", "shape"), [[8, 8, 2]], "shape was [[8, 8, 2]]"),
        (("conditions", "configuration", "seed"), 7, "seed was 7 and is 0"),
        (("conditions", "configuration", "weights_sha256"), "abc", "weights sha256 was abc"),
        (("conditions", "contract", "min_samples"), 3, "min samples was 3 and is 10"),
        (("cells", 0, "pattern"), "12345", "12345"),
        (("schema",), 99, "schema 99"),
        (("schema",), 0, "schema 0"),
        (("schema",), "2", "schema '2'"),
        (("runs",), 4, "5 times"),
        (("runs",), None, "damaged"),
        (("cells",), [], "no time"),
        (("cells", 0, "median_s"), [0.0] * 5, "0.0 s"),
        (("cells", 0, "median_s"), [-1e-3] * 5, "-0.001 s"),
        (("cells", 0, "median_s"), [float("nan")] * 5, "NaN"),
        (("cells", 0, "median_s"), ["1"] * 5, "damaged"),
        (("cells", 0, "case"), {"rows": 1}, "damaged"),
        (("conditions",), {}, "damaged"),
        (("conditions", "configuration", "rates"), 3, "damaged"),
        (("conditions", "configuration", "rates"), "boo", "damaged"),
        (("conditions", "configuration"), {}, "damaged"),
        (("conditions", "contract"), {}, "its contract lacks"),
        (("conditions", "environment"), 5, "damaged"),
        (("conditions", "environment", "packages"), 5, "damaged"),
        (("conditions", "resolution_s"), "x", "damaged"),
        (("conditions", "version"), 5, "damaged"),
        (("recorded",), None, "damaged"),
        (("accepted",), [{"on": 5}], "damaged"),
        (("profile",), [{"gld_efficiency_pct": 5}], "damaged"),
        (("cells", 0, "median_s"), [10**400] * 5, "damaged"),
        (("cells", 0, "median_s"), [1e-320] * 5, "damaged"),
        (("cells", 0, "median_s"), [True] * 5, "damaged"),
        (("cells", 0, "case", "rate"), "x", "damaged"),
        (("cells", 0, "pattern"), None, "no pattern"),
    ],
)
def test_what_cannot_be_compared_is_exit_code_4_and_says_why(
    run, recorded, measured, keys, value, word
):
    edit(recorded, *keys, to=value)
    refused(run("check", "--baseline", recorded, "--run", measured), 4, word)


@pytest.mark.parametrize(
    ("place", "name"),
    [("environment", "threads"), ("environment", "device_name"), ("contract", "cache")],
)
def test_what_is_taken_out_of_a_baseline_agrees_with_nothing(run, recorded, measured, place, name):
    table = json.loads(recorded.read_text())
    del table["conditions"][place][name]
    recorded.write_text(json.dumps(table))
    refused(run("check", "--baseline", recorded, "--run", measured), 4, name)


def test_a_baseline_with_a_cell_twice_is_damaged(run, recorded, measured):
    table = json.loads(recorded.read_text())
    table["cells"].append(table["cells"][3])
    recorded.write_text(json.dumps(table))
    refused(run("check", "--baseline", recorded, "--run", measured), 4, "stands in it twice")


def test_a_candidate_that_hides_its_pruning_is_not_comparable(run, recorded, rewritten):
    path = rewritten(lambda line: line | {"pattern": None} if "pattern" in line else line)
    refused(run("check", "--baseline", recorded, "--run", path), 4, "kept other weights")


@pytest.mark.parametrize(
    "samples", [[], ["x"], {}, [0.0], True, [True], [10**400], [1e-320], "ab", 5]
)
def test_samples_that_no_run_has_are_refused(run, recorded, rewritten, samples):
    def change(line):
        return line | {"samples_s": samples} if "samples_s" in line else line

    refused(run("check", "--baseline", recorded, "--run", rewritten(change)), 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [("environment", {}), ("environment", 5), ("configuration", {}), ("configuration", 5)],
)
def test_a_first_line_that_no_run_has_is_refused(run, recorded, rewritten, name, value):
    def change(line):
        return line | {name: value} if line["record"] == "run" else line

    refused(run("check", "--baseline", recorded, "--run", rewritten(change)), 2)


def test_a_cell_twice_in_a_run_is_refused(run, recorded, measured, tmp_path):
    lines = measured.read_text().splitlines(keepends=True)
    path = tmp_path / "twice.jsonl"
    path.write_text("".join([*lines[:2], lines[1], *lines[2:]]))
    refused(run("check", "--baseline", recorded, "--run", path), 2, "twice")


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


@pytest.mark.parametrize("seconds", [0.0, -1e-3])
def test_a_candidate_with_an_impossible_time_is_refused(run, recorded, rewritten, seconds):
    def change(line):
        if line.get("samples_s"):
            line["samples_s"] = [seconds] * 2
        return line

    path = rewritten(change)
    refused(run("check", "--baseline", recorded, "--run", path), 2, "result 1 has a value")


def test_a_candidate_that_is_no_run_is_refused(run, recorded, tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text('{"record": "run", "schema": 99}\n')
    refused(run("check", "--baseline", recorded, "--run", path), 2, "schema 99")
    refused(run("check", "--baseline", recorded, "--run", tmp_path / "no"), 2, "no")


def test_a_run_without_a_time_is_exit_code_5(run, recorded, rewritten):
    def fail(line):
        if "samples_s" in line:
            line |= {"status": "failed", "reason": "out of memory", "samples_s": None}
        return line

    refused(run("check", "--baseline", recorded, "--run", rewritten(fail)), 5, "out of memory")


def test_a_disturbed_device_is_exit_code_5_and_not_recorded(run, recorded, rewritten, tmp_path):
    def disturb(line):
        if line.get("contender") == "csr":
            line |= {"status": "disturbed", "reason": "python (17) computes on this GPU"}
        return line

    path = rewritten(disturb)
    refused(run("check", "--baseline", recorded, "--run", path), 5, "python (17)")
    other = tmp_path / "other.json"
    refused(run("baseline", "record", "-o", other, "--run", path), 2, "python (17)", "--force")
    assert not other.exists()
    assert run("baseline", "record", "-o", other, "--run", path, "--force").exit_code == 0


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--rates", "0.9"], "rates"),
        (["--device", "cpu"], "device"),
        (["--seed", "1"], "seed"),
        (["--quick"], "rates"),
    ],
)
def test_options_that_disagree_with_the_baseline_are_exit_code_4(
    run, recorded, measured, options, word
):
    command = ["check", "--baseline", recorded, "--run", measured]
    refused(run(*command, *options), 4, f"was recorded with {word}")
    assert run(*command, "--rates", "0.9,0.5,0.8,0.7", "--device", "auto").exit_code == 0


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--baseline", "a", "--base", "b"],
        ["--base", "b", "--run", "c"],
        ["--baseline", "a", "--runs", "0"],
        ["--baseline", "a", "--runs", "-1"],
        ["--baseline", "a", "--floor", "x"],
        ["--baseline", "a", "--junit", "no/such/file.xml"],
        ["--baseline", "a", "--explain", "csr,x,y"],
        ["--base", "/no/such/python", "--quick"],
    ],
)
def test_bad_usage_is_exit_code_2(run, monkeypatch, tmp_path, options):
    monkeypatch.chdir(tmp_path)
    refused(run("check", *options), 2)
    assert list(tmp_path.iterdir()) == []


def test_junit_summary_and_annotations(run, recorded, rewritten, tmp_path):
    slow = rewritten(slowed(0.25, rate=0.9))
    summary, junit = tmp_path / "summary.md", tmp_path / "junit.xml"
    env = {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_ACTIONS": "true"}
    command = ["check", "--baseline", recorded, *runs_of(slow, 3), "--junit", junit]
    result = run(*command, "--format", "json", env=env)
    assert result.exit_code == 1
    assert len(json_rows(result)) == 18
    assert result.stderr.splitlines() == [
        "::error title=gpuprune%3A SLOW::csr,0.9,1 256x256x9 +25.0 %25: slower by at least "
        "25.0 %25 relative to its contender's other cells; the threshold is 10.0 %25",
        "::error title=gpuprune%3A SLOW::csr,0.9,8 256x256x9 +25.0 %25: slower by at least "
        "25.0 %25 relative to its contender's other cells; the threshold is 10.0 %25",
    ]
    assert summary.read_text().startswith("**A regression: 2 SLOW, 16 SAME")
    suite = ElementTree.parse(junit).getroot()  # noqa: S314
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("18", "2", "0")
    assert [case.get("name") for case in suite if case.find("failure") is not None] == [
        "csr,0.9,1 256x256x9",
        "csr,0.9,8 256x256x9",
    ]


def test_a_profile_that_lost_efficiency_fails(run, measured, tmp_path):
    row = {"predicted": True, "rows": 256, "cols": 256, "batch": 9, "dtype": "float32",
           "rate": 0.9, "group": 8, "mapping": "warp_row", "gld_efficiency_pct": 98.0}  # fmt: skip
    was, now, baseline = (tmp_path / name for name in ("was", "now", "baseline.json"))
    was.write_text(json.dumps(row) + "\n")
    now.write_text(json.dumps(row | {"gld_efficiency_pct": 95.5}) + "\n")
    run("baseline", "record", "-o", baseline, *runs_of(measured, 5), "--profile", was)
    command = ["check", "--baseline", baseline, "--runs", "0", "--profile"]
    assert run(*command, was).exit_code == 0
    assert run(*command, now, "--max-points", "3").exit_code == 0
    result = run(*command, now, "--format", "json")
    assert result.exit_code == 1
    assert json_rows(result) == [
        {
            "level": "profile",
            "rate": 0.9,
            "group": 8,
            "contender": "predicted warp_row",
            "verdict": "SLOW",
            "change": -0.025,
            "low": None,
            "high": None,
            "reason": "load efficiency was 98.0 % and is 95.5 %; 2 points count",
        }
    ]
    now.write_text(json.dumps(row | {"gld_efficiency_pct": None}) + "\n")
    assert run(*command, now).exit_code == 1
    wrong = [json.dumps(row | {"gld_efficiency_pct": 128.0}), json.dumps(row | {"rate": "x"})]
    for text in ("", "{}\n", "no\n", '{"gld_efficiency_pct": -1}\n', *wrong):
        now.write_text(text)
        refused(run(*command, now), 2, str(now))


def test_a_baseline_without_profile_figures_cannot_judge_any(run, recorded, tmp_path):
    profile = tmp_path / "profile"
    profile.write_text('{"gld_efficiency_pct": 1.0}\n')
    command = ["check", "--baseline", recorded, "--runs", "0", "--profile", profile]
    refused(run(*command), 4, "--profile")


def test_what_profile_predicts_can_be_recorded_and_checked(run, measured, tmp_path):
    profile, baseline = tmp_path / "profile.jsonl", tmp_path / "baseline.json"
    options = ["--shape", "64x64x5", "--rates", "0.9", "--groups", "1,8", "--format", "json"]
    profile.write_text(run("profile", "--predict", *options, "-q").stdout)
    run("baseline", "record", "-o", baseline, *runs_of(measured, 5), "--profile", profile)
    result = run("check", "--baseline", baseline, "--runs", "0", "--profile", profile)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("No regression: 2 SAME")


def test_show_lists_the_cells(run, recorded):
    rows = json_rows(run("baseline", "show", recorded, "--format", "json"))
    assert len(rows) == 16
    assert (rows[0]["contender"], rows[0]["rate"], rows[0]["runs"]) == ("dense", 0.5, 5)
    text = run("baseline", "show", recorded).stdout
    assert "on a fake device: 5 runs, 16 cells, 0 load efficiencies." in text


def test_show_names_layers_and_obeys_nothing_that_a_file_says(run, recorded):
    table = json.loads(recorded.read_text())
    table |= {"recorded": "x\n::error::y", "accepted": [{"on": "now", "reason": "a\n::error::b"}]}
    table["conditions"]["version"] = "1\x1b[31m"
    for row in table["cells"]:
        row["case"]["weights"] = "model.npz::first\n::error::c"
    recorded.write_text(json.dumps(table))
    for output_format in ("table", "markdown"):
        text = run("baseline", "show", recorded, "--format", output_format).stdout
        assert "\n::error" not in text
        assert "\x1b" not in text
        assert "model.npz::first" in text


def test_update_takes_slower_times_over_only_with_a_reason(run, recorded, rewritten):
    before, slow = recorded.read_text(), runs_of(rewritten(slowed(0.25)), 5)
    result = run("baseline", "update", recorded, *slow)
    assert result.exit_code == 1
    assert "--accept-slower" in result.stderr
    assert recorded.read_text() == before
    accept = ["--accept-slower", "exact rounding"]
    assert run("baseline", "update", recorded, *slow, *accept).exit_code == 0
    assert run("check", "--baseline", recorded, *slow).exit_code == 0
    assert "exact rounding" in run("baseline", "show", recorded).stdout
    assert run("baseline", "update", recorded, *slow).exit_code == 0
    assert "exact rounding" in run("baseline", "show", recorded).stdout


def test_a_baseline_is_never_written_over_and_left_whole_or_not_at_all(
    run, recorded, measured, tmp_path
):
    before = recorded.read_text()
    refused(run("baseline", "record", "-o", recorded, *runs_of(measured, 5)), 2, "exists")
    assert recorded.read_text() == before
    nowhere = tmp_path / "no" / "baseline.json"
    refused(run("baseline", "record", "-o", nowhere, *runs_of(measured, 5)), 2, "no directory")
    assert [path.name for path in tmp_path.iterdir()] == ["baseline.json"]


def test_fewer_than_five_runs_are_recorded_with_a_warning(run, measured, tmp_path):
    path = tmp_path / "one.json"
    result = run("baseline", "record", "-o", path, "--run", measured)
    assert result.exit_code == 0
    assert "fewer than five runs" in result.stderr


# What must not be trusted.


@pytest.mark.parametrize(
    "kind", ["the baseline", "a foreign file", "a device", "a pipe", "a link"]
)
def test_junit_never_replaces_what_is_not_ours(run, recorded, measured, tmp_path, kind):
    path = tmp_path / "there"
    if kind == "the baseline":
        path = recorded
    elif kind == "a foreign file":
        path.write_text("precious")
    elif kind == "a device":
        path = Path("/dev/full")
    elif kind == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / "elsewhere")
    before = (path.lstat().st_mode, path.read_bytes() if path.is_file() else None)
    refused(run("check", "--baseline", recorded, "--run", measured, "--junit", path), 2, str(path))
    assert (path.lstat().st_mode, path.read_bytes() if path.is_file() else None) == before


def test_junit_replaces_its_own(run, recorded, measured, tmp_path):
    command = ["check", "--baseline", recorded, *runs_of(measured, 3), "--junit", tmp_path / "j"]
    assert run(*command).exit_code == 0
    assert run(*command).exit_code == 0


@pytest.mark.parametrize("option", ["--floor", "--max-points"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1", "NaN"])
def test_a_limit_that_would_switch_the_gate_off_is_refused(run, recorded, measured, option, value):
    command = ["check", "--baseline", recorded, "--run", measured, "--profile", recorded]
    refused(run(*command, option, value), 2, option)


def test_the_same_run_never_counts_twice(run, recorded, measured, tmp_path):
    copy, torn = tmp_path / "copy.jsonl", tmp_path / "torn.jsonl"
    shutil.copy(measured, copy)
    torn.write_text("".join(measured.read_text().splitlines(keepends=True)[:5]))
    for other in (measured, copy, torn):
        twice = ["--run", measured, "--run", other]
        words = (str(measured), str(other), "the same run")
        refused(run("check", "--baseline", recorded, *twice), 2, *words)
        refused(run("baseline", "record", "-o", tmp_path / "new.json", *twice), 2, *words)
    assert not (tmp_path / "new.json").exists()


def test_update_takes_nothing_over_that_might_be_slower(run, recorded, rewritten):
    before = recorded.read_text()

    def noisy(path):
        """Runs that differ by half, so that nothing can be told."""
        options = runs_of(path, 5)
        for number, other in enumerate(options[1::2]):
            lines = [json.loads(line) for line in other.read_text().splitlines()]
            lines = [slowed(0.1 * number)(line) for line in lines]
            other.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return options

    result = run("baseline", "update", recorded, *noisy(rewritten(lambda line: line)))
    assert result.exit_code == 1
    assert "UNSURE" in result.stdout
    assert "may be slower" in result.stderr
    assert recorded.read_text() == before


def test_update_asks_for_as_many_runs_as_there_were(run, recorded, measured):
    before = recorded.read_text()
    refused(run("baseline", "update", recorded, "--run", measured), 2, "1 run", "5 are needed")
    refused(run("baseline", "update", recorded, "--runs", "4"), 2, "4 runs", "5 are needed")
    refused(run("baseline", "update", recorded, "--accept-slower", " "), 2, "--accept-slower")
    assert recorded.read_text() == before


def test_update_refuses_a_cell_that_lacks_a_time_in_some_runs(run, recorded, measured):
    options = runs_of(measured, 5)
    lines = options[1].read_text().splitlines(keepends=True)
    options[1].write_text("".join(lines[:-2]))
    refused(run("baseline", "update", recorded, *options), 2, "4 times of csr at rate")


def test_update_gates_load_efficiency_too(run, measured, tmp_path):
    was, now, baseline = (tmp_path / name for name in ("was", "now", "baseline.json"))
    row = {"predicted": True, "rows": 256, "cols": 256, "batch": 9, "dtype": "float32",
           "rate": 0.9, "group": 8, "mapping": "warp_row", "gld_efficiency_pct": 98.0}  # fmt: skip
    was.write_text(json.dumps(row) + "\n")
    now.write_text(json.dumps(row | {"gld_efficiency_pct": 90.0}) + "\n")
    runs = runs_of(measured, 5)
    run("baseline", "record", "-o", baseline, *runs, "--profile", was)
    before = baseline.read_text()
    assert run("baseline", "update", baseline, *runs, "--profile", now).exit_code == 1
    assert baseline.read_text() == before
    reason = ["--accept-slower", "half the registers"]
    assert run("baseline", "update", baseline, *runs, "--profile", now, *reason).exit_code == 0
    shown = run("baseline", "show", baseline).stdout
    assert "half the registers" in shown
    assert shown.endswith("predicted warp_row     0.9        8             90.0 %\n")
    unjudged = run("check", "--baseline", baseline, *runs)
    assert unjudged.exit_code == 0
    assert "keeps 1 load efficiency; without --profile" in unjudged.stderr
    assert run("check", "--baseline", baseline, *runs, "--strict").exit_code == 1


def test_a_failure_of_strict_says_so_everywhere(run, recorded, measured, tmp_path):
    summary, junit = tmp_path / "summary.md", tmp_path / "junit.xml"
    env = {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_ACTIONS": "true"}
    command = ["check", "--baseline", recorded, "--run", measured, "--strict", "--junit", junit]
    result = run(*command, env=env)
    headline = "Failed, though no regression is certain: with --strict UNSURE fails as well"
    assert result.exit_code == 1
    assert result.stdout.startswith(f"{headline}: 18 UNSURE (1 run against 5, floor 10 %).")
    assert summary.read_text().startswith(f"**{headline}: 18 UNSURE")
    suite = ElementTree.parse(junit).getroot()  # noqa: S314
    assert (suite.get("failures"), suite.get("skipped")) == ("18", "0")
    annotated = result.stderr.splitlines()
    assert len(annotated) == 10
    assert all(line.startswith("::error title=gpuprune") for line in annotated)


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


@pytest.mark.parametrize(
    "options",
    [
        ["--baseline", "{baseline}", "--run", "{run}", "--runs", "3"],
        ["--baseline", "{baseline}", "--run", "{run}", "--max-points", "3"],
        ["--baseline", "{baseline}", "--explain", "cser,0.9,8"],
        ["--baseline", "{baseline}", "--explain", "csr,0.95,8"],
        ["--baseline", "{baseline}", "--junit", "/proc/junit.xml"],
        ["--base", ""],
        ["--base", "  "],
    ],
)
def test_what_has_no_effect_or_no_end_is_refused_before_measuring(
    run, recorded, measured, options
):
    known = {"baseline": recorded, "run": measured}
    refused(run("check", *(option.format(**known) for option in options)), 2)


def test_sweep_options_beside_runs_are_refused_in_record(run, measured, tmp_path):
    command = ["baseline", "record", "-o", tmp_path / "b.json", "--run", measured]
    refused(run(*command, "--rates", "0.9"), 2, "--rates makes no sense with --run")
    refused(run("calibrate", "--runs", "1"), 2, "--runs")


def test_help_of_check_shows_no_backspace(run):
    assert "\\b" not in run("check", "--help").stdout


# With processes of its own: slow ones, so few.


def test_record_and_check_in_fresh_processes(run, tmp_path):
    path = tmp_path / "baseline.json"
    result = run("baseline", "record", "-o", path, "--runs", "2", *SWEEP)
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[-2] == f"{path} holds 16 cells of 2 runs."
    result = run("check", "--baseline", path, "--runs", "2", "-q")
    assert result.exit_code == 0, result.output
    assert result.stdout == "No regression: 18 SAME (2 runs against 2, floor 10 %).\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["baseline.json"]


def python_with(folder, package):
    """An interpreter that has a gpuprune of its own, as that of a virtual environment."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nPYTHONPATH={package} exec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return path


def test_head_and_base_take_turns_and_the_same_code_is_the_same(run, tmp_path):
    python = python_with(tmp_path, Path(gpuprune.__file__).parents[1])
    result = run("check", "--base", python, "--runs", "2", *SWEEP)
    assert result.exit_code == 0, result.output
    assert result.stdout == "No regression: 18 SAME (2 runs against 2, floor 10 %).\n"
    turns = [line.partition(" took")[0] for line in result.stderr.splitlines()]
    assert turns[1:] == [
        "Run 1 of 2 of base", "Run 1 of 2 of head", "Run 2 of 2 of head", "Run 2 of 2 of base"
    ]  # fmt: skip


def test_a_base_that_is_this_interpreter_is_told(run):
    result = run("check", "--base", sys.executable, "--runs", "2", *SWEEP)
    assert result.stderr.startswith(f"Warning: {sys.executable} is the Python that runs this")


def slower_package(folder):
    """Copy the package, with a CSR product that reads twice as much."""
    package = folder / "slower" / "gpuprune"
    shutil.copytree(Path(gpuprune.__file__).parent, package)
    csr = package / "contenders" / "csr" / "__init__.py"
    csr.write_text(csr.read_text() + SLOWER)
    return package.parent


SLOWER = """

_prepare = prepare


def prepare(problem, backend):
    from dataclasses import replace

    return [replace(one, bytes=2 * one.bytes) for one in _prepare(problem, backend)]
"""


def test_what_is_slower_is_confirmed_in_fresh_runs_before_it_fails(recorded, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "gpuprune", "check", "--baseline", recorded, "--runs", "2"],
        env={**os.environ, "PYTHONPATH": str(slower_package(tmp_path))},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("A regression: 1 SLOW, 17 SAME (2 runs against 5")
    said = [line.partition(" took")[0] for line in done.stderr.splitlines()]
    assert said == [
        "Run 1 of 2", "Run 2 of 2", "1 verdict is SLOW; confirming in fresh runs.",
        "Run 1 of 2", "Run 2 of 2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_an_interrupted_check_leaves_nothing_behind(recorded, tmp_path, number, code):
    junit, summary = tmp_path / "junit.xml", tmp_path / "summary.md"
    process = subprocess.Popen(
        [sys.executable, "-m", "gpuprune", "check", "--baseline", recorded, "--runs", "99",
         "--junit", junit],
        env={**os.environ, "GITHUB_STEP_SUMMARY": str(summary), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline().startswith("Run 1 of 99")
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (code, "")
    assert "Traceback" not in stderr
    assert not [one for one in running() if str(tmp_path) in one]  # nothing goes on measuring
    assert [path.name for path in tmp_path.iterdir()] == ["baseline.json"]


def running():
    """Return the command lines of all processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            found.append(path.read_text(errors="replace"))
    return found


@pytest.mark.slow
def test_calibrate_says_what_the_runner_can_see(run):
    result = run("calibrate", "--runs", "2", *SWEEP)
    assert result.exit_code == 0, result.output
    assert "The floor here is 10.0 %; 1.5 times the largest drift is 0.0 %." in result.stdout
    rows = json_rows(run("calibrate", "--runs", "2", *SWEEP, "--format", "json", "-q"))
    assert [(row["level"], row["contender"], row["verdicts"]) for row in rows] == [
        ("device", "dense", 1), ("contender", "csr", 1), ("cell", "dense", 8), ("cell", "csr", 8)
    ]  # fmt: skip
    assert all(row["visible"] >= 0.1 and row["drift_max"] == 0 for row in rows)
