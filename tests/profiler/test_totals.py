"""A row a kernel of thousands of launches: what is summed up, averaged, and by what."""

import pytest

from gpuprune.profiler.parse import KernelProfile
from gpuprune.profiler.totals import KernelTotals

SECTORS = "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum"
DRAM, HITS = "dram__bytes_read.sum", "lts__t_sector_hit_rate.pct"
UNKNOWN = {"gld_min_pct": None, "gld_max_pct": None, "gst_efficiency_pct": None}


def launch(percent, kernel="k", **metrics):
    values = {"tool": "ncu", "device": None, "launch": 0, "invocations": None, **UNKNOWN}
    return KernelProfile(
        kernel=kernel, gld_efficiency_pct=percent, gld_definition="ncu", metrics=metrics, **values
    )


def rows_of(launches, most=10):
    totals = KernelTotals(most)
    for one in launches:
        totals.add(one)
    return totals.rows(iter(launches))


def test_a_launch_counts_by_the_sectors_that_it_loads():
    large, small = launch(100.0, **{SECTORS: 1e6}), launch(12.5, **{SECTORS: 4.0})
    nothing = launch(None, **{SECTORS: 0.0})
    assert rows_of([large, small, nothing]) == {
        "ncu": [
            {
                "kernel": "k", "launches": 3, "load %": 100.0, "min %": 12.5, "max %": 100.0,
                "sectors": 1000004,
            }
        ]
    }  # fmt: skip


def test_sectors_that_are_not_all_known_leave_a_mean_and_no_sum():
    (row,) = rows_of([launch(100.0, **{SECTORS: 1e6}), launch(50.0)])["ncu"]
    assert row == {
        "kernel": "k", "launches": 2, "mean load %": 75.0, "min %": 50.0, "max %": 100.0
    }  # fmt: skip


def test_counts_are_summed_up_and_rates_averaged():
    launches = [launch(None, **{DRAM: 1000.0, HITS: hits}) for hits in (20.0, 40.0)]
    assert rows_of([one._replace(gst_efficiency_pct=90.0) for one in launches])["ncu"] == [
        {
            "kernel": "k", "launches": 2, "load %": "not in this file", "mean store %": 90.0,
            "mean L2 hit %": 30.0, "DRAM bytes": 2000,
        }
    ]  # fmt: skip


def test_a_record_of_several_invocations_stands_for_each_of_them():
    def record(percent, invocations, transactions):
        one = launch(percent, gld_transactions=transactions, tex_cache_hit_rate=percent)
        return one._replace(tool="nvprof", launch=None, invocations=invocations)

    (row,) = rows_of([record(100.0, 3, 10.0), record(50.0, 1, 30.0)])["nvprof"]
    assert (row["launches"], row["transactions"], row["load %"]) == (4, 60, 75.0)
    assert row["mean tex hit %"] == 87.5


@pytest.mark.parametrize("value", ["n/a", "(!) nan"])
def test_a_value_that_the_file_lacks_is_no_value(value):
    metric = "smsp__sass_average_data_bytes_per_sector_mem_global_op_ld.pct"
    rows = rows_of([launch(None)._replace(no_value={metric: value}), launch(50.0, "other")])
    assert [row.get("load %") for row in rows["ncu"]] == ["no value", 50.0]


def test_the_most_launched_are_shown_wherever_they_stand():
    launches = [launch(10.0, "a"), launch(20.0, "b"), launch(30.0, "c"), launch(50.0, "c")]
    (row,) = rows_of(launches, most=1)["ncu"]
    assert (row["kernel"], row["launches"], row["mean load %"]) == ("c", 2, 40.0)
