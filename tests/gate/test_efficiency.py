"""Load efficiencies that a baseline keeps and a check judges."""

import json

from gpuprune.regression.efficiency import FIGURE
from tests.conftest import json_rows
from tests.gate.runs import refused, runs_of


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
    wrong = [json.dumps(row | {"gld_efficiency_pct": 1e308}), json.dumps(row | {"rate": "x"})]
    for text in ("", "{}\n", "no\n", '{"gld_efficiency_pct": -1}\n', *wrong):
        now.write_text(text)
        refused(run(*command, now), 2, str(now))


def test_what_profile_reads_above_100_percent_can_be_recorded(run, measured, tmp_path):
    metric = "smsp__sass_average_data_bytes_per_sector_mem_global_op_ld.pct"
    captured, profile, baseline = (tmp_path / name for name in ("a.csv", "a.jsonl", "b.json"))
    captured.write_text(
        f'"ID","Kernel Name","Device","CC","{metric}"\n'
        '"","","","","%"\n'
        '"0","k(int)","0","9.0","137.5"\n'
    )
    profile.write_text(run("profile", "--from", captured, "--format", "json").stdout)
    recorded = run("baseline", "record", "-o", baseline, *runs_of(measured, 5),
                   "--profile", profile)  # fmt: skip
    assert recorded.exit_code == 0, recorded.output
    assert run("baseline", "show", baseline).stdout.endswith("137.5 %\n")


def test_a_baseline_without_profile_figures_cannot_judge_any(run, recorded, tmp_path):
    profile = tmp_path / "profile"
    profile.write_text('{"gld_efficiency_pct": 1.0}\n')
    command = ["check", "--baseline", recorded, "--runs", "0", "--profile", profile]
    refused(run(*command), 4, "--profile")


def test_tensors_of_one_shape_and_both_orientations_are_told_apart(run, measured, tmp_path):
    def row(percent, weights, orientation="row"):
        return json.dumps({
            "predicted": True, "weights": weights, "rows": 256, "cols": 256, "batch": 9,
            "dtype": "float32", "orientation": orientation, "rate": 0.9, "group": 8,
            "mapping": "warp_row", "gld_efficiency_pct": percent,
        })  # fmt: skip

    was, now, baseline = (tmp_path / name for name in ("was", "now", "baseline.json"))
    was.write_text("\n".join([row(90, "m::a"), row(70, "m::b"), row(50, "m::b", "column")]))
    now.write_text("\n".join([row(80, "m::a"), row(70, "m::b"), row(60, "m::b", "column")]))
    run("baseline", "record", "-o", baseline, *runs_of(measured, 5), "--profile", was)
    command = ["check", "--baseline", baseline, "--runs", "0", "--profile", now]
    result = run(*command, "--format", "json")
    assert [(one["verdict"], one["change"]) for one in json_rows(result)] == [
        ("SLOW", -0.1),
        ("SAME", 0.0),
        ("FAST", 0.1),
    ]


def test_what_never_had_a_value_is_the_same_and_only_a_lost_one_is_missing(
    run, measured, tmp_path
):
    def launch(kernel, percent):
        definition = None if percent is None else "ncu"
        return json.dumps(
            {"tool": "ncu", "kernel": kernel, "gld_definition": definition, FIGURE: percent}
        )

    was, now, baseline = (tmp_path / name for name in ("was", "now", "baseline.json"))
    was.write_text("\n".join([launch("a", 50.0), launch("a", None), launch("b", None)]))
    now.write_text("\n".join([launch("a", None), launch("c", 50.0), launch("c", 40.0)]))
    run("baseline", "record", "-o", baseline, *runs_of(measured, 5), "--profile", was)
    command = ["check", "--baseline", baseline, "--runs", "0", "--profile"]
    itself = run(*command, was)
    assert (itself.exit_code, itself.stdout) == (
        0, "No regression: 3 SAME (0 runs against 5, floor 10 %).\n"
    )  # fmt: skip
    lost = run(*command, now, "--format", "json")
    assert lost.exit_code == 1
    assert [(one["contender"], one["verdict"], one["reason"]) for one in json_rows(lost)] == [
        ("a", "MISSING", "load efficiency was 50.0 %; the candidate has none"),
        ("a", "SAME", "neither side has a load efficiency"),
        ("b", "SAME", "neither side has a load efficiency"),
        ("c", "NEW", "load efficiency is 40.0 %; the baseline has none"),
    ]


def test_a_table_tells_what_is_missing_and_what_is_new(run, measured, tmp_path):
    def row(mapping, dtype):
        return json.dumps({
            "rows": 256, "cols": 256, "batch": 9, "dtype": dtype, "orientation": "row",
            "rate": 0.9, "group": 8, "mapping": mapping, FIGURE: 90.0,
        })  # fmt: skip

    was, now, baseline = (tmp_path / name for name in ("was", "now", "baseline.json"))
    was.write_text("\n".join([row("stream", "float32"), row("gather", "float32")]))
    now.write_text("\n".join([row("stream", "float64"), row("gather", "float32")]))
    run("baseline", "record", "-o", baseline, *runs_of(measured, 5), "--profile", was)
    command = ["check", "--baseline", baseline, "--runs", "0", "--profile", now]
    assert run(*command, "--format", "markdown").stdout.splitlines()[4:] == [
        "| MISSING   | profile: predicted stream, float32 |    0.9 |       8 |        - |      - |"
        "    - | load efficiency was 90.0 %; the candidate has none |",
        "| NEW       | profile: predicted stream, float64 |    0.9 |       8 |        - |      - |"
        "    - | load efficiency is 90.0 %; the baseline has none   |",
    ]
    assert [one["setting"] for one in json_rows(run(*command, "--format", "json"))] == [
        "float32", "float32", "float64"
    ]  # fmt: skip
    run("baseline", "update", baseline, *runs_of(measured, 5), "--profile", now,
        "--accept-slower", "float64")  # fmt: skip
    alone = run("baseline", "show", baseline).stdout
    assert "predicted stream     0.9" in alone


def test_two_kernels_of_a_contender_are_told_apart(run, measured, tmp_path):
    def row(kernel):
        return json.dumps({
            "tool": "ncu", "gld_definition": "ncu", "kernel": kernel, "contender": "csr",
            "rows": 256, "cols": 256, "batch": 9, "dtype": "float32", "rate": 0.9, "group": 8,
            FIGURE: 90.0,
        })  # fmt: skip

    profile, baseline = tmp_path / "profile", tmp_path / "baseline.json"
    profile.write_text(f"{row('partition')}\n{row('spmm')}\n")
    run("baseline", "record", "-o", baseline, *runs_of(measured, 5), "--profile", profile)
    shown = run("baseline", "show", baseline).stdout
    assert "csr, partition     0.9" in shown
    assert "csr, spmm          0.9" in shown


def test_what_profile_predicts_can_be_recorded_and_checked(run, measured, tmp_path):
    profile, baseline = tmp_path / "profile.jsonl", tmp_path / "baseline.json"
    options = ["--shape", "64x64x5", "--rates", "0.9", "--groups", "1,8", "--format", "json"]
    profile.write_text(run("profile", "--predict", *options, "-q").stdout)
    run("baseline", "record", "-o", baseline, *runs_of(measured, 5), "--profile", profile)
    result = run("check", "--baseline", baseline, "--runs", "0", "--profile", profile)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("No regression: 2 SAME")


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
    (kept,) = [
        row
        for row in json_rows(run("baseline", "show", baseline, "--format", "json"))
        if row["record"] == "efficiency"
    ]
    assert (kept["mapping"], kept["gld_efficiency_pct"]) == ("warp_row", 90.0)
    unjudged = run("check", "--baseline", baseline, *runs)
    assert unjudged.exit_code == 0
    assert "keeps 1 load efficiency; without --profile" in unjudged.stderr
    assert run("check", "--baseline", baseline, *runs, "--strict").exit_code == 1
