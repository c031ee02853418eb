"""ncu's pages: raw, details and summaries, as comma-separated values and as text."""

from pathlib import Path

import pytest

from gpuprune.profiler.parse import as_json, read_report

CAPTURES = Path(__file__).parent / "captures"
LOAD = "smsp__sass_average_data_bytes_per_sector_mem_global_op_ld"
STORE = "smsp__sass_average_data_bytes_per_sector_mem_global_op_st"
OCCUPANCY = "sm__warps_active.avg.pct_of_peak_sustained_active"


def known(profile):
    return {name: value for name, value in as_json(profile).items() if value is not None}


def read(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "captured"
    path.write_bytes(text.encode(encoding))
    return read_report(path)


def test_a_raw_page_in_scaled_units_is_read_in_base_units():
    report = read_report(CAPTURES / "ncu_raw_auto_nvtx.csv")
    assert [known(profile) for profile in report.kernels] == [
        {
            "kernel": "void spmm<float, (int)32>(const float *, const int *, float *)",
            "tool": "ncu",
            "device": "NVIDIA GeForce RTX 3070 (0)",
            "launch": 0,
            "gld_efficiency_pct": 99.25,
            "gld_definition": "ncu",
            "gst_efficiency_pct": 100.0,
            "metrics": {
                "dram__bytes_read.sum": 12587520.0,
                "dram__bytes_read.sum.per_second": 1278703000.0,
                "gpu__time_duration.sum": 84480.0,
                "l1tex__t_sector_hit_rate.pct": 98.03125,
                f"{LOAD}.pct": 99.25,
                f"{STORE}.pct": 100.0,
                "smsp__cycles_elapsed.avg.per_second": 1725000000.0,
            },
        },
        {
            "kernel": "main::[lambda(int, char) (instance 1)]::operator ()(int) const",
            "tool": "ncu",
            "device": "NVIDIA GeForce RTX 3070 (0)",
            "launch": 1,
            "metrics": {
                "dram__bytes_read.sum": 6293760.0,
                "gpu__time_duration.sum": 249216.0,
                "smsp__cycles_elapsed.avg.per_second": 1725000000.0,
            },
            "no_value": {f"{LOAD}.pct": "(!) nan", f"{STORE}.pct": "n/a"},
        },
    ]
    assert report.warnings == (
        "the profiler reports: kernels that child processes launched were not profiled",
    )


def test_a_ratio_is_bytes_of_a_sector_and_not_a_percentage():
    report = read_report(CAPTURES / "ncu_raw_blank_units.csv")
    assert [(p.gld_efficiency_pct, p.gst_efficiency_pct) for p in report.kernels] == [
        (75.0, 25.0),
        (100.0, 50.0),
    ]
    assert next(iter(report.kernels)).metrics["gpu__time_duration.sum"] == 7328.0


VALUES = (12587520, 1278703122.92, 87.6, 4096, 7328)
NAMES = ("dram__bytes_read.sum", "dram__bytes_read.sum.per_second", f"{LOAD}.pct")
NAMES += ("launch__grid_size", "gpu__time_duration.sum")


@pytest.mark.parametrize(
    ("grouping", "decimal"), [(",", "."), (".", ","), (" ", ","), ("'", "."), ("", ".")]
)
def test_a_raw_page_is_read_alike_in_every_locale(tmp_path, grouping, decimal):
    def localised(value):
        text = f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"
        return text.replace(".", "_").replace(",", grouping).replace("_", decimal)

    # The short number comes first: its reading depends on what follows.
    names, values = (*NAMES[::-1],), [*map(localised, VALUES[::-1])]
    quoted = [f'"{name}"' for name in ("ID", "Process ID", "Kernel Name", "CC", *names)]
    row = [f'"{cell}"' for cell in (0, 1, "k(int)", "8.6", *values)]
    text = ",".join(quoted) + "\n" + ",".join(['""'] * len(quoted)) + "\n" + ",".join(row) + "\n"
    (profile,) = read(tmp_path, text).kernels
    assert dict(profile.metrics) == dict(zip(names, VALUES[::-1], strict=True))
    assert profile.device == "CC 8.6"


def test_a_details_page_keeps_labels_apart_and_reads_short_rows():
    report = read_report(CAPTURES / "ncu_details.csv")
    assert [known(profile) for profile in report.kernels] == [
        {
            "kernel": "csrmm(const float *, int)",
            "tool": "ncu",
            "device": "CC 9.0 (0)",
            "launch": 0,
            "metrics": {
                "gpu__compute_memory_throughput.avg.pct_of_peak_sustained_elapsed": 36.69,
                "gpu__time_duration.sum": 211940.0,
                "SM Frequency": 1410000000.0,
                "dram__bytes.sum.per_second": 1205500000000.0,
                "l1tex__t_sector_hit_rate.pct": 98.03,
                "launch__grid_size": 64.0,
            },
            "no_value": {OCCUPANCY: "(!) n/a"},
        },
        {
            "kernel": "group_csr(const float *, int)",
            "tool": "ncu",
            "device": "CC 9.0 (0)",
            "launch": 1,
            "gld_efficiency_pct": 79.98046875,
            "gld_definition": "ncu",
            "metrics": {
                "smsp__sass_data_bytes_mem_global_op_ld.sum": 16380.0,
                "smsp__sass_l1tex_t_sectors_pipe_lsu_mem_global_op_ld.sum": 640.0,
            },
        },
    ]


def test_a_rule_that_states_the_efficiency_is_a_warning_and_not_a_value():
    report = read_report(CAPTURES / "ncu_details.csv")
    assert report.warnings == (
        'the load efficiency of "csrmm(const float *, int)" is not in the file, '
        "but a rule of ncu puts it at about 25 %",
    )


def test_a_summary_has_the_least_the_greatest_and_the_average():
    report = read_report(CAPTURES / "ncu_summary.csv")
    common = {"kernel": "csrmm(const float *, int)", "tool": "ncu", "device": "CC 8.9 (0)"}
    assert [known(profile) for profile in report.kernels] == [
        {
            **common,
            "invocations": 14,
            "gld_efficiency_pct": 62.75,
            "gld_min_pct": 12.5,
            "gld_max_pct": 100.0,
            "gld_definition": "ncu",
            "metrics": {
                f"{LOAD}.pct": 62.75,
                "gpu__time_duration.sum": 2000.0,
                "gpu__time_duration.sum.min": 1000.0,
                "gpu__time_duration.sum.max": 3000.0,
            },
        },
        {
            **common,
            "invocations": 2,
            "gld_efficiency_pct": 50.0,
            "gld_min_pct": 12.5,
            "gld_max_pct": 100.0,
            "gld_definition": "ncu",
            "metrics": {f"{LOAD}.ratio": 16.0},
        },
    ]


def test_text_pages_with_a_date_are_read():
    report = read_report(CAPTURES / "ncu_pages_2021.txt")
    assert [known(profile) for profile in report.kernels] == [
        {
            "kernel": "void csrmm<(int)4, float>(const float *, int)",
            "tool": "ncu",
            "launch": 0,
            "gld_efficiency_pct": 25.0,
            "gld_definition": "ncu",
            "metrics": {
                "gpu__time_duration.sum": 1250000.0,
                "l1tex__t_requests_pipe_lsu_mem_global_op_ld.sum": 524288.0,
                "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum": 16777216.0,
                f"{LOAD}.pct": 25.0,
            },
            "no_value": {f"{STORE}.pct": "(!) n/a"},
        },
        {
            "kernel": "group_csr(const float *, const int *)",
            "tool": "ncu",
            "launch": 1,
            "metrics": {"SOL DRAM": 14.86, "gpu__time_duration.sum": 22110.0, OCCUPANCY: 6.23},
        },
    ]
    assert report.warnings == ()


def test_text_pages_with_a_grid_and_a_title_in_their_tables_are_read():
    report = read_report(CAPTURES / "ncu_pages_2024.txt")
    assert [known(profile) for profile in report.kernels] == [
        {
            "kernel": "void csrmm<4, 8>(const float *, int)",
            "tool": "ncu",
            "device": "CC 8.9 (0)",
            "launch": 0,
            "metrics": {
                "Elapsed Cycles": 23173.0,
                "gpu__compute_memory_throughput.avg.pct_of_peak_sustained_elapsed": 36.69,
                "gpu__time_duration.sum": 211940.0,
                "dram__bytes.sum.per_second": 74300000000.0,
                "L2 Compression Ratio": 0.0,
                "Mem Pipes Busy": 10.0,
            },
        },
        {
            "kernel": "group_csr(const float *, int)",
            "tool": "ncu",
            "device": "CC 8.9 (0)",
            "launch": 1,
            "gld_efficiency_pct": 99.95,
            "gld_definition": "ncu",
            "metrics": {
                "l1tex__t_requests_pipe_lsu_mem_global_op_ld.sum": 8388608.0,
                f"{LOAD}.pct": 99.95,
            },
        },
    ]
    assert report.warnings == (
        'the load efficiency of "void csrmm<4, 8>(const float *, int)" is not in the file, '
        "but a rule of ncu puts it at about 18 %",
    )


def test_a_summary_as_text_has_its_device_above_the_kernels():
    report = read_report(CAPTURES / "ncu_pages_summary.txt")
    assert [known(profile) for profile in report.kernels] == [
        {
            "kernel": "csrmm(const float *, int)",
            "tool": "ncu",
            "device": "CC 9.0 (0)",
            "invocations": 300,
            "gld_efficiency_pct": 64.43,
            "gld_min_pct": 56.59,
            "gld_max_pct": 72.29,
            "gld_definition": "ncu",
            "metrics": {
                OCCUPANCY: 73.84,
                f"{OCCUPANCY}.min": 70.3,
                f"{OCCUPANCY}.max": 78.18,
                f"{LOAD}.pct": 64.43,
            },
        },
        {
            "kernel": "group_csr(const float *, int)",
            "tool": "ncu",
            "device": "CC 9.0 (0)",
            "invocations": 1,
            "gld_efficiency_pct": 100.0,
            "gld_min_pct": 100.0,
            "gld_max_pct": 100.0,
            "gld_definition": "ncu",
            "metrics": {f"{LOAD}.pct": 100.0},
        },
    ]


PASTED = """\
  void k<4>(float *)

    Section: Command line profiler metrics
    ------------------------- -------- ------------
    {load}.pct   %   {first}
    ------------------------- -------- ------------

  other(int)
    Section: Command line profiler metrics
    ------------------------- -------- ------------
    {load}.pct   %   12.50
    gpu__time_duration.sum   us   1.50
    ------------------------- -------- ------------
"""


def test_a_pasted_page_has_the_bare_name_over_its_section(tmp_path):
    report = read(tmp_path, PASTED.format(load=LOAD, first="50"))
    assert [(p.kernel, p.launch, dict(p.metrics)) for p in report.kernels] == [
        ("void k<4>(float *)", 0, {f"{LOAD}.pct": 50.0}),
        ("other(int)", 1, {f"{LOAD}.pct": 12.5, "gpu__time_duration.sum": 1500.0}),
    ]


def test_a_page_without_its_indentation_begins_a_kernel_where_a_section_comes_again(tmp_path):
    text = "\n".join(line.strip() for line in PASTED.format(load=LOAD, first="50").splitlines())
    report = read(tmp_path, text + "\n")
    assert [(p.kernel, p.gld_efficiency_pct) for p in report.kernels] == [
        ("void k<4>(float *)", 50.0),
        ("other(int)", 12.5),
    ]


def test_groups_of_blanks_are_read_between_the_columns_of_a_table(tmp_path):
    page = (
        "  k(int), 2021-Jun-08 15:09:54, Context 1, Stream 7\n"
        "    Section: Command line profiler metrics\n"
        "    ------------------------------- ------- ----------\n"
        "    l1tex__t_sectors_pipe_lsu_ld.sum sector 16 777 216\n"
        "    lts__t_sector_hit_rate.pct            %      87,60\n"
        "    ------------------------------- ------- ----------\n"
    )
    page = page.replace("l1tex__t_sectors_pipe_lsu_ld.sum ", "l1tex__t_sectors_pipe_ld.sum     ")
    (profile,) = read(tmp_path, page).kernels
    assert dict(profile.metrics) == {
        "l1tex__t_sectors_pipe_ld.sum": 16777216.0,
        "lts__t_sector_hit_rate.pct": 87.6,
    }


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_capture_from_windows_is_read_alike(tmp_path, encoding, end):
    text = (CAPTURES / "ncu_details.csv").read_text()
    report = read(tmp_path, text.replace("\n", end), encoding)
    assert report == read_report(CAPTURES / "ncu_details.csv")


def test_numbers_that_latin_1_groups_are_read(tmp_path):
    page = (
        '"ID","Kernel Name","gpu__time_duration.sum","a__b.pct"\n"","","ns","%"\n'
        '"0","sgemm","9\xa0846\xa0176","87,60"\n'
    )
    (profile,) = read(tmp_path, page, "latin-1").kernels
    assert profile.metrics == {"gpu__time_duration.sum": 9_846_176.0, "a__b.pct": 87.6}


def test_digits_of_other_scripts_are_no_number_of_ncus(tmp_path):
    page = '"ID","Kernel Name","a__b.sum","c__d.sum"\n"","","",""\n"0","sgemm","٣٤","7"\n'
    (profile,) = read(tmp_path, page).kernels
    assert profile.metrics == {"c__d.sum": 7.0}


def test_a_label_in_two_sections_keeps_both_values(tmp_path):
    header = '"ID","Kernel Name","Section Name","Metric Name","Metric Unit","Metric Value"\n'
    rows = "".join(
        f'"0","sgemm","{section}","SM Busy","%","{value}"\n'
        for section, value in (("Compute", "40.00"), ("Memory", "40.00"), ("Occupancy", "60.00"))
    )
    (profile,) = read(tmp_path, header + rows).kernels
    assert profile.metrics == {"SM Busy": 40.0, "Occupancy: SM Busy [%]": 60.0}


def test_two_captures_in_one_file_stay_apart(tmp_path):
    texts = [(CAPTURES / name).read_text() for name in ("ncu_details.csv", "nvprof_tables.txt")]
    report = read(tmp_path, texts[0] + texts[1] + texts[0])
    assert [profile.tool for profile in report.kernels] == ["ncu"] * 2 + ["nvprof"] * 5 + [
        "ncu"
    ] * 2


def test_a_row_that_is_not_whole_is_passed_over_with_a_warning(tmp_path):
    text = (CAPTURES / "ncu_raw_blank_units.csv").read_text()
    report = read(tmp_path, text.replace(',"32","24","8"', ',"32"'))
    assert [profile.launch for profile in report.kernels] == [1]
    assert report.warnings == ("rows of a table that are not whole were passed over",)


def test_numbers_that_nobody_can_read_are_named(tmp_path):
    text = '"ID","Kernel Name","a__b.sum","c__d.sum"\n"","","",""\n"0","k(int)","89.856","4"\n'
    report = read(tmp_path, text)
    assert dict(next(iter(report.kernels)).metrics) == {"c__d.sum": 4.0}
    assert report.warnings == (
        "1 number can be read in two ways, or not in this file's locale, and was not taken "
        "(89.856): capture with LC_NUMERIC=C",
    )


HEADER = (
    '"ID","Process ID","Process Name","Host Name","Kernel Name","Context","Stream","Block Size",'
    '"Grid Size","Device","CC"'
)
ROW = '"0","1","p","127.0.0.1","k(int)","1","7","(32, 1, 1)","(1, 1, 1)","0","8.6"'


def test_a_column_in_an_unknown_unit_is_not_taken_and_told_once(tmp_path):
    text = (
        f'{HEADER},"dram__bytes_read.sum","gpu__time_duration.sum","{LOAD}.pct"\n'
        + '"",' * 11
        + '"Mbyte/s","fortnight","%"\n'
        + f'{ROW},"1.5","2.25","50"\n' * 2
    )
    report = read(tmp_path, text)
    assert [profile.metrics for profile in report.kernels] == [{f"{LOAD}.pct": 50.0}] * 2
    assert report.warnings == (
        '"Mbyte/s" is no known unit of dram__bytes_read.sum: not taken',
        '"fortnight" is no known unit of gpu__time_duration.sum: not taken',
    )


def test_a_row_in_an_unknown_unit_is_not_taken(tmp_path):
    text = (
        f'{HEADER},"Section Name","Metric Name","Metric Unit","Metric Value"\n'
        f'{ROW},"GPU Speed Of Light Throughput","Duration","Kbyte","5"\n'
        f'{ROW},"Memory Workload Analysis","L2 Hit Rate","%","50"\n'
    )
    report = read(tmp_path, text)
    assert [profile.metrics for profile in report.kernels] == [{"lts__t_sector_hit_rate.pct": 50}]
    assert report.warnings == ('"Kbyte" is no known unit of gpu__time_duration.sum: not taken',)


def test_a_column_that_comes_again_with_another_value_is_told(tmp_path):
    text = (
        f'{HEADER},"{LOAD}.pct","{LOAD}.pct"\n' + '"",' * 11 + '"%","%"\n' + f'{ROW},"50","60"\n'
    )
    report = read(tmp_path, text)
    assert [profile.metrics for profile in report.kernels] == [{f"{LOAD}.pct": 50.0}]
    assert report.warnings == (
        f"there are several columns {LOAD}.pct, of several values: the first is taken",
    )


def test_a_summary_that_contradicts_itself_is_not_taken(tmp_path):
    text = (CAPTURES / "ncu_summary.csv").read_text().replace('"1.00","3.00"', '"3.00","1.00"')
    report = read(tmp_path, text)
    assert next(iter(report.kernels)).metrics == {f"{LOAD}.pct": 62.75}
    assert report.warnings == (
        'gpu__time_duration.sum of "csrmm(const float *, int)" contradicts itself: not taken '
        "(minimum 3, maximum 1, average 2)",
    )
