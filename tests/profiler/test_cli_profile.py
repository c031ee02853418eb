"""`gpuprune profile` as a command: what it prints, where, and how it ends."""

import csv
import gzip
import io
import json
import os
import pty
import re
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from gpuprune import report
from gpuprune.backends import open_backend
from gpuprune.backends.fake import FakeBackend
from gpuprune.cli import cli, profile_console, terminal
from gpuprune.errors import GpupruneError
from gpuprune.profiler import model, tables
from gpuprune.profiler.command import Profiler
from gpuprune.profiler.live import Capture, Launch
from gpuprune.profiler.mappings import MAPPINGS, OWN_KERNELS
from gpuprune.profiler.parse import KernelProfile
from gpuprune.profiler.prediction import predict_cases
from gpuprune.profiler.target import Range
from gpuprune.records import Case
from tests.conftest import assert_refused, json_rows

SMALL = ("--shape", "64x64x8", "--rates", "0.5,0.75", "--groups", "1,8", "--seed", "3")

NVPROF = """\
==7== NVPROF is profiling process 7, command: ./spmm
==7== Profiling result:
==7== Metric result:
"Device","Kernel","Invocations","Metric Name","Metric Description","Min","Max","Avg"
"Tesla K20c (0)","csrmm<float>(int, int)",3,"gld_efficiency","Global Memory Load Efficiency",\
66.000000%,120.500000%,82.250000%
"Tesla K20c (0)","csrmm<float>(int, int)",3,"gst_efficiency","Global Memory Store Efficiency",\
100.000000%,100.000000%,100.000000%
"""

SECTORS = "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum"
LOAD = "smsp__sass_average_data_bytes_per_sector_mem_global_op_ld.pct"

NCU = """\
"ID","Process ID","Process Name","Host Name","Kernel Name","Context","Stream","Block Size",\
"Grid Size","Device","CC","l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum"
"","","","","","","","","","","","sector"
"0","7","spmm","127.0.0.1","sgemm","1","7","(256, 1, 1)","(64, 1, 1)","0","8.0","4096"
"""


@pytest.fixture
def nvprof_file(tmp_path):
    path = tmp_path / "nvprof.csv"
    path.write_text(NVPROF)
    return path


@pytest.fixture
def ncu_file(tmp_path):
    path = tmp_path / "ncu.csv"
    path.write_text(NCU)
    return path


def test_live_run_without_a_gpu_is_refused_and_points_to_the_prediction(run):
    assert_refused(run("profile", *SMALL), "measured on a GPU", "--predict", "--from FILE")


def test_cpu_has_no_load_efficiency_to_measure(run):
    assert_refused(run("profile", *SMALL, "--device", "cpu"), "'cpu' is none", "--predict")


def test_prediction_is_a_table_that_says_what_it_is(run):
    result = run("profile", "--predict", *SMALL, "--mapping", "gather")
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        f"Predicted, not measured: global load efficiency in per cent by the mapping gather: "
        f"{MAPPINGS['gather']}\n"
        "\n"
        "64x64 times 64x8, float32: distinct bytes, as ncu counts\n"
        "\n"
        "rate      g=1    g=8\n"
        "------  -----  -----\n"
        "0.50     51.0   95.8\n"
        "0.75     30.7   92.0\n"
        "\n"
        "64x64 times 64x8, float32: bytes of all lanes, as nvprof counts\n"
        "\n"
        "rate      g=1    g=8\n"
        "------  -----  -----\n"
        "0.50     60.8  114.3\n"
        "0.75     42.5  127.3\n"
    )
    assert result.stderr == ""


def test_prediction_in_json_is_one_object_a_case(run):
    rows = json_rows(run("profile", "--predict", *SMALL, "--format", "json"))
    assert [(row["group"], row["rate"]) for row in rows] == [
        (1, 0.5),
        (1, 0.75),
        (8, 0.5),
        (8, 0.75),
    ]
    for row in rows:
        assert row["predicted"] is True
        assert row["mapping"] == "row_major"
        assert 0 < row["gld_efficiency_pct"] <= row["nvprof_style_pct"]
        assert (row["error_points"], row["sampled_rows"]) == (0.0, 64)


def test_prediction_says_which_rate_was_reached(run):
    asked = ("profile", "--predict", "--shape", "64x64x8", "--rates", "0.5,0.9", "--groups", "1,8")
    asked += ("--min-groups-per-row", 4)
    rows = json_rows(run(*asked, "--format", "json"))
    assert [(row["group"], row["rate"], row["achieved_rate"]) for row in rows] == [
        (1, 0.5, 0.5),
        (1, 0.9, 0.89990234375),
        (8, 0.5, 0.5),
        (8, 0.9, 0.5),
    ]
    table = run(*asked).stdout.split("\n\n")[2]
    assert [line.split("  ")[0] for line in table.splitlines()] == [
        "rate",
        "------",
        "0.50",
        "0.90",
    ]
    assert "reached, g=8" in table
    assert "reached, g=1" not in table
    assert table.splitlines()[-1].split()[-1] == "0.50"


def test_rates_that_differ_look_different(run):
    result = run(
        *("profile", "--predict", "--shape", "64x64x8", "--groups", 1),
        *("--rates", "0.9991,0.9994,0.99999"),
    )
    rates = [line.split()[0] for line in result.stdout.splitlines() if line.startswith("0.")]
    assert rates == ["0.9991", "0.9994", "0.99999"] * 2


def test_prediction_that_is_interrupted_shows_what_it_has(run, monkeypatch):
    def predict(cases, mapping):
        yield from islice(predict_cases(cases, mapping), 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(profile_console, "predict_cases", predict)
    result = run("profile", "--predict", *SMALL)
    assert result.exit_code == 130
    assert result.stderr == "2 of 4 cases predicted.\n\nInterrupted.\n"
    grid = result.stdout.split("\n\n")[2]
    assert [line.split()[0] for line in grid.splitlines()] == ["rate", "------", "0.50", "0.75"]
    in_csv = run("profile", "--predict", *SMALL, "--format", "csv")
    assert len(in_csv.stdout.splitlines()) == 3


def test_options_that_change_no_prediction_are_told(run):
    result = run("profile", "--predict", *SMALL, "--device", "cpu", "--samples", 3)
    assert result.exit_code == 0
    assert result.stderr == "Note: --device, --samples do not change a prediction.\n"
    alone = run("profile", "--predict", *SMALL, "--device", "cpu")
    assert alone.stderr == "Note: --device does not change a prediction.\n"


def test_prediction_in_csv_has_a_header_and_a_line_a_case(run):
    result = run("profile", "--predict", *SMALL, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert len(rows) == 4
    assert rows[0]["predicted"] == "True"


def test_papers_shape_has_the_papers_figures_beside_it(run):
    result = run(
        *("profile", "--predict", "--rates", "0.8,0.98", "--groups", "1,8"),
        *("--mapping", "half_warp_stream"),
    )
    assert [line.split() for line in result.stdout.splitlines()][-2:] == [
        ["0.80", "70.4", "67", "101.4", ">99"],
        ["0.98", "78.0", "82", "113.3", ">99"],
    ]

    assert result.stdout.count("paper") == 2  # nvprof's figures: in the heading of its grid alone


@pytest.mark.parametrize(
    "otherwise",
    [("--orientation", "column"), ("--dtype", "float64"), ("--score", "mean")],
)
def test_what_the_paper_did_not_measure_has_no_figures_of_the_papers(run, otherwise):
    result = run("profile", "--predict", "--rates", "0.98", "--groups", "8", *otherwise)
    assert "paper" not in result.stdout


def test_sampling_error_is_printed_as_what_it_is(run, monkeypatch):
    monkeypatch.setattr(model, "_FEWEST_NONZEROS", 3000)
    asked = ("profile", "--predict", "--shape", "512x512x50", "--rates", "0.9", "--groups", "1")
    (row,) = json_rows(run(*asked, "--format", "json"))
    assert 0 < row["error_points"] < 0.1
    assert row["sampled_rows"] < 512
    (within,) = set(re.findall(r"each within (\S+) points", run(*asked).stdout))
    assert 0 <= float(within) - row["error_points"] < 0.001


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("orientation", ["row", "column"])
def test_every_mapping_predicts_what_others_pruned_in_its_orientation(
    run, mapping, orientation, tmp_path
):
    kept = np.repeat(np.random.default_rng(0).random((64, 16)) < 0.3, 8, axis=1)
    weights = kept.astype(np.float32)
    np.save(tmp_path / "pruned.npy", weights if orientation == "row" else weights.T)
    result = run(
        *("profile", "--predict", "--weights", tmp_path / "pruned.npy", "--as-is"),
        *("--orientation", orientation, "--mapping", mapping, "--format", "json"),
    )
    if mapping in OWN_KERNELS and not mapping.startswith(orientation):
        assert_refused(result, f"and these groups are of {orientation}", "--orientation", mapping)
        return
    (row,) = json_rows(result)
    assert (row["mapping"], row["group"]) == (mapping, 8)
    assert (row["rate"], row["orientation"]) == (1 - kept.mean(), orientation)
    assert 0 < row["gld_efficiency_pct"] <= 100


def test_help_fits_a_terminal_of_80_columns(run):
    result = run("profile", "--help", env={"COLUMNS": "80"})
    assert [line for line in result.stdout.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--predict", "--keep", "x.csv"), "--keep makes no sense with --predict"),
        (("--predict", "--profiler", "/bin/true"), "--profiler makes no sense with --predict"),
        (("--from", "x.csv", "--rates", "0.9"), "--rates makes no sense with --from"),
        (("--from", "x.csv", "--predict"), "--predict makes no sense with --from"),
        (("--predict", "--mapping", "tiles"), "half_warp_stream"),
        (("--predict", "--mapping", "column_group"), "is of --orientation column"),
        (("--predict", "--mapping", "row_group", "--dtype", "float64"), "is of float32"),
        (("--predict", "--rates", "2"), "rate 2 is not between 0 and 1"),
        (("--from", "missing.csv"), "missing.csv"),
        (("--from", ""), "Invalid value for '--from': '' names no file"),
    ],
)
def test_what_makes_no_sense_is_refused(run, arguments, words):
    assert_refused(run("profile", *arguments), words)


def test_layer_that_does_not_fit_into_memory_is_refused(run):
    result = run("profile", "--predict", "--shape", "1000000x1000000x50")
    assert_refused(result, "shape 1000000x1000000x50 needs about", "take a smaller --shape")


def test_environment_may_hold_options_that_from_does_not_need(run, nvprof_file):
    assert run("profile", "--from", nvprof_file, env={"GPUPRUNE_RATES": "0.9"}).exit_code == 0


def test_captured_kernels_are_a_table_with_the_definition(run, nvprof_file, ncu_file):
    result = run("profile", "--from", nvprof_file, "--from", ncu_file)
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        "Measured by nvprof (bytes of all lanes, as nvprof counts), on Tesla K20c (0):\n"
        "\n"
        "kernel                  source        invocations    load %    min %    max %    "
        "store %\n"
        "----------------------  ----------  -------------  --------  -------  -------  "
        "---------\n"
        "csrmm<float>(int, int)  nvprof.csv              3      82.2     66.0    120.5      "
        "100.0\n"
        "\n"
        "Measured by ncu (distinct bytes, as ncu counts), on CC 8.0 (0):\n"
        "\n"
        "kernel    source      launch  load %              sectors\n"
        "--------  --------  --------  ----------------  ---------\n"
        "sgemm     ncu.csv          0  not in this file       4096\n"
    )


def test_what_a_file_lacks_is_told_with_one_command_that_collects_it_all(run, ncu_file):
    assert run("profile", "--from", ncu_file).stderr == (
        "Note: not in this file: load efficiency, store efficiency, requests, L1 hit rate, "
        "L2 hit rate, DRAM bytes read, occupancy, duration; collect with: "
        "ncu --target-processes all --cache-control none --clock-control none --csv --page raw "
        f"--print-units base --metrics {LOAD},"
        "smsp__sass_average_data_bytes_per_sector_mem_global_op_st.pct,"
        "l1tex__t_requests_pipe_lsu_mem_global_op_ld.sum,l1tex__t_sector_hit_rate.pct,"
        "lts__t_sector_hit_rate.pct,dram__bytes_read.sum,"
        "sm__warps_active.avg.pct_of_peak_sustained_active,gpu__time_duration.sum "
        "--log-file profile.csv PROGRAM\n"
    )


@pytest.mark.parametrize("width", [80, 100, 120])
def test_table_fits_the_terminal_and_says_what_it_leaves_out(run, width, monkeypatch):
    monkeypatch.setattr(terminal, "width", lambda stream: width)
    captures = Path(__file__).parent / "captures"
    files = [word for path in sorted(captures.iterdir()) for word in ("--from", path)]
    result = run("profile", *files)
    rows = [line for line in result.stdout.splitlines() if not line.startswith("Measured")]
    assert [line for line in rows if len(line) > width] == []
    assert "Left out for want of width: " in result.stderr


def test_markdown_has_whole_names_and_every_column(run, ncu_file, monkeypatch):
    monkeypatch.setattr(terminal, "width", lambda stream: 80)
    name = "void spmm<" + "float, " * 20 + "1>(int)"
    ncu_file.write_text(NCU.replace("sgemm", name))
    result = run("profile", "--from", ncu_file, "--format", "markdown")
    assert report.escape(name) in result.stdout
    assert "sectors" in result.stdout


def test_value_that_the_file_has_none_of_is_not_said_to_be_missing(run, ncu_file):
    in_percent = NCU.replace(SECTORS, LOAD).replace('"sector"', '"%"')
    ncu_file.write_text(in_percent.replace("4096", "(!) nan"))
    result = run("profile", "--from", ncu_file)
    assert result.stdout.splitlines()[-1].split() == "sgemm 0 no value".split()
    assert result.stderr.startswith(
        'Note: no value for the load efficiency of "sgemm": the file says "(!) nan"\n'
        "Note: not in this file: store efficiency, "
    )
    (row,) = json_rows(run("profile", "--from", ncu_file, "--format", "json"))
    assert (row["gld_efficiency_pct"], row["no_value"]) == (None, {LOAD: "(!) nan"})


def test_captured_kernels_in_json_are_one_object_each(run, nvprof_file, ncu_file):
    result = run("profile", "--from", nvprof_file, "--from", ncu_file, "--format", "json")
    csrmm, sgemm = json_rows(result)
    assert csrmm == {
        "kernel": "csrmm<float>(int, int)",
        "tool": "nvprof",
        "device": "Tesla K20c (0)",
        "launch": None,
        "invocations": 3,
        "gld_efficiency_pct": 82.25,
        "gld_min_pct": 66.0,
        "gld_max_pct": 120.5,
        "gld_definition": "nvprof",
        "gst_efficiency_pct": 100.0,
        "metrics": {"gld_efficiency": 82.25, "gst_efficiency": 100.0},
    }
    assert (sgemm["launch"], sgemm["gld_efficiency_pct"], sgemm["gld_definition"]) == (
        0,
        None,
        None,
    )


def test_captured_kernels_in_csv_keep_their_metrics_in_one_cell(run, nvprof_file):
    result = run("profile", "--from", nvprof_file, "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(result.stdout))
    assert json.loads(row["metrics"])["gld_efficiency"] == 82.25


@pytest.fixture
def many_launches(tmp_path):
    """More launches than a table for people shows: of each kernel, at 0, 1, ... 99 %."""
    rows = [
        f'"{at}","7","spmm","127.0.0.1","kernel_{at // 100}","1","7","(256, 1, 1)","(64, 1, 1)",'
        f'"0","8.0","{at % 100}.00"\n'
        for at in range(profile_console.MAX_ROWS + 100)
    ]
    path = tmp_path / "many.csv"
    header, units, _ = NCU.replace(SECTORS, LOAD).replace('"sector"', '"%"').splitlines()
    path.write_text("\n".join([header, units, ""]) + "".join(rows))
    return path


def test_thousands_of_launches_are_a_row_a_kernel(run, many_launches):
    result = run("profile", "--from", many_launches)
    title, _, _, _, first, *_, last = result.stdout.splitlines()
    assert title == "Measured by ncu (distinct bytes, as ncu counts), on CC 8.0 (0):"
    assert first.split() == "kernel_0 100 49.5 0.0 99.0".split()
    assert last.split()[0] == "kernel_20"
    assert result.stderr.startswith("A row a kernel; --format json or csv has each launch.\n")


@pytest.mark.parametrize("output_format", ["json", "csv"])
def test_thousands_of_launches_are_each_written_for_programs(run, many_launches, output_format):
    result = run("profile", "--from", many_launches, "--format", output_format)
    rows = (
        json_rows(result)
        if output_format == "json"
        else list(csv.DictReader(io.StringIO(result.stdout)))
    )
    assert [int(row["launch"]) for row in rows] == list(range(profile_console.MAX_ROWS + 100))
    assert float(rows[1001]["gld_efficiency_pct"]) == 1.0


def test_dash_reads_from_stdin():
    result = CliRunner().invoke(cli, ["profile", "--from", "-", "--format", "json"], input=NVPROF)
    assert [row["kernel"] for row in json_rows(result)] == ["csrmm<float>(int, int)"]


def test_closed_stdin_is_refused():
    command = f"{sys.executable} -m gpuprune profile --from - <&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "Error: stdin is closed, and --from - reads it\nHint: leave out `<&-`\n"
    )


def test_compressed_file_says_how_it_is_unpacked(run, tmp_path):
    path = tmp_path / "run.csv.gz"
    path.write_bytes(gzip.compress(NVPROF.encode()))
    assert_refused(run("profile", "--from", path), f"gunzip -c {path} | gpuprune profile --from -")


def test_file_without_a_kernel_is_a_warning_beside_one_with(run, nvprof_file, tmp_path):
    (tmp_path / "empty.csv").write_text("")
    result = run("profile", "--from", tmp_path / "empty.csv", "--from", nvprof_file)
    assert result.exit_code == 0
    assert "csrmm" in result.stdout
    warning, hint, *_ = result.stderr.splitlines()
    assert warning == f"Warning: {tmp_path / 'empty.csv'} is empty"
    assert hint.startswith("Hint: capture it again: ncu")


@pytest.mark.parametrize("missing_first", [True, False])
def test_file_that_is_not_there_costs_no_other_its_kernels(run, nvprof_file, missing_first):
    paths = ["nothere.csv", nvprof_file] if missing_first else [nvprof_file, "nothere.csv"]
    result = run("profile", *(word for path in paths for word in ("--from", path)))
    assert result.exit_code == 0
    assert "csrmm" in result.stdout
    assert result.stderr.startswith("Warning: there is no file nothere.csv\nHint: ")


def test_file_that_cannot_be_read_alone_is_refused(run, tmp_path):
    assert_refused(
        run("profile", "--from", "nothere.csv"), "Error: there is no file nothere.csv\n"
    )
    loop = tmp_path / "loop.csv"
    loop.symlink_to(loop)
    assert_refused(run("profile", "--from", loop), f"{loop} cannot be read: Too many levels")


def test_file_that_is_given_twice_is_refused(run, nvprof_file, tmp_path):
    twice = run("profile", "--from", nvprof_file, "--from", nvprof_file)
    assert_refused(twice, f"--from: {nvprof_file} is given twice")
    (tmp_path / "link.csv").symlink_to(nvprof_file)
    linked = run("profile", "--from", tmp_path / "link.csv", "--from", nvprof_file)
    assert_refused(linked, f"--from: {tmp_path / 'link.csv'} and {nvprof_file} are one file")
    (tmp_path / "hard.csv").hardlink_to(nvprof_file)
    linked = run("profile", "--from", tmp_path / "hard.csv", "--from", nvprof_file)
    assert_refused(linked, f"--from: {tmp_path / 'hard.csv'} and {nvprof_file} are one file")
    assert_refused(run("profile", "--from", "-", "--from", "-"), "--from: - is given twice")


def test_no_kernel_in_any_file_is_an_error(run, tmp_path):
    (tmp_path / "empty.csv").write_text("")
    assert_refused(run("profile", "--from", tmp_path / "empty.csv"), "empty.csv")


class FakeGpu(FakeBackend):
    """A device with a compute capability, for what comes before and after the profiler."""

    def facts(self):
        return {**super().facts(), "compute_capability": "8.0"}


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """A machine on which ncu sees what the test says."""
    ncu = tmp_path / "ncu"
    ncu.write_text("#!/bin/sh\n")
    ncu.chmod(0o755)
    called = {}

    def profile_live(job, profiler, metrics, *, asked, keep, advance):
        called.update(job=job, profiler=profiler, metrics=metrics, keep=keep)
        advance(len(job.ranges))
        return Capture(
            launches=tuple(_launch(product) for product in job.ranges),
            warnings=("the profiler reports: a complaint",),
        )

    def open_device(device, threads):
        return (FakeGpu(), None) if device == "cuda" else open_backend(device, threads)

    monkeypatch.setattr(profile_console, "open_backend", open_device)
    monkeypatch.setattr(profile_console.live, "profile_live", profile_live)
    return ncu, called


def _launch(product):
    return Launch(
        profile=KernelProfile(
            kernel=f"{product.contender}_kernel",
            tool="ncu",
            device="A100 (0)",
            launch=product.number,
            invocations=None,
            gld_efficiency_pct=50.0 + product.number,
            gld_min_pct=None,
            gld_max_pct=None,
            gld_definition="ncu",
            gst_efficiency_pct=None,
            metrics={"gld_transactions": 100.0},
        ),
        case=product.case,
        contender=product.contender,
        variant="row-major" if product.contender == "csr" else None,
        coverage_pct=98.75,
    )


def test_measured_stands_beside_predicted(run, gpu, tmp_path):
    ncu, called = gpu
    result = run(
        *("profile", *SMALL[:2], "--rates", "0.5", "--groups", "1,8", "--contenders", "csr"),
        *("--mapping", "gather", "--profiler", ncu, "--keep", tmp_path / "kept.csv"),
    )
    assert result.exit_code == 0, result.output
    heading, mapping, *table = [line for line in result.stdout.splitlines() if line]
    assert heading == ("Global load efficiency measured by ncu (distinct bytes, as ncu counts).")
    assert mapping == f"Predicted for csr by the mapping gather: {MAPPINGS['gather']}"
    assert [line.split() for line in table[2:]] == [
        "dense - 64x64x8 1 0.50 1 50.0 98.8 -".split(),
        "dense - 64x64x8 8 0.50 1 52.0 98.8 -".split(),
        "csr row-major 64x64x8 1 0.50 1 51.0 98.8 50.9".split(),
        "csr row-major 64x64x8 8 0.50 1 53.0 98.8 95.8".split(),
    ]
    assert result.stderr.splitlines() == [
        f"Profiling 4 products (dense, csr) with {ncu}: about 0:19.",
        "Warning: the profiler reports: a complaint",
    ]
    assert called["profiler"] == Profiler(tool="ncu", path=ncu)
    assert called["keep"] == tmp_path / "kept.csv"
    assert called["job"].device == "cuda"


def test_own_kernels_stand_beside_what_is_predicted_for_them(run, gpu):
    ncu, _ = gpu
    result = run(
        *("profile", *SMALL[:2], "--rates", "0.5", "--groups", "8", "--profiler", ncu, "-q"),
        *("--contenders", "csr,row_group,column_group"),
    )
    assert result.exit_code == 0, result.output
    _, of_csr, of_rows, *table = [line for line in result.stdout.splitlines() if line]
    assert of_csr == f"Predicted for csr by the mapping row_major: {MAPPINGS['row_major']}"
    assert of_rows == f"Predicted for row_group by the mapping row_group: {MAPPINGS['row_group']}"
    predicted = {}
    for mapping in ("row_major", "row_group"):
        asked = (*SMALL[:2], "--rates", "0.5", "--groups", "8", "--mapping", mapping)
        (row,) = json_rows(run("profile", "--predict", *asked, "--format", "json"))
        predicted[mapping] = f"{row['gld_efficiency_pct']:.1f}"
    assert {line.split()[0]: line.split()[-1] for line in table[2:]} == {
        "dense": "-",
        "csr": predicted["row_major"],
        "row_group": predicted["row_group"],
        "column_group": "-",  # its kernel is of the other orientation
    }


@pytest.mark.parametrize("asked", ["row_group", "column_group"])
def test_mapping_of_another_kernel_is_none_of_the_compressed_product(run, gpu, asked):
    ncu, _ = gpu
    result = run(
        *("profile", *SMALL, "--contenders", "csr", "--profiler", ncu, "--format", "json", "-q"),
        *("--mapping", asked),
    )
    assert {row["predicted_pct"] for row in json_rows(result)} == {None}


def test_live_kernels_in_json_carry_their_case_and_the_prediction(run, gpu):
    ncu, _ = gpu
    result = run(
        *("profile", *SMALL, "--contenders", "csr", "--profiler", ncu, "--format", "json", "-q")
    )
    rows = json_rows(result)
    assert len(rows) == 8
    assert {key: rows[1][key] for key in ("contender", "variant", "rate", "group", "mapping")} == {
        "contender": "csr",
        "variant": "row-major",
        "rate": 0.5,
        "group": 1,
        "mapping": "row_major",
    }
    assert (rows[1]["weights"], rows[1]["orientation"], rows[1]["score"]) == (None, "row", "rms")
    assert rows[1]["gld_efficiency_pct"] == 51.0
    assert rows[1]["coverage_pct"] == 98.75
    assert 0 < rows[1]["predicted_pct"] <= 100
    assert rows[0]["predicted_pct"] is None
    assert result.stderr == "Warning: the profiler reports: a complaint\n"


def test_run_that_broke_off_shows_what_it_has_and_fails(run, gpu, monkeypatch):
    ncu, _ = gpu
    whole = profile_console.live.profile_live

    def broken_off(*arguments, **named):
        failure = GpupruneError("ncu was ended by SIGKILL", hint="take a smaller sweep")
        return replace(whole(*arguments, **named), failure=failure)

    monkeypatch.setattr(profile_console.live, "profile_live", broken_off)
    result = run("profile", *SMALL, "--profiler", ncu, "--format", "json", "-q")
    assert len(json_rows(result)) == 12
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-2:] == [
        "Error: ncu was ended by SIGKILL",
        "Hint: take a smaller sweep",
    ]


def test_profiler_that_is_not_there_is_refused(run, gpu):
    assert_refused(run("profile", *SMALL, "--profiler", "/no/ncu"), "'/no/ncu'", "ncu or nvprof")


@pytest.mark.parametrize(
    ("kernels", "average"),
    [
        ([(50.0, 300.0), (100.0, 100.0)], 62.5),
        ([(50.0, None)], 50.0),
        ([(50.0, 300.0), (None, 0.0)], 50.0),  # a memset loads nothing
        ([(50.0, 300.0), (None, 100.0)], None),
        ([(50.0, 300.0), (60.0, None)], None),
    ],
)
def test_kernels_of_one_product_are_averaged_by_their_sectors(kernels, average):
    product = Range(
        number=0, case=Case(rows=1, cols=1, batch=1, rate=0.0, group=1), contender="csr"
    )
    profiles = [
        _launch(product).profile._replace(
            gld_efficiency_pct=percent,
            metrics={} if sectors is None else {"gld_transactions": sectors},
        )
        for percent, sectors in kernels
    ]
    assert tables.average_efficiency(profiles) == average


def test_a_terminal_does_not_obey_the_names_of_others(tmp_path):
    path = tmp_path / "ncu.csv"
    path.write_text(NCU.replace("sgemm", "\x1b]0;pwned\x07k"))
    command = [sys.executable, "-m", "gpuprune", "profile", "--from", str(path), "-q"]
    for output_format in ("table", "markdown", "csv", "json"):
        theirs, ours = pty.openpty()
        done = subprocess.run([*command, "--format", output_format], stdout=ours)
        os.close(ours)
        shown = os.read(theirs, 1 << 16)
        os.close(theirs)
        assert done.returncode == 0
        assert b"pwned" in shown
        assert b"\x1b" not in shown
    kept = subprocess.run([*command, "--format", "csv"], capture_output=True).stdout
    assert b"\x1b]0;pwned\x07k" in kept
