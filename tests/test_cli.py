"""Whole commands, their output compared to the letter where the device's clock is known."""

import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from gpuprune import contenders, environment
from gpuprune.cli import cli
from tests.conftest import assert_refused, json_rows

SMALL = ["--device", "fake", "--shape", "64x64x5", "--groups", "1,8", "--rates", "0.4,0.9"]
SMALL += ["--contenders", "csr"]

FIELDS = (
    "device device_name node threads weights rows cols batch dtype orientation score seed rate "
    "achieved_rate group contender variant status reason cache samples median_s iqr_s "
    "call_median_s speedup error nnz bytes prepare_s pays_after predicted_s bound roofline_s "
    "roofline_share"
).split()

# The clock of packing is the machine's own; tests/test_packing.py has the table.
PACKING = re.compile(r"Packing at 0.9: .*?\n\ncontender .*?\n\n", re.DOTALL)


@pytest.fixture
def versions(monkeypatch):
    monkeypatch.setattr(environment, "package_versions", lambda: {"numpy": "2.1"})
    monkeypatch.setattr("gpuprune.session.__version__", "1.2.3")


@pytest.mark.usefixtures("versions")
def test_bench_prints_speedups_break_even_and_advice(run):
    result = run("bench", *SMALL)
    assert result.exit_code == 0, result.output
    assert (
        PACKING.sub("<packing>\n\n", result.stdout)
        == """\
gpuprune 1.2.3 · a fake device, 1 thread · numpy 2.1 · cold caches

64x64 times 64x5, float32, normal random weights (seed 0), row groups scored by rms; \
dense takes 18.9 µs

Speedup of csr over dense (* fastest group at that rate)

  rate    g=1    g=8
------  -----  -----
  0.40   0.84  *0.84
  0.90   3.11  *3.11

Share of the roofline that csr reaches

  rate    g=1    g=8
------  -----  -----
  0.40   55 %   55 %
  0.90   69 %   69 %

Variant of csr: Numba.

Predicted and measured times at 0.9 (tuning: what reaching the prediction would win; \
any kernel: the most that one could win, by the roofline)

contender      group    measured    predicted  bound by      tuning    any kernel
-----------  -------  ----------  -----------  ----------  --------  ------------
dense                    18.9 µs      18.9 µs  memory          1.0x          1.0x
csr                1     6.10 µs      6.10 µs  memory          1.0x          1.5x
csr                8     6.09 µs      6.08 µs  memory          1.0x          1.5x

<packing>

Break-even rates, from which on sparse is faster, and speedups at 0.90

  group    csr even    csr at 0.90
-------  ----------  -------------
      1       0.435          3.11x
      8       0.435          3.11x

For this layer on this machine: prune single weights to 0.44 or more, or stay dense. \
The fastest measured is 3.11x, groups of 8 at 0.9.

Measured at the start: memory 954 MiB/s, cache 3.73 GiB/s, core caches 7.45 GiB/s, \
float32 1000 GFLOP/s, empty call 1.00 ns.
"""
    )
    assert result.stderr == "Measuring on fake (a fake device): 4 cases of dense, csr.\n"


@pytest.mark.usefixtures("versions")
def test_markdown_is_the_same_with_markup(run):
    stdout = run("bench", *SMALL, "--format", "markdown", "-q").stdout
    assert stdout.startswith(
        "*gpuprune 1.2.3 · a fake device, 1 thread · numpy 2.1 · cold caches*"
    )
    assert "**64x64 times 64x5, float32, normal random weights (seed 0)," in stdout
    assert (
        """
|   rate |   g=1 |    g=8 |
|-------:|------:|-------:|
|   0.40 |  0.84 | \\*0.84 |
|   0.90 |  3.11 | \\*3.11 |
"""
        in stdout
    )


def test_json_is_one_object_a_line_with_every_promised_field(run):
    result = run("bench", *SMALL, "--format", "json")
    rows = json_rows(result)
    assert [list(row) for row in rows] == [FIELDS] * 8
    dense, sparse = rows[0], rows[1]
    assert (dense["contender"], dense["speedup"], dense["status"]) == ("dense", 1.0, "ok")
    assert sparse["speedup"] == dense["median_s"] / sparse["median_s"]
    assert sparse["device"] == "fake"
    assert sparse["threads"] == 1
    assert sparse["samples"] == 10
    assert sparse["error"] < 1e-6
    assert (dense["bound"], sparse["bound"]) == ("memory", "memory")
    # The fake device takes a nanosecond a byte of the operands, and a nanosecond for the call.
    assert dense["predicted_s"] == pytest.approx(dense["median_s"])
    assert sparse["predicted_s"] == pytest.approx(sparse["bytes"] * 1e-9 + 1e-9)
    assert sparse["roofline_share"] == sparse["roofline_s"] / sparse["median_s"]
    assert result.stderr.startswith("Measuring on fake")


def test_csv_has_the_same_columns(run):
    stdout = run("bench", *SMALL, "--format", "csv", "-q").stdout
    table = list(csv.DictReader(io.StringIO(stdout)))
    assert list(table[0]) == FIELDS
    assert len(table) == 8


def test_quiet_says_nothing_on_stderr(run):
    assert run("bench", *SMALL, "-q").stderr == ""


def test_a_dry_run_measures_nothing_and_says_what_it_would(run, tmp_path):
    path = tmp_path / "run.jsonl"
    result = run("bench", "--dry-run", "--device", "fake", "--output", path)
    assert result.exit_code == 0
    assert "70 cases of dense, csr" in result.stdout
    assert "0.8, 0.82, 0.84" in result.stdout
    assert not path.exists()
    rows = json_rows(run("bench", "--dry-run", "--device", "fake", "--format", "json"))
    assert len(rows) == 70
    assert rows[0]["rate"] == 0.8


def test_a_sweep_of_several_layers_has_a_row_a_layer(run):
    result = run("bench", "--device", "fake", "--shape", "64x64x5,32x32x5", "--rates", "0.4,0.9")
    assert "64x64x5" in result.stdout
    assert "32x32x5" in result.stdout
    assert "Break-even rate of each group size" in result.stdout


def test_the_papers_figures_stand_beside_the_papers_shape(run):
    result = run(
        "bench", "--device", "fake", "--rates", "0.9", "--groups", "1,8,32", "--samples", "1", "-q"
    )
    assert "paper even" in result.stdout
    for figure in ("0.94", "0.84", "1.49x", "1.57x", "GTX 950M"):
        assert figure in result.stdout


def test_a_wrong_contender_is_a_finding(run, monkeypatch):
    from tests.cheats import stale_result

    monkeypatch.setattr("gpuprune.contenders.csr.prepare", stale_result)
    result = run("bench", *SMALL)
    assert result.exit_code == 1
    assert "csr wrong" in result.stdout


def test_environment_beats_the_file_and_an_option_beats_both(run, tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text('rates = "0.5"\ngroups = [2]\nshape = "8x8x2"\ndevice = "fake"\n')
    env = {"GPUPRUNE_RATES": "0.6", "GPUPRUNE_GROUPS": "4"}
    result = run("bench", "--config", path, "--groups", "1", "--format", "json", env=env)
    assert {(row["rate"], row["group"]) for row in json_rows(result)} == {(0.6, 1)}


def test_a_variable_that_names_no_option_is_told_with_the_one_that_was_meant(run):
    env = {"GPUPRUNE_RATS": "0.9", "GPUPRUNE_CI_JOB": "7", "GPUPRUNE_BENCH_DRY_RUN": "1"}
    result = run("bench", "--device", "fake", env=env)
    assert result.exit_code == 0
    assert result.stderr == (
        "Warning: GPUPRUNE_CI_JOB names no option and is ignored\n"
        "Warning: GPUPRUNE_RATS names no option and is ignored; did you mean GPUPRUNE_RATES?\n"
    )
    assert run("bench", "--device", "fake", "-q", env=env).stderr == ""


BAD_BENCH = {
    "rates from high to low": (["--rates", "0.98:0.8"], "0.98:0.8"),
    "a rate above one": (["--rates", "1.2"], "1.2"),
    "a rate that is no number": (["--rates", "nan"], "nan"),
    "no rates": (["--rates", ""], "rates"),
    "group 0": (["--groups", "0"], "group 0"),
    "group -1": (["--groups", "-1"], "group -1"),
    "group a": (["--groups", "a"], "'a'"),
    "a shape of one number": (["--shape", "4096"], "4096"),
    "a shape with a zero": (["--shape", "0x4x4"], "0x4x4"),
    "a negative shape": (["--shape", "4x-4x4"], "4x-4x4"),
    "a shape larger than memory": (["--shape", "9000000x9000000x50"], "9000000x9000000x50"),
    "an unknown contender": (["--contenders", "crs"], "'crs'"),
    "an unknown device": (["--device", "tpu"], "'tpu'"),
    "an unknown dtype": (["--dtype", "int8"], "'int8'"),
    "a device number that is none": (["--device", "cuda:x"], "cuda:x"),
    "more threads than cores": (["--device", "cpu", "--threads", "4096"], "4096"),
    "no threads": (["--device", "cpu", "--threads", "0"], "threads"),
    "no samples": (["--samples", "0"], "samples"),
    "a budget of nothing": (["--budget", "0"], "budget"),
    "a budget that is no number": (["--budget", "nan"], "budget"),
    "a negative seed": (["--seed", "-1"], "seed"),
    "missing weights": (["--weights", "missing.npy"], "missing.npy"),
    "a missing configuration": (["--config", "missing.toml"], "missing.toml"),
    "resume without output": (["--resume"], "--output"),
    "an unknown option": (["--ratez", "0.9"], "--ratez"),
}


@pytest.mark.parametrize(("arguments", "word"), BAD_BENCH.values(), ids=BAD_BENCH)
def test_bad_usage_is_one_error_with_a_hint_and_writes_nothing(
    run, monkeypatch, tmp_path, arguments, word
):
    monkeypatch.chdir(tmp_path)
    device = [] if "--device" in arguments else ["--device", "fake"]
    output = [] if "--resume" in arguments else ["--output", "run.jsonl"]
    assert_refused(run("bench", *device, *output, *arguments), word)
    assert list(tmp_path.iterdir()) == []


def write_nan(path):
    np.save(path, np.array([[1.0, np.nan], [2.0, 3.0]], np.float32))


def write_vector(path):
    np.save(path, np.ones(8, np.float32))


def write_pickle(path):
    np.save(path, np.array([[{}]]), allow_pickle=True)


def write_cut_off(path):
    np.save(path, np.ones((64, 64), np.float32))
    path.write_bytes(path.read_bytes()[:-9])


BAD_WEIGHTS = {
    "NaN": (write_nan, "NaN"),
    "one dimension": (write_vector, "w.npy"),
    "a pickle": (write_pickle, "pickle"),
    "a file that is cut off": (write_cut_off, "w.npy"),
    "an empty file": (lambda path: path.write_bytes(b""), "w.npy"),
}


@pytest.mark.parametrize(("write", "word"), BAD_WEIGHTS.values(), ids=BAD_WEIGHTS)
def test_bad_weights_are_refused_before_anything_is_written(run, tmp_path, write, word):
    path = tmp_path / "w.npy"
    write(path)
    out = tmp_path / "run.jsonl"
    assert_refused(
        run("bench", "--device", "fake", "--weights", path, "--output", out, "-q"), word
    )
    assert not out.exists()


def test_a_tensor_that_is_not_there_lists_near_names(run, tmp_path):
    path = tmp_path / "model.npz"
    np.savez(path, **{"layer.0.weight": np.ones((4, 4)), "head": np.ones((4, 4))})
    result = run("bench", "--device", "fake", "--weights", f"{path}::layer.0.wieght")
    assert_refused(result, "layer.0.wieght", "layer.0.weight")


def test_a_pattern_is_timed_as_it_is_and_never_ranked(run, tmp_path):
    path = tmp_path / "layer.smtx"
    path.write_text("2, 4, 4\n0 2 4\n0 1 2 3\n")
    arguments = ["bench", "--device", "fake", "--weights", path]
    rows = json_rows(run(*arguments, "--format", "json"))
    assert {(row["rate"], row["group"], row["nnz"]) for row in rows} == {(0.5, 2, 4)}
    assert_refused(run(*arguments, "--rates", "0.9"), "--rates", ".smtx")
    path = tmp_path / "layer.mtx"
    path.write_text("%%MatrixMarket matrix coordinate pattern general\n2 2 1\n1 1\n")
    assert_refused(run("bench", "--device", "fake", "--weights", path), "layer.mtx", "--as-is")


def test_a_gpu_that_is_not_there_is_refused_when_asked_for(run):
    result = run("bench", "--device", "cuda:7", "--quick")
    assert_refused(result)


def test_a_run_that_measures_nothing_says_why_and_is_no_success(run):
    result = run("bench", *SMALL, "--dtype", "float16", "-q", "--format", "json")
    assert run("bench", *SMALL, "--dtype", "float16").stdout.endswith(
        "dense skipped (4 cases): a fake device has no float16\n"
        "csr skipped (4 cases): a fake device has no float16\n"
        "Measured at the start: memory 954 MiB/s, cache 3.73 GiB/s, core caches 7.45 GiB/s, "
        "float16 1000 GFLOP/s, empty call 1.00 ns.\n"
    )
    assert {row["status"] for row in json_rows(result)} == {"skipped"}
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: nothing was measured: dense skipped: a fake device has no float16\n"
        "Hint: change what the reason names, such as --dtype, --device, or --weights\n"
    )


def test_output_that_cannot_be_written_is_refused_before_measuring(run, tmp_path):
    assert_refused(
        run("bench", *SMALL, "-q", "--output", tmp_path / "no" / "run.jsonl"), "run.jsonl"
    )
    assert_refused(run("bench", *SMALL, "-q", "--output", tmp_path), str(tmp_path))
    taken = tmp_path / "taken.jsonl"
    taken.write_text("mine")
    assert_refused(run("bench", *SMALL, "-q", "--output", taken), "taken.jsonl", "--resume")
    assert taken.read_text() == "mine"


def test_an_unknown_key_names_the_known_ones(run, tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text("ratez = [0.5]")
    assert_refused(run("bench", "--config", path), "unknown key 'ratez'", "rates")


def test_a_bug_has_a_traceback_and_its_own_exit_code(run, monkeypatch):
    monkeypatch.setattr("gpuprune.session.resolve", lambda *_: 1 / 0)
    result = run("bench", *SMALL)
    assert result.exit_code == 3
    assert "ZeroDivisionError" in result.stderr
    assert "bug" in result.stderr


def test_no_colour_where_none_is_wanted():
    done = subprocess.run(
        [sys.executable, "-m", "gpuprune", "bench", "--rates", "2"],
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1", "FORCE_COLOR": "1"},
    )
    assert done.returncode == 2
    assert "\x1b" not in done.stderr


def test_a_reader_that_has_enough_is_no_error():
    command = f"{sys.executable} -m gpuprune bench {' '.join(SMALL)} -q --format json | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["contender"] == "dense"


@pytest.mark.parametrize("arguments", ["--help", "--version", "info", "bench --help"])
def test_a_reader_that_wants_nothing_is_no_error(arguments):
    done = shell(f"{sys.executable} -m gpuprune {arguments} | true; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", ["--help", f"bench {' '.join(SMALL)} -q"])
def test_output_that_cannot_be_written_is_an_error(arguments):
    hint = "Hint: check where the output goes\n"
    done = shell(f"{sys.executable} -m gpuprune {arguments} > /dev/full")
    message = "Error: cannot write to stdout: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, message + hint)
    done = shell(f"{sys.executable} -m gpuprune {arguments} >&-")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: stdout is closed")


@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full", "2< /dev/null"])
@pytest.mark.parametrize(
    "arguments",
    ["info", f"bench {' '.join(SMALL)}", "profile --predict --shape 9x9x4 --rates 0.5 --groups 1"],
)
def test_a_stderr_that_cannot_be_written_costs_no_result(arguments, stderr):
    done = shell(f"{sys.executable} -m gpuprune {arguments} {stderr}")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) > 5


@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full"])
def test_a_refusal_that_cannot_be_told_keeps_its_exit_code(stderr):
    assert shell(f"{sys.executable} -m gpuprune bench --rates 2 {stderr}").returncode == 2


def test_a_file_takes_no_complaints_where_stderr_is_closed(tmp_path):
    path = tmp_path / "run.jsonl"
    program = f"""
import os
from gpuprune.cli import streams
streams.spare_results()
with open({str(path)!r}, "w") as file:
    os.write(2, b"complaint")
    file.write("result")
"""
    done = shell(f"{sys.executable} -c {shlex.quote(program)} <&- 2>&-")
    assert (done.returncode, path.read_text()) == (0, "result")


def test_control_characters_of_others_do_not_reach_the_terminal(run):
    result = run("bench", "--config", "a\x1b]0;pwn\x07\n.toml")
    assert_refused(result, r"a\x1b]0;pwn\x07\n.toml")
    assert_refused(run("\x1b[31mred"), r"\x1b[31mred")


def shell(command):
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True)


def test_the_bare_command_shows_its_help_and_is_bad_usage(run):
    result = run()
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == run("--help").stdout


def test_a_full_disk_keeps_what_was_measured(tmp_path):
    path = tmp_path / "run.jsonl"
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"ulimit -f 64; exec {sys.executable} -m gpuprune bench --device fake --shape 8x8x2 "
            f"--samples 200 --output {path}",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "safe in" in done.stderr
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert records[0]["record"] == "run"
    assert {record["record"] for record in records[1:]} == {"result"}


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "w.npy"
    np.save(path, np.random.default_rng(0).standard_normal((32, 64)).astype(np.float32))
    return path


def test_prune_writes_the_pruned_file_and_inspect_finds_rate_and_group(run, weights, tmp_path):
    out = tmp_path / "pruned.npy"
    result = run("prune", weights, out, "--rate", 0.9, "--group", 8, "--format", "json")
    assert result.exit_code == 0, result.output
    (row,) = json_rows(result)
    assert (row["tensor"], row["rows"], row["cols"], row["group"]) == ("w.npy", 32, 64, 8)
    assert row["rate"] == pytest.approx(0.9, abs=0.01)
    values, pruned = np.load(weights), np.load(out)
    assert row["energy_kept"] == pytest.approx((pruned**2).sum() / (values**2).sum())
    (found,) = json_rows(run("inspect", out, "--format", "json"))
    assert found["rate"] == row["rate"]
    assert found["row_group"] == 8
    table = run("inspect", out).stdout
    assert "row group" in table
    assert f"{100 * row['rate']:.1f} %" in table


def test_weights_that_are_zero_already_are_told_by_prune_and_bench(run, tmp_path):
    zeros = tmp_path / "zeros.npy"
    np.save(zeros, np.zeros((8, 8), np.float32))
    told = f"All of the weights of {zeros} are 0 already, more than a rate of 0.5 removes."
    result = run("prune", zeros, tmp_path / "out.npy", "--rate", "0.5", "--group", "2")
    assert (result.exit_code, result.stderr) == (0, f"{told}\n")
    arguments = ["--device", "fake", "--weights", zeros, "--rates", "0.5", "--groups", "1,2"]
    result = run("bench", *arguments, "--contenders", "csr")
    assert result.exit_code == 0
    assert result.stderr.splitlines()[0] == f"{told} --as-is times what is there."


def test_a_tensor_whose_name_is_empty_is_not_taken_for_its_file(run, tmp_path):
    bench = ("bench", "--device", "fake", "--rates", "0.9", "--groups", "8")
    source, out = tmp_path / "w.safetensors", tmp_path / "pruned.safetensors"
    save_file({"": np.random.default_rng(0).standard_normal((32, 64), np.float32)}, source)
    pruned = run("prune", source, out, "--rate", 0.9, "--group", 8)
    found = run("inspect", out)
    assert [result.stdout.splitlines()[-1].split()[0] for result in (pruned, found)] == ["''"] * 2
    (row,) = json_rows(run("inspect", out, "--format", "json"))
    assert row["tensor"] == ""
    assert ", '', row groups" in run(*bench, "--weights", source).stdout


def test_what_prune_wrote_can_be_timed_as_it_is(run, weights, tmp_path):
    out = tmp_path / "pruned.npy"
    run("prune", weights, out, "--rate", 0.75, "--group", 4)
    result = run("bench", "--device", "fake", "--weights", out, "--as-is", "--format", "json")
    rows = json_rows(result)
    assert {(row["rate"], row["group"]) for row in rows} == {(0.75, 4)}
    assert rows[0]["weights"] == str(out)
    table = run("bench", "--device", "fake", "--weights", out, "--as-is").stdout
    assert "pruned.npy" in table


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--rate", "1.5", "--group", "8"], "1.5"),
        (["--rate", "nan", "--group", "8"], "nan"),
        (["--rate", "0.9", "--group", "0"], "0"),
        (["--rate", "0.9"], "--group"),
        (["--rate", "0.9", "--group", "8", "--tensor", "nothing*"], "--tensor"),
    ],
)
def test_prune_refuses_what_makes_no_sense_and_writes_nothing(
    run, weights, tmp_path, options, word
):
    assert_refused(run("prune", weights, tmp_path / "out.npy", *options), word)
    assert [path.name for path in tmp_path.iterdir()] == ["w.npy"]


def test_prune_writes_over_nothing_but_by_force(run, weights, tmp_path):
    out = tmp_path / "out.npy"
    out.write_text("mine")
    arguments = ["prune", weights, out, "--rate", "0.5", "--group", "1"]
    assert_refused(run(*arguments), "out.npy", "--force")
    assert out.read_text() == "mine"
    assert run(*arguments, "--force").exit_code == 0
    assert_refused(run("prune", weights, weights, "--rate", "0.5", "--group", "1", "--force"))


def test_info_lists_versions_devices_and_contenders_with_reasons(run):
    result = run("info", "--format", "json")
    assert result.exit_code == 0
    rows = {(row["kind"], row["name"]): row["value"] for row in json_rows(result)}
    assert ("software", "numpy") in rows
    assert ("device", "cpu") in rows
    assert rows["contender on cpu", "dense"].startswith("Dense product")
    assert rows["contender on cpu", "dense_tf32"].startswith("not here: ")
    for name in ("row_group", "column_group"):
        assert rows["contender on cpu", name] == contenders.describe(name)
    assert "dense" in run("info").stdout


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_help_of_every_command_ends_with_examples(run, name):
    text = run(name, "--help").stdout
    assert "Examples:\n" in text
    assert text.split("Examples:\n")[1].strip().startswith("gpuprune ")


def test_names_that_would_run_or_break_are_shown_as_text(run, tmp_path):
    path = Path(tmp_path / "m.safetensors")
    evil = "=cmd|\x1b[31m[/x]\n::error::</script>"
    save_file({evil: np.ones((8, 8), np.float32)}, path)
    for output_format in ("table", "markdown", "csv"):
        result = run("inspect", path, "--format", output_format)
        assert result.exit_code == 0, result.output
        if output_format != "csv":
            assert "\x1b" not in result.stdout
            assert "\n::error::" not in result.stdout
        else:
            assert "'=cmd" in result.stdout


def test_what_a_torn_run_lost_is_told_even_when_quiet(run, tmp_path):
    path = tmp_path / "run.jsonl"
    command = ["bench", *SMALL, "--output", path]
    assert run(*command).exit_code == 0
    path.write_bytes(path.read_bytes()[:3000])
    torn = f"Warning: {path}: the last line is incomplete or damaged and is left out ("
    said = run("report", path, "-o", tmp_path / "page.html", "-q").stderr
    assert said.replace("\n", " ").startswith(torn)
    said = run(*command, "--resume", "-q").stderr
    assert said.replace("\n", " ").startswith(torn)
