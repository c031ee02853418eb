"""The load efficiency that follows from the metrics, and what is said about it."""

import shlex

import pytest

from gpuprune.profiler.parse import collect_command, notes
from gpuprune.profiler.parse.findings import Draft
from gpuprune.profiler.parse.metrics import (
    efficiency_in_rule,
    load_coverage,
    load_efficiency,
    metric_name,
    quantity,
    store_efficiency,
)

AVERAGE = "smsp__sass_average_data_bytes_per_sector_mem_global_op_"
BYTES = "smsp__sass_data_bytes_mem_global_op_"
SECTORS = "smsp__sass_l1tex_t_sectors_pipe_lsu_mem_global_op_"
L1_SECTORS = "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum"


def a_kernel(tool="ncu", kernel="csrmm(int)", **metrics):
    return Draft(kernel=kernel, tool=tool, launch=0, metrics=metrics).finish()


@pytest.mark.parametrize(
    ("metrics", "efficiency"),
    [
        ({}, None),
        ({"gld_efficiency": 0.0}, 0.0),
        ({"gld_efficiency": 312.5}, 312.5),
        ({f"{AVERAGE}ld.pct": 0.0, f"{AVERAGE}ld.ratio": 8.0}, 0.0),
        ({f"{AVERAGE}ld.ratio": 8.0}, 25.0),
        ({f"{AVERAGE}ld.ratio": 8.0, f"{AVERAGE}ld.max_rate": 16.0}, 50.0),
        ({f"{AVERAGE}ld.ratio": 8.0, f"{AVERAGE}ld.max_rate": 0.0}, None),
        ({f"{AVERAGE}ld.ratio": 1e308}, None),
        ({f"{AVERAGE}ld.ratio": 9.1}, 28.4375),  # and not 28.437499999999996
        ({f"{AVERAGE}ld.max_rate": 32.0}, None),
        ({f"{BYTES}ld.sum": 160.0, f"{SECTORS}ld.sum": 10.0}, 50.0),
        ({f"{BYTES}ld.sum": 0.0, f"{SECTORS}ld.sum": 0.0}, None),
        ({f"{BYTES}ld.sum": 160.0}, None),
        ({f"{AVERAGE}st.pct": 50.0}, None),
        ({"gld_efficiency": -5.0}, None),
        ({f"{AVERAGE}ld.ratio": -5.0}, None),
    ],
)
def test_load_efficiency_is_taken_from_whatever_form_is_there(metrics, efficiency):
    assert load_efficiency(metrics) == efficiency


def test_store_efficiency_is_its_own():
    metrics = {f"{AVERAGE}ld.pct": 50.0, f"{AVERAGE}st.ratio": 4.0}
    assert (load_efficiency(metrics), store_efficiency(metrics)) == (50.0, 12.5)


BOTH = {
    f"{BYTES}ld.sum": 1600.0,
    f"{SECTORS}ld.sum": 100.0,
    f"{BYTES}ldgsts.sum": 28_800.0,
    f"{SECTORS}ldgsts.sum": 900.0,
}


def test_ldg_and_ldgsts_are_combined_by_bytes_and_sectors():
    assert load_efficiency(BOTH | {f"{AVERAGE}ld.pct": 50.0}) == 95.0


@pytest.mark.parametrize("absent", list(BOTH))
def test_ldg_stands_alone_unless_both_are_counted(absent):
    metrics = BOTH | {f"{AVERAGE}ld.pct": 50.0, L1_SECTORS: 1000.0}
    del metrics[absent]
    assert load_efficiency(metrics) == 50.0
    assert load_coverage(metrics) == (None if absent == f"{SECTORS}ld.sum" else 10.0)
    (note,) = notes([a_kernel(**metrics)])[:1]
    assert note.startswith('besides, "csrmm(int)" loaded by cp.async: the load efficiency covers')
    assert all(name in note for name in BOTH)


def test_extremes_of_ldg_alone_are_not_those_of_both():
    draft = Draft(kernel="sgemm", tool="ncu", invocations=3)
    draft.add(f"{AVERAGE}ld.pct", 50.0, 40.0, 60.0)
    assert (draft.finish().gld_min_pct, draft.finish().gld_max_pct) == (40.0, 60.0)
    draft.metrics.update(BOTH)
    assert (draft.finish().gld_min_pct, draft.finish().gld_max_pct) == (None, None)


def test_ldgsts_alone_has_an_efficiency():
    none = {f"{BYTES}ld.sum": 0.0, f"{SECTORS}ld.sum": 0.0}
    assert load_efficiency(BOTH | none) == 100.0


def test_without_ldgsts_the_stated_value_is_kept():
    none = {f"{BYTES}ldgsts.sum": 0.0, f"{SECTORS}ldgsts.sum": 0.0}
    assert load_efficiency(BOTH | none | {f"{AVERAGE}ld.pct": 49.87}) == 49.87


@pytest.mark.parametrize(
    "sign",
    [
        "smsp__inst_executed_op_ldgsts.sum",
        "sm__sass_inst_executed_op_ldgsts_cache_bypass.sum",
        f"{AVERAGE}ldgsts.pct",
    ],
)
def test_every_sign_of_ldgsts_gives_the_note(sign):
    stated = {f"{AVERAGE}ld.pct": 50.0}
    assert "cp.async" in notes([a_kernel(**stated, **{sign: 8.0})])[0]
    assert notes([a_kernel(**stated, **{sign: 0.0})]) == ()


def test_coverage_is_the_share_of_the_sectors_that_were_counted():
    # The sectors of a public A100 report: the plain metric speaks for 1.6 % of its loads.
    seen = {f"{SECTORS}ld.sum": 743_424.0, L1_SECTORS: 46_104_064.0}
    assert load_coverage(seen) == pytest.approx(1.6125, abs=1e-4)
    by_async = {f"{SECTORS}ldgsts.sum": 45_360_640.0}
    assert load_coverage(seen | by_async) == pytest.approx(1.6125, abs=1e-4)
    components = {f"{BYTES}ld.sum": 1.0, f"{BYTES}ldgsts.sum": 1.0}
    assert load_coverage(seen | by_async | components) == 100.0
    by_tma = {"l1tex__m_xbar2l1tex_read_bytes_mem_global_op_tma_ld.sum": 32.0 * 46_104_064}
    assert load_coverage(seen | by_tma) == pytest.approx(1.6125 / 2, abs=1e-4)
    assert load_coverage({L1_SECTORS: 1.0}) is None


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        (
            "The memory access pattern for global loads might not be optimal. On average, only "
            "8.0 of the 32 bytes transmitted per sector are utilized by each thread.",
            25.0,
        ),
        (
            "The memory access pattern for global loads from L1TEX might not be optimal. On "
            "average, only 16,0 of the 32 bytes transmitted per sector are utilized by each.",
            50.0,
        ),
        (
            "The memory access pattern for global stores to L1TEX might not be optimal. On "
            "average, only 8.0 of the 32 bytes transmitted per sector are utilized by each thread",
            None,
        ),
        (
            "The memory access pattern for global loads from L2 might not be optimal. On "
            "average, only 4.0 of the 32 bytes transmitted per sector are utilized by each thread",
            None,
        ),
        ("Memory is more heavily utilized than Compute", None),
    ],
)
def test_only_the_rule_on_global_loads_states_the_efficiency(text, stated):
    assert efficiency_in_rule(text) == stated


@pytest.mark.parametrize(
    ("section", "label", "unit", "name"),
    [
        ("GPU Speed Of Light Throughput", "Memory Throughput", "%", "gpu__compute_memory_t"),
        ("GPU Speed Of Light Throughput", "Memory Throughput", "", "gpu__compute_memory_t"),
        ("Memory Workload Analysis", "Memory Throughput", "byte/s", "dram__bytes.sum.per_s"),
        ("Memory Workload Analysis", "Memory Throughput", "", "dram__bytes.sum.per_s"),
        ("Occupancy", "Achieved Occupancy", "%", "sm__warps_active.avg.pct_of_peak"),
        ("GPU Speed Of Light", "SOL FB", "%", "SOL FB"),
        ("GPU Speed Of Light", "SOL L2 Cache", "%", "lts__throughput.avg.pct_of_peak"),
        ("GPU Speed Of Light", "SM Active Cycles", "cycle", "sm__cycles_active.avg"),
        ("GPU Speed Of Light", "SM Frequency", "cycle/second", "SM Frequency"),
        ("Occupancy", "Block Limit SM", "block", "launch__occupancy_limit_blocks"),
        ("Command line profiler metrics", L1_SECTORS, "sector", L1_SECTORS),
    ],
)
def test_labels_become_metrics_where_they_have_one_name(section, label, unit, name):
    assert metric_name(section, label, unit).startswith(name)


@pytest.mark.parametrize(
    ("metrics", "name", "value"),
    [
        ({"achieved_occupancy": 0.5}, "occupancy_pct", 50.0),
        ({"sm__warps_active.avg.pct_of_peak_sustained_active": 50.0}, "occupancy_pct", 50.0),
        ({"dram_read_transactions": 4.0}, "dram_read_bytes", 128.0),
        ({"dram__bytes_op_read.sum": 128.0}, "dram_read_bytes", 128.0),
        ({"gld_transactions": 0.0}, "sectors", 0.0),
        ({}, "requests", None),
    ],
)
def test_a_quantity_has_a_name_for_each_tool_and_chip(metrics, name, value):
    assert quantity(metrics, name) == value


def test_the_command_collects_both_efficiencies_unless_told_otherwise():
    assert shlex.split(collect_command("nvprof")) == [
        "nvprof", "--unified-memory-profiling", "off", "--csv", "--log-file", "profile.csv",
        "--metrics", "gld_efficiency,gst_efficiency", "PROGRAM",
    ]  # fmt: skip
    assert shlex.split(collect_command("ncu", [L1_SECTORS], log="l1.csv", program="./spmm")) == [
        "ncu", "--target-processes", "all", "--cache-control", "none", "--clock-control", "none",
        "--csv", "--page", "raw", "--print-units", "base", "--metrics", L1_SECTORS,
        "--log-file", "l1.csv", "./spmm",
    ]  # fmt: skip


def test_nvprofs_values_are_explained_where_they_surprise():
    profiles = [a_kernel("nvprof", "k(int)", gld_efficiency=0.0)]
    assert notes(profiles) == (
        '0 % for "k(int)": the loads, if any, took the read-only path, which gld_efficiency '
        "does not count (see nvprof's nc_gld_efficiency)",
    )
    assert notes([a_kernel("nvprof", "k(int)", gld_efficiency=312.5)]) == (
        "above 100 %: nvprof counts the bytes of every thread, also of threads that read the "
        "same address",
    )
    both = [a_kernel("nvprof", gld_efficiency=50.0), a_kernel(**{f"{AVERAGE}ld.pct": 50.0})]
    assert notes(both) == (
        "nvprof counts the bytes of every thread, ncu distinct bytes: their load efficiencies "
        "are not comparable",
    )


def test_loads_that_the_efficiency_does_not_speak_for_are_named():
    counted = {f"{AVERAGE}ld.pct": 50.0, f"{SECTORS}ld.sum": 10.0, L1_SECTORS: 40.0}
    assert notes([a_kernel(**counted, **{"smsp__inst_executed_op_tma_ld.sum": 8.0})]) == (
        'besides, "csrmm(int)" loaded by TMA: the load efficiency covers the other loads only',
        'the load efficiency of "csrmm(int)" covers only 25.0 % of the sectors loaded; '
        "cp.async or TMA brought the others",
    )
