"""What the metrics are called, and the load efficiency that follows from them."""

import re
from collections.abc import Collection, Container, Mapping, Sequence
from math import isfinite

from gpuprune.profiler.digits import denoised

SECTOR_BYTES = 32

AVERAGE_BYTES = "smsp__sass_average_data_bytes_per_sector_mem_global_op_"
_BYTES = "smsp__sass_data_bytes_mem_global_op_"
_SECTORS = "smsp__sass_l1tex_t_sectors_pipe_lsu_mem_global_op_"
_L1_LOAD_SECTORS = "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum"
_TMA_LOAD_BYTES = "l1tex__m_xbar2l1tex_read_bytes_mem_global_op_tma_ld.sum"
TMA_LOADS = "smsp__inst_executed_op_tma_ld.sum"

# What the load efficiency of LDG and LDGSTS (cp.async) together follows from.
COMBINED = tuple(f"{name}{op}.sum" for name in (_BYTES, _SECTORS) for op in ("ld", "ldgsts"))

# Whatever tells that a kernel loads by cp.async: instructions, sectors, requests.
_ASYNC_LOADS = {
    f"{_BYTES}ldgsts.sum",
    f"{_SECTORS}ldgsts.sum",
    "smsp__inst_executed_op_ldgsts.sum",
    "sm__sass_inst_executed_op_ldgsts_cache_access.sum",
    "sm__sass_inst_executed_op_ldgsts_cache_bypass.sum",
    "sm__sass_l1tex_t_requests_pipe_lsu_mem_global_op_ldgsts.sum",
    f"{AVERAGE_BYTES}ldgsts.ratio",
    f"{AVERAGE_BYTES}ldgsts.pct",
}

# nvprof's own, then ncu's percentage, ratio and largest ratio, and the ratio's two components.
_EFFICIENCY = {
    op: (
        f"g{op}_efficiency",
        *(f"{AVERAGE_BYTES}{op}.{form}" for form in ("pct", "ratio", "max_rate")),
        f"{_BYTES}{op}.sum",
        f"{_SECTORS}{op}.sum",
    )
    for op in ("ld", "st")
}

# The metrics whose minimum and maximum over the launches are kept, too.
RANGED = frozenset({"gld_efficiency", *(f"{AVERAGE_BYTES}ld.{form}" for form in ("pct", "ratio"))})

# What a table shows beside the efficiency: the names to look for, and what makes them the unit.
QUANTITIES: Mapping[str, tuple[tuple[str, float], ...]] = {
    "sectors": ((_L1_LOAD_SECTORS, 1.0), (f"{_SECTORS}ld.sum", 1.0), ("gld_transactions", 1.0)),
    "requests": (
        ("l1tex__t_requests_pipe_lsu_mem_global_op_ld.sum", 1.0),
        ("global_load_requests", 1.0),
    ),
    "l1_hit_pct": (("l1tex__t_sector_hit_rate.pct", 1.0), ("tex_cache_hit_rate", 1.0)),
    "l2_hit_pct": (("lts__t_sector_hit_rate.pct", 1.0), ("l2_tex_hit_rate", 1.0)),
    "dram_read_bytes": (
        ("dram__bytes_read.sum", 1.0),
        ("dram__bytes_op_read.sum", 1.0),  # Blackwell
        ("dram_read_bytes", 1.0),
        ("dram_read_transactions", 1.0 * SECTOR_BYTES),
    ),
    "occupancy_pct": (
        ("sm__warps_active.avg.pct_of_peak_sustained_active", 1.0),
        ("achieved_occupancy", 100.0),
    ),
    "duration_ns": (("gpu__time_duration.sum", 1.0), ("duration", 1.0)),
}

EFFICIENCIES = frozenset(name for names in _EFFICIENCY.values() for name in names)

# All that is shown of a kernel follows from these.
SHOWN = EFFICIENCIES.union(name for names in QUANTITIES.values() for name, _ in names)

# What people are told of a kernel, and the metrics that each figure follows from.
FIGURES: Mapping[str, Sequence[str]] = {
    "load efficiency": _EFFICIENCY["ld"],
    "store efficiency": _EFFICIENCY["st"],
    "sectors": tuple(dict(QUANTITIES["sectors"])),
    "requests": tuple(dict(QUANTITIES["requests"])),
    "L1 hit rate": tuple(dict(QUANTITIES["l1_hit_pct"])),
    "L2 hit rate": tuple(dict(QUANTITIES["l2_hit_pct"])),
    "DRAM bytes read": tuple(dict(QUANTITIES["dram_read_bytes"])),
    "occupancy": tuple(dict(QUANTITIES["occupancy_pct"])),
    "duration": tuple(dict(QUANTITIES["duration_ns"])),
}

# What says how much of the loads the load efficiency is of.
BESIDE_EFFICIENCY = _ASYNC_LOADS | {TMA_LOADS, _L1_LOAD_SECTORS}

_THROUGHPUT_SHARE = "gpu__compute_memory_throughput.avg.pct_of_peak_sustained_elapsed"
_SM_SHARE = "sm__throughput.avg.pct_of_peak_sustained_elapsed"
_L1_SHARE = "l1tex__throughput.avg.pct_of_peak_sustained_active"
_L2_SHARE = "lts__throughput.avg.pct_of_peak_sustained_elapsed"

# The labels that ncu's section files give to one metric in all versions; the first four are of
# 2019 to 2021. "Elapsed Cycles", "SM Frequency" and "SOL DRAM", for example, have been
# several metrics: they stay as printed.
_LABELS = {
    "Memory [%]": _THROUGHPUT_SHARE,
    "SM [%]": _SM_SHARE,
    "SOL L1/TEX Cache": _L1_SHARE,
    "SOL L2 Cache": _L2_SHARE,
    "Compute (SM) Throughput": _SM_SHARE,
    "L1/TEX Cache Throughput": _L1_SHARE,
    "L2 Cache Throughput": _L2_SHARE,
    "DRAM Throughput": "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed",
    "DRAM Frequency": "dram__cycles_elapsed.avg.per_second",
    "Duration": "gpu__time_duration.sum",
    "SM Active Cycles": "sm__cycles_active.avg",
    "L1/TEX Hit Rate": "l1tex__t_sector_hit_rate.pct",
    "L2 Hit Rate": "lts__t_sector_hit_rate.pct",
    "Achieved Occupancy": "sm__warps_active.avg.pct_of_peak_sustained_active",
    "Achieved Active Warps Per SM": "sm__warps_active.avg.per_cycle_active",
    "Theoretical Occupancy": "sm__maximum_warps_per_active_cycle_pct",
    "Theoretical Active Warps per SM": "sm__maximum_warps_avg_per_active_cycle",
    "Block Limit SM": "launch__occupancy_limit_blocks",
    "Block Limit Registers": "launch__occupancy_limit_registers",
    "Block Limit Shared Mem": "launch__occupancy_limit_shared_mem",
    "Block Limit Warps": "launch__occupancy_limit_warps",
    "Registers Per Thread": "launch__registers_per_thread",
    "Shared Memory Configuration Size": "launch__shared_mem_config_size",
    "Driver Shared Memory Per Block": "launch__shared_mem_per_block_driver",
    "Dynamic Shared Memory Per Block": "launch__shared_mem_per_block_dynamic",
    "Static Shared Memory Per Block": "launch__shared_mem_per_block_static",
    "Block Size": "launch__block_size",
    "Grid Size": "launch__grid_size",
    "Threads": "launch__thread_count",
    "Waves Per SM": "launch__waves_per_multiprocessor",
}
_THROUGHPUT = "dram__bytes.sum.per_second"

# The same rule speaks of stores, and of loads from L2 ("sectors missed in L1TEX").
_RULE = re.compile(
    r"access pattern for global loads (?!from L2).{0,120}?only ([0-9]{1,2}(?:[.,][0-9]+)?)"
    r" of the 32 bytes transmitted per sector are utilized",
    re.DOTALL,
)


def metric_name(section: str, label: str, unit: str) -> str:
    """Give the metric behind a label of ncu's sections, or the label where it has no one name."""
    if label == "Memory Throughput":
        share = unit == "%" or (not unit and "Speed Of Light" in section)
        return _THROUGHPUT_SHARE if share else _THROUGHPUT
    return _LABELS.get(label, label)


def quantity(metrics: Mapping[str, float], name: str) -> float | None:
    """Look up one of `QUANTITIES` under the name that the tool and the chip gave it."""
    stated = stated_as(metrics, name)
    return None if stated is None else metrics[stated[0]] * stated[1]


def stated_as(metrics: Container[str], name: str) -> tuple[str, float] | None:
    """Find the metric that one of `QUANTITIES` is stated as, and what makes it the unit."""
    return next((stated for stated in QUANTITIES[name] if stated[0] in metrics), None)


def load_efficiency(metrics: Mapping[str, float]) -> float | None:
    """Compute the share of the transferred bytes that loads asked for, in percent.

    Where ncu counted bytes and sectors of both, that of LDG and LDGSTS (cp.async) together;
    else that of LDG alone: ncu's percentage, its ratio over the largest one, or its two
    components, whichever is there. nvprof's is its own value. None where nothing of it is; never
    clamped.
    """
    combined = _combined(metrics)
    return _efficiency(metrics, "ld") if combined is None else combined


def store_efficiency(metrics: Mapping[str, float]) -> float | None:
    """Compute the share of the transferred bytes that stores wrote, in percent, or None."""
    return _efficiency(metrics, "st")


def has_figure(metrics: Collection[str], name: str) -> bool:
    """Say whether one of `FIGURES` follows from metrics, if only they have a value."""
    if name not in ("load efficiency", "store efficiency"):
        return any(form in metrics for form in FIGURES[name])
    *stated, _, asked, sectors = FIGURES[name]
    return any(form in metrics for form in stated) or (asked in metrics and sectors in metrics)


def why_no_value(
    metrics: Mapping[str, float], no_value: Mapping[str, str], name: str
) -> str | None:
    """Say why one of `FIGURES` that a file speaks of has no value; None if it does not."""
    for form in FIGURES[name]:
        if form in no_value:
            return f'the file says "{no_value[form]}"'
    if not has_figure(metrics, name):
        return None
    return "0 of 0 sectors" if metrics.get(FIGURES[name][-1]) == 0 else "its numbers make none"


def load_coverage(metrics: Mapping[str, float]) -> float | None:
    """Compute the share of all loaded sectors that `load_efficiency` speaks for, in percent.

    Its sectors (LDG, and LDGSTS where it is combined) over those that L1 saw and TMA brought.
    """
    counted, seen = metrics.get(f"{_SECTORS}ld.sum"), metrics.get(_L1_LOAD_SECTORS)
    if counted is None or seen is None:
        return None
    if is_combined(metrics):
        counted += metrics[f"{_SECTORS}ldgsts.sum"]
    by_tma = metrics.get(_TMA_LOAD_BYTES, 0.0) / SECTOR_BYTES
    return _percent(counted, seen + by_tma)


def is_combined(metrics: Mapping[str, float]) -> bool:
    """Say whether `load_efficiency` is that of LDG and LDGSTS together."""
    return _combined(metrics) is not None


def leaves_out_async(metrics: Mapping[str, float]) -> bool:
    """Say whether the kernel loads by cp.async, and `load_efficiency` does not count that."""
    told = metrics.keys() & _ASYNC_LOADS
    return any(metrics[name] > 0 for name in told) and not is_combined(metrics)


def efficiency_in_rule(text: str) -> float | None:
    """Read the load efficiency that a rule of ncu states to a tenth of a byte, in percent."""
    stated = _RULE.search(text)
    return float(stated[1].replace(",", ".")) / SECTOR_BYTES * 100 if stated else None


def _combined(metrics: Mapping[str, float]) -> float | None:
    """Compute the load efficiency of LDG and LDGSTS, in percent; None where one was not counted.

    None also where there is no LDGSTS: what ncu states of LDG alone is the same then.
    """
    by_async = metrics.get(f"{_SECTORS}ldgsts.sum")
    if not by_async:
        return None
    asked, asked_by_async = (metrics.get(f"{_BYTES}{op}.sum") for op in ("ld", "ldgsts"))
    sectors = metrics.get(f"{_SECTORS}ld.sum")
    if asked is None or asked_by_async is None or sectors is None:
        return None
    return _percent(asked + asked_by_async, SECTOR_BYTES * (sectors + by_async))


def _efficiency(metrics: Mapping[str, float], op: str) -> float | None:
    nvprof, share, ratio, max_rate, asked, sectors = _EFFICIENCY[op]
    for stated in (nvprof, share):
        if (value := metrics.get(stated)) is not None:
            return value if value >= 0 else None
    if (value := metrics.get(ratio)) is not None:
        return _percent(value, metrics.get(max_rate, SECTOR_BYTES))
    if (value := metrics.get(asked)) is not None:
        return _percent(value, SECTOR_BYTES * metrics.get(sectors, 0))
    return None


def _percent(part: float, whole: float) -> float | None:
    share = denoised(100 * part / whole) if whole > 0 else float("nan")
    return share if isfinite(share) and share >= 0 else None
