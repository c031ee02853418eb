"""nvprof's tables, as text and as comma-separated values."""

from pathlib import Path

import pytest

from gpuprune.profiler.parse import as_json, read_report
from gpuprune.profiler.parse.quantities import nvprof_value

CAPTURES = Path(__file__).parent / "captures"
SPMM = "void spmm<float, int=32>(float const *, int const *, float*)"
CSRMM = "void csrmm<float, int=4>(float const *, int, float*)"


def known(profile):
    return {name: value for name, value in as_json(profile).items() if value is not None}


def read(tmp_path, text):
    path = tmp_path / "captured"
    path.write_text(text)
    return read_report(path)


def test_a_file_of_csv_tables_of_all_kinds_is_read_whole():
    report = read_report(CAPTURES / "nvprof_tables.csv")
    assert [known(profile) for profile in report.kernels] == [
        {
            "kernel": SPMM,
            "tool": "nvprof",
            "device": "Tesla P100 (0)",
            "invocations": 4,
            "gld_efficiency_pct": 200.125,
            "gld_min_pct": 198.25,
            "gld_max_pct": 201.75,
            "gld_definition": "nvprof",
            "gst_efficiency_pct": 100.0,
            "metrics": {
                "warps_launched": 2048.0,
                "gld_efficiency": 200.125,
                "gst_efficiency": 100.0,
                "dram_read_throughput": 1073741824.0,
                "dram_read_throughput.min": 536870912.0,
                "dram_read_throughput.max": 1610612736.0,
                "dram_utilization": 3.0,
                "dram_utilization.min": 2.0,
                "dram_utilization.max": 4.0,
            },
        },
        {
            "kernel": 'main::{lambda(int, char)#1}::operator()<"csr">(int) const',
            "tool": "nvprof",
            "device": "Tesla P100 (0)",
            "invocations": 1,
            "gld_efficiency_pct": 0.0,
            "gld_min_pct": 0.0,
            "gld_max_pct": 0.0,
            "gld_definition": "nvprof",
            "metrics": {"gld_efficiency": 0.0, "achieved_occupancy": 0.5},
        },
        {
            "kernel": SPMM,
            "tool": "nvprof",
            "invocations": 4,
            "metrics": {
                "duration_sum": 2_000_000.0,
                "duration": 500_000.0,
                "duration_min": 480_500.0,
                "duration_max": 520_000.0,
            },
        },
        {
            "kernel": SPMM,
            "tool": "nvprof",
            "device": "Tesla P100 (0)",
            "launch": 0,
            "metrics": {"duration": 500_000.0},
        },
        {
            "kernel": SPMM,
            "tool": "nvprof",
            "device": "Tesla P100 (0)",
            "launch": 1,
            "metrics": {"duration": 480_000.0},
        },
        {
            "kernel": SPMM,
            "tool": "nvprof",
            "device": "Tesla P100 (0)",
            "launch": 2,
            "gld_efficiency_pct": 80.0,
            "gld_definition": "nvprof",
            "gst_efficiency_pct": 100.0,
            "metrics": {"gld_efficiency": 80.0, "gst_efficiency": 100.0},
        },
        {
            "kernel": SPMM,
            "tool": "nvprof",
            "device": "Tesla P100 (0)",
            "launch": 3,
            "gst_efficiency_pct": 100.0,
            "metrics": {"gst_efficiency": 100.0},
            "no_value": {"gld_efficiency": "<INVALID>"},
        },
    ]
    assert report.warnings == (
        f'"l2_utilization" of "{SPMM}" overflowed or is invalid: not taken',
        f'values of "{SPMM}" overflowed or are invalid: not taken',
        "the profiler reports: some of nvprof's counters overflowed or could not be profiled",
    )


def test_a_file_of_text_tables_of_all_kinds_is_read_whole():
    report = read_report(CAPTURES / "nvprof_tables.txt")
    assert [known(profile) for profile in report.kernels] == [
        {
            "kernel": CSRMM,
            "tool": "nvprof",
            "device": "GeForce GTX 1080 (0)",
            "invocations": 2,
            "gld_efficiency_pct": 68.75,
            "gld_min_pct": 62.5,
            "gld_max_pct": 75.0,
            "gld_definition": "nvprof",
            "gst_efficiency_pct": 100.0,
            "metrics": {
                "warps_launched": 128.0,
                "dram_read_throughput": 268435456.0,
                "dram_read_throughput.min": 0.0,
                "dram_read_throughput.max": 536870912.0,
                "gld_efficiency": 68.75,
                "gst_efficiency": 100.0,
                "dram_utilization": 2.0,
                "dram_utilization.min": 1.0,
                "dram_utilization.max": 4.0,
            },
        },
        {
            "kernel": "group_csr(float const *, int const *)",
            "tool": "nvprof",
            "device": "GeForce GTX 1080 (0)",
            "invocations": 1,
            "gld_efficiency_pct": 100.0,
            "gld_min_pct": 100.0,
            "gld_max_pct": 100.0,
            "gld_definition": "nvprof",
            "metrics": {"gld_efficiency": 100.0, "achieved_occupancy": 0.5},
        },
        {
            "kernel": CSRMM,
            "tool": "nvprof",
            "invocations": 2,
            "metrics": {
                "duration_sum": 3_000_000.0,
                "duration": 1_500_000.0,
                "duration_min": 1_000_000.0,
                "duration_max": 2_000_000.0,
            },
        },
        {
            "kernel": CSRMM,
            "tool": "nvprof",
            "device": "GeForce GTX 108",
            "launch": 0,
            "metrics": {"duration": 3_407_200.0},
        },
        {
            "kernel": "add(int, float*, float*)",
            "tool": "nvprof",
            "invocations": 1,
            "metrics": {
                "duration_sum": 93_471.0,
                "duration": 93_471.0,
                "duration_min": 93_471.0,
                "duration_max": 93_471.0,
            },
        },
    ]
    assert report.warnings == ()


HEADER = '"Device","Kernel","Invocations","Metric Name","Metric Description","Min","Max","Avg"\n'


def test_a_metric_that_comes_again_begins_another_record(tmp_path):
    row = '"P100 (0)","k(int)",1,"gld_efficiency","of loads",{0}%,{0}%,{0}%\n'
    report = read(tmp_path, HEADER + row.format(12.5) + HEADER + row.format(25))
    assert [profile.gld_efficiency_pct for profile in report.kernels] == [12.5, 25.0]


def test_the_same_kernel_on_two_devices_stays_apart(tmp_path):
    row = '"P100 ({})","k(int)",1,"{}","what",{}%,{}%,{}%\n'
    rows = [row.format(0, "gld_efficiency", 1, 1, 1), row.format(1, "gst_efficiency", 2, 2, 2)]
    report = read(tmp_path, HEADER + "".join(rows))
    assert [(profile.device, dict(profile.metrics)) for profile in report.kernels] == [
        ("P100 (0)", {"gld_efficiency": 1.0}),
        ("P100 (1)", {"gst_efficiency": 2.0}),
    ]


def test_a_table_that_does_not_name_its_metrics_is_passed_over(tmp_path):
    nameless = HEADER.replace('"Metric Name",', "")
    row = '"P100 (0)","k(int)",1,{}"of loads",50.0%,50.0%,50.0%\n'
    text = nameless + row.format("") + HEADER + row.format('"gld_efficiency",')
    report = read(tmp_path, text)
    assert [dict(profile.metrics) for profile in report.kernels] == [{"gld_efficiency": 50.0}]
    assert report.warnings == ()


def test_quotes_that_were_not_doubled_belong_to_the_name(tmp_path):
    row = '"P100 (0)","k<"a b">(int)",1,"gld_efficiency","of loads",50.0%,50.0%,50.0%\n'
    (profile,) = read(tmp_path, HEADER + row).kernels
    assert (profile.kernel, profile.gld_efficiency_pct) == ('k<"a b">(int)', 50.0)


def test_an_api_summary_of_an_old_version_is_not_one_of_kernels(tmp_path):
    header = '"Time(%)","Time","Calls","Avg","Min","Max","Name"\n%,ms,,ms,ms,ms,\n'
    text = (
        f'==1== Profiling result:\n{header}99.0,48.0,3,16.0,15.0,17.0,"k(int)"\n\n'
        f'==1== API calls:\n{header}75.0,293.0,6,48.8,40.7,56.9,"cudaMemcpy"\n'
    )
    (profile,) = read(tmp_path, text).kernels
    assert (profile.kernel, profile.invocations) == ("k(int)", 3)
    assert profile.metrics["duration"] == 16_000_000.0


@pytest.mark.parametrize(
    ("table", "torn"),
    [
        (
            '==7== Metric result:\n"Device","Kernel","Invocations","Metric Name",'
            '"Metric Description","Min","Max","Avg"\n',
            '"V100 (0)","sgemm",3,"gld_efficiency","Load",50.0%,50.0%\n',
        ),
        (
            '==7== Profiling result:\n"Device","Context","Stream","Kernel","gld_efficiency"\n'
            ",,,,%\n",
            '"V100 (0)","1","7","sgemm [3]"\n',
        ),
    ],
)
def test_a_row_that_lacks_cells_is_told_and_the_table_goes_on(tmp_path, table, torn):
    whole = torn[:-1] + (",50.0\n" if "[3]" in torn else ",50.0%\n")
    report = read(tmp_path, table + torn + whole)
    assert [profile.gld_efficiency_pct for profile in report.kernels] == [50.0]
    assert report.warnings == ("rows of a table that are not whole were passed over",)


def test_extremes_of_all_metrics_are_kept(tmp_path):
    rows = (
        '"V100 (0)","sgemm",3,"gst_efficiency","Store",25.0%,75.0%,50.0%\n'
        '"V100 (0)","sgemm",3,"achieved_occupancy","Occupancy",0.25,0.75,0.5\n'
        '"V100 (0)","sgemm",3,"gld_transactions","Load",7,9,8\n'
    )
    (profile,) = read(tmp_path, HEADER + rows).kernels
    assert profile.metrics == {
        "gst_efficiency": 50.0,
        "gst_efficiency.min": 25.0,
        "gst_efficiency.max": 75.0,
        "achieved_occupancy": 0.5,
        "achieved_occupancy.min": 0.25,
        "achieved_occupancy.max": 0.75,
        "gld_transactions": 8.0,
        "gld_transactions.min": 7.0,
        "gld_transactions.max": 9.0,
    }


def test_a_row_of_a_text_trace_that_is_too_short_is_passed_over(tmp_path):
    lines = (CAPTURES / "nvprof_tables.txt").read_text().splitlines(keepends=True)
    (at,) = [at for at, line in enumerate(lines) if "(39063 1 1)" in line]
    short = "195.89ms  3.4072ms  (39063 1 1)  (256 1 1)  8\n"
    report = read(tmp_path, "".join([*lines[:at], short, *lines[at:]]))
    assert report == read_report(CAPTURES / "nvprof_tables.txt")


def test_a_metric_in_an_unknown_unit_is_a_warning(tmp_path):
    report = read(
        tmp_path,
        '"Device","Kernel","Invocations","Metric Name","Metric Description","Min","Max","Avg"\n'
        '"Tesla K20c (0)","k()",3,"dram_read_throughput","Read",1GB/s,2GC/s,1.5GB/s\n',
    )
    assert [profile.metrics for profile in report.kernels] == [{}]
    assert report.warnings == (
        'dram_read_throughput of "k()" cannot be read: 1GB/s, 2GC/s, 1.5GB/s',
    )


def test_a_column_in_a_unit_of_another_kind_is_a_warning(tmp_path):
    report = read(
        tmp_path,
        '"Start","Duration","Grid X","Size","Device","Name","gld_transactions (Loads)"\n'
        's,MB,,MB,,,\n1.0,2.5,64,,"Tesla K20c (0)","k() [7]",12\n',
    )
    assert [profile.metrics for profile in report.kernels] == [{"gld_transactions": 12.0}]
    assert report.warnings == ('"MB" is no known unit of duration: not taken',)


def test_a_summary_in_a_unit_that_is_no_time_is_a_warning(tmp_path):
    report = read(
        tmp_path,
        '"Type","Time(%)","Time","Calls","Avg","Min","Max","Name"\n'
        ',%,ms,,KB,us,us,\n"GPU activities",99.0,3.5,2,1.75,1.5,2.0,"k()"\n',
    )
    assert [profile.metrics for profile in report.kernels] == [
        {"duration_sum": 3.5e6, "duration_min": 1500.0, "duration_max": 2000.0}
    ]
    assert report.warnings == ('"KB" is no known unit of duration: not taken',)


@pytest.mark.parametrize(
    ("cell", "unit", "value"),
    [
        ("83.340104%", "", 83.340104),
        ("2.935000e-03", "ms", 2935.0),
        ("1.5us", "", 1500.0),
        ("512.000000KB/s", "", 524_288.0),
        ("0.9951GB/s", "", 1068480489.0624),  # above 1000 MB/s, so its bytes are binary
        ("Low (2)", "", 2.0),
        ("Max (10)", "", 10.0),
        ("Idle", "", None),
        ("Low (9999)", "", None),
        ("<OVERFLOW>", "", None),
        ("-", "", None),
        ("12.5furlongs", "", None),
        ("nan", "", None),
        ("9" * 400, "", None),
        ("9e307", "s", None),
    ],
)
def test_values_carry_their_unit_in_the_cell_or_in_the_column(cell, unit, value):
    assert nvprof_value(cell, unit) == value


def test_ends_that_contradict_each_other_are_not_taken(tmp_path):
    rows = (
        '"V100 (0)","sgemm",3,"gld_efficiency","Load",90.0%,10.0%,50.0%\n'
        '"V100 (0)","sgemm",3,"gst_efficiency","Store",10.0%,20.0%,50.0%\n'
        '"V100 (0)","sgemm",3,"gld_transactions","Load",7,9,8\n'
    )
    report = read(tmp_path, HEADER + rows)
    (profile,) = report.kernels
    assert profile.metrics == {
        "gld_transactions": 8.0,
        "gld_transactions.min": 7.0,
        "gld_transactions.max": 9.0,
    }
    assert report.warnings == (
        'gld_efficiency of "sgemm" contradicts itself: not taken '
        "(minimum 90, maximum 10, average 50)",
        'gst_efficiency of "sgemm" contradicts itself: not taken '
        "(minimum 10, maximum 20, average 50)",
    )


def test_a_column_that_comes_again_with_another_value_is_told(tmp_path):
    report = read(
        tmp_path,
        '"Device","Kernel","gld_efficiency (Load)","gld_efficiency (Load)","a (A)","a (A)"\n'
        '"V100 (0)","sgemm",50.0%,60.0%,7,7\n',
    )
    assert [profile.metrics for profile in report.kernels] == [{"gld_efficiency": 50.0, "a": 7.0}]
    assert report.warnings == (
        "there are several columns gld_efficiency, of several values: the first is taken",
    )
