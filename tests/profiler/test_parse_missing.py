"""What is said of figures that a file does not hold, or holds without a value."""

import pytest

from gpuprune.profiler.parse import Missing, collect_command
from gpuprune.profiler.parse.findings import Draft
from gpuprune.profiler.parse.metrics import FIGURES

AVERAGE = "smsp__sass_average_data_bytes_per_sector_mem_global_op_"
BYTES = "smsp__sass_data_bytes_mem_global_op_"
SECTORS = "smsp__sass_l1tex_t_sectors_pipe_lsu_mem_global_op_"
ALL_OF_NCU = {
    f"{AVERAGE}ld.pct": 50.0,
    f"{AVERAGE}st.pct": 50.0,
    "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum": 8.0,
    "l1tex__t_requests_pipe_lsu_mem_global_op_ld.sum": 1.0,
    "l1tex__t_sector_hit_rate.pct": 50.0,
    "lts__t_sector_hit_rate.pct": 50.0,
    "dram__bytes_read.sum": 64.0,
    "sm__warps_active.avg.pct_of_peak_sustained_active": 50.0,
    "gpu__time_duration.sum": 1000.0,
}


def a_kernel(kernel="csrmm(int)", tool="ncu", device=None, no_value=None, **metrics):
    return Draft(
        kernel=kernel, tool=tool, device=device, launch=0, metrics=metrics, no_value=no_value
    ).finish()


def said_of(*kernels):
    missing = Missing()
    for kernel in kernels:
        missing.look_at(kernel)
    return list(missing.lines())


def without(*absent):
    return {name: value for name, value in ALL_OF_NCU.items() if name not in absent}


def test_nothing_is_said_of_a_file_that_holds_all():
    assert said_of(a_kernel(**ALL_OF_NCU)) == []


def test_another_launch_of_a_kernel_may_hold_what_one_lacks():
    assert said_of(a_kernel(**ALL_OF_NCU), a_kernel()) == []


def test_kernels_that_lack_a_figure_are_named_where_others_have_it():
    lacking = a_kernel("other(int)", **without(f"{AVERAGE}ld.pct"))
    assert said_of(a_kernel(**ALL_OF_NCU), lacking) == [
        'not in this file: load efficiency (of "other(int)"); collect with: '
        + collect_command("ncu", [f"{AVERAGE}ld.pct"])
    ]


@pytest.mark.parametrize(
    ("tool", "device", "collects"),
    [
        ("nvprof", "Tesla V100-SXM2-16GB (0)", ": nvprof"),
        ("nvprof", "GeForce GTX 1080 Ti (0)", ": nvprof"),
        ("nvprof", None, " nvprof (ncu from compute capability 7.5 on): nvprof"),
        ("nvprof", "GeForce RTX 2080 (0)", " ncu, as nvprof collects no metrics from"),
        ("nvprof", "Tesla T4 (0)", " ncu, as nvprof collects no metrics from"),
        ("nvprof", "A100-SXM4-40GB (0)", " ncu, as nvprof collects no metrics from"),
        ("nvprof", "GeForce GTX 1650 (0)", " ncu, as nvprof collects no metrics from"),
        ("ncu", "CC 6.1 (0)", " nvprof, as ncu counts no loads below"),
        ("ncu", "CC 7.0 (0)", ": ncu"),
        ("ncu", "NVIDIA GeForce RTX 3070 (0)", ": ncu"),
    ],
)
def test_command_is_of_the_tool_that_counts_on_the_device(tool, device, collects):
    (line,) = said_of(a_kernel(tool=tool, device=device))
    assert line.startswith(f"not in this file: {', '.join(FIGURES)}; collect with{collects}")


@pytest.mark.parametrize(
    ("device", "metric"),
    [("CC 9.0 (0)", "dram__bytes_read.sum"), ("CC 12.0 (0)", "dram__bytes_op_read.sum")],
)
def test_metric_is_the_one_that_the_chip_has(device, metric):
    (line,) = said_of(a_kernel(device=device, **without("dram__bytes_read.sum")))
    assert line.endswith(collect_command("ncu", [metric]))


def test_nvprof_times_kernels_in_a_run_of_its_own():
    counted = dict.fromkeys(
        [
            *("gld_efficiency", "gst_efficiency", "gld_transactions", "global_load_requests"),
            *("tex_cache_hit_rate", "l2_tex_hit_rate", "dram_read_transactions"),
        ],
        1.0,
    )
    assert said_of(a_kernel(tool="nvprof", device="Tesla P100 (0)", **counted)) == [
        "not in this file: occupancy, duration; collect with: "
        + collect_command("nvprof", ["achieved_occupancy"])
        + "; it times kernels only without --metrics"
    ]
    counted["achieved_occupancy"] = 0.5
    assert said_of(a_kernel(tool="nvprof", device="Tesla P100 (0)", **counted)) == [
        "not in this file: duration; collect with: nvprof --csv --log-file times.csv PROGRAM"
    ]


def test_figure_without_a_value_is_in_the_file():
    pct = f"{AVERAGE}st.pct"
    unread = a_kernel(**without(pct), no_value={pct: "n/a"})
    assert said_of(unread) == [
        'no value for the store efficiency of "csrmm(int)": the file says "n/a"'
    ]


def test_kernel_that_loaded_nothing_has_no_efficiency():
    nothing = {f"{BYTES}ld.sum": 0.0, f"{SECTORS}ld.sum": 0.0}
    assert said_of(a_kernel(**without(f"{AVERAGE}ld.pct"), **nothing)) == [
        'no value for the load efficiency of "csrmm(int)": 0 of 0 sectors'
    ]
    negative = {**ALL_OF_NCU, f"{AVERAGE}ld.pct": -1.0}
    assert said_of(a_kernel(**negative)) == [
        'no value for the load efficiency of "csrmm(int)": its numbers make none'
    ]
