"""Baselines and runs that cannot be held against each other, and which exit code says so."""

import json
import os
import shutil

import pytest

from gpuprune.fresh import load_runs
from tests.gate.runs import edit, refused, unsealed
from tests.made_runs import write_run


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


@pytest.mark.parametrize(
    "command",
    [
        ("plot", "FILE", "-o", "figure.svg"),
        ("report", "FILE", "-o", "page.html"),
        ("bench", "--device", "fake", "--output", "FILE", "--resume"),
    ],
    ids=lambda command: command[0],
)
def test_a_baseline_that_is_taken_for_a_run_is_called_a_baseline(run, recorded, command):
    before = recorded.read_bytes()
    arguments = [recorded if word == "FILE" else word for word in command]
    hint = f"gpuprune baseline show {recorded} reads it"
    refused(run(*arguments), 2, f"{recorded} is a baseline, and no run", hint)
    assert recorded.read_bytes() == before


def test_a_run_that_is_taken_for_a_baseline_is_called_a_run(run, tmp_path):
    path = write_run(tmp_path / "run.jsonl")
    hint = f"gpuprune baseline record -o FILE --run {path} makes one of it"
    refused(run("baseline", "show", path), 4, f"{path} is a run, and no baseline", hint)


def test_a_baseline_that_is_taken_for_a_capture_is_called_a_baseline(run, recorded):
    named = (f"{recorded} is a baseline of gpuprune", "gpuprune baseline show FILE reads it")
    refused(run("profile", "--from", recorded), 2, *named)


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


@pytest.mark.parametrize("seconds", [0.0, -1e-3])
def test_a_candidate_with_an_impossible_time_is_refused(run, recorded, rewritten, seconds):
    def change(line):
        if line.get("samples_s"):
            line["samples_s"] = [seconds] * 2
        return line

    path = rewritten(change)
    refused(
        run("check", "--baseline", recorded, "--run", path),
        2,
        f"samples_s is {seconds} in result 1",
    )


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


def test_runs_of_one_second_without_a_cell_in_common_are_not_the_same(run, tmp_path):
    paths = [tmp_path / f"{rate}.jsonl" for rate in ("0.5", "0.9")]
    for path in paths:
        sweep = ["--device", "fake", "--shape", "8x8x2", "--rates", path.stem, "--groups", "1"]
        assert run("bench", *sweep, "--output", path).exit_code == 0
        first, _, rest = unsealed(path).read_text().partition("\n")
        path.write_text(json.dumps(json.loads(first) | {"started": "2026-01-01"}) + "\n" + rest)
    found, warnings = load_runs(paths)
    assert [{one.case.rate for one in results} for _, results in found] == [{0.5}, {0.9}]
    assert warnings == []


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


@pytest.mark.parametrize("option", ["--floor", "--max-points"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1", "NaN"])
def test_a_limit_that_would_switch_the_gate_off_is_refused(run, recorded, measured, option, value):
    command = ["check", "--baseline", recorded, "--run", measured, "--profile", recorded]
    refused(run(*command, option, value), 2, option)


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
