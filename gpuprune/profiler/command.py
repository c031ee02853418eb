"""How a profiler is started: which one, for which metrics, and in which environment.

A profiler reads the clocks, caches and counters of a machine that others use as well: it is run
as the user, with clocks and caches left alone, on a program given as a list of arguments.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpuprune.errors import GpupruneError
from gpuprune.profiler.errors import diagnose
from gpuprune.profiler.tools import find_tool

Capability = tuple[int, int]  # compute capability, major and minor

_NCU_SINCE = (7, 0)
_LDGSTS_SINCE = (8, 0)  # cp.async: global to shared memory past the registers
_UNSURE_SINCE = (9, 0)  # which metrics of such chips there are depends on ncu's version

_SASS = "smsp__sass_"
_LOADS = (
    f"{_SASS}average_data_bytes_per_sector_mem_global_op_ld.pct",
    f"{_SASS}average_data_bytes_per_sector_mem_global_op_st.pct",
    f"{_SASS}data_bytes_mem_global_op_ld.sum",
    f"{_SASS}l1tex_t_sectors_pipe_lsu_mem_global_op_ld.sum",
)
_AROUND = (
    "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum",  # with LDGSTS: what the loads are a part of
    "l1tex__t_requests_pipe_lsu_mem_global_op_ld.sum",
    "l1tex__t_sector_hit_rate.pct",
    "lts__t_sector_hit_rate.pct",
    "sm__warps_active.avg.pct_of_peak_sustained_active",
)
_DRAM = ("dram__bytes_read.sum", "dram__bytes_op_read.sum")  # the latter from Blackwell on
_LDGSTS = (
    f"{_SASS}data_bytes_mem_global_op_ldgsts.sum",
    f"{_SASS}l1tex_t_sectors_pipe_lsu_mem_global_op_ldgsts.sum",
)
_TMA = (
    "smsp__inst_executed_op_tma_ld.sum",
    "l1tex__m_xbar2l1tex_read_bytes_mem_global_op_tma_ld.sum",
)
_NVPROF = (
    "gld_efficiency",
    "gst_efficiency",
    "gld_transactions",
    "l2_tex_hit_rate",
    "dram_read_transactions",
    "achieved_occupancy",
)

_QUERY_SECONDS = 60
_SYS_ADMIN, _PERFMON = 21, 38  # numbers of Linux capabilities; drivers from R565 on accept either
_INSTALL = {
    "ncu": "install Nsight Compute, which comes with CUDA (Debian: apt install nsight-compute)",
    "nvprof": "install CUDA 12.9 or earlier: below compute capability 7.0 only its nvprof counts",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiler:
    """A profiler on this machine."""

    tool: str  # "ncu" or "nvprof"
    path: Path  # absolute


def find_profiler(capability: Capability, asked: Path | None = None) -> Profiler:
    """Find the profiler for a GPU, or take the one that was asked for.

    Below compute capability 7.0 that is nvprof, from there on ncu. Raises GpupruneError where
    none is there.
    """
    if asked is not None:
        on_path = shutil.which(asked) if asked.name == str(asked) else None
        asked = Path(on_path) if on_path and not asked.exists() else asked
        if not (asked.is_file() and os.access(asked, os.X_OK)):
            raise GpupruneError(
                f"{str(asked)!r} is no program that can be run",
                hint="give the path of ncu or nvprof, such as /usr/local/cuda/bin/ncu",
            )
        return Profiler(tool="nvprof" if "nvprof" in asked.name else "ncu", path=asked.absolute())
    tool = "nvprof" if capability < _NCU_SINCE else "ncu"
    if found := find_tool(tool):
        return Profiler(tool=tool, path=found)
    raise GpupruneError(
        f"there is no {tool} on PATH, in CUDA_HOME, or where CUDA is usually installed",
        hint=f"{_INSTALL[tool]}; or say where it is with --profiler PATH; or take --predict, "
        "which computes load efficiency without a profiler",
    )


def choose_metrics(profiler: Profiler, capability: Capability) -> tuple[str, ...]:
    """List the metrics of load efficiency, and of what it leaves out, that a GPU has.

    An unknown metric stops ncu. So it is asked for those it knows where that is not certain.
    """
    if profiler.tool == "nvprof":
        return _NVPROF
    if capability < _LDGSTS_SINCE:
        return (*_LOADS, *_AROUND, _DRAM[0])
    if capability < _UNSURE_SINCE:
        return (*_LOADS, *_AROUND, _DRAM[0], *_LDGSTS)
    known = _ask_for_metrics(profiler)
    wanted = (*_DRAM, *_LDGSTS, *_TMA)
    return (*_LOADS, *_AROUND, *(name for name in wanted if name.partition(".")[0] in known))


def profile_command(
    profiler: Profiler,
    metrics: Sequence[str],
    program: Sequence[str],
    log: Path,
    report: Path | None = None,
    *,
    flush: bool = False,
) -> list[str]:
    """Write the command that profiles what `program` marks, and writes a table to `log`.

    With `report`, ncu writes its own format there instead; `import_command` makes the table.
    With `flush`, ncu empties the caches before each pass of a kernel; nvprof cannot.
    """
    if profiler.tool == "nvprof":
        return [
            *(str(profiler.path), "--profile-from-start", "off"),
            *("--unified-memory-profiling", "off", "--print-gpu-trace", "--csv"),
            *("--metrics", ",".join(metrics), "--log-file", str(log)),
            *program,
        ]
    table = ["--csv", "--page", "raw", "--print-units", "base"]
    return [
        *(str(profiler.path), "--target-processes", "all", "--profile-from-start", "off"),
        *("--replay-mode", "kernel", "--cache-control", "all" if flush else "none"),
        *("--clock-control", "none"),
        *("--nvtx", "--metrics", ",".join(metrics), "--log-file", str(log)),
        *(table if report is None else ["--force-overwrite", "--export", str(report)]),
        *program,
    ]


def import_command(profiler: Profiler, report: Path, log: Path) -> list[str]:
    """Write the command that makes a table of a report of ncu; it needs no GPU."""
    return [
        *(str(profiler.path), "--import", str(report)),
        *("--csv", "--page", "raw", "--print-units", "base", "--log-file", str(log)),
    ]


def environment(own: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return an environment for plain decimal numbers, and for the modules that are found here."""
    changed = {name: value for name, value in own.items() if name != "LC_ALL"}
    if encoding := own.get("LC_ALL"):
        changed["LC_CTYPE"] = encoding
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return changed | {"LC_NUMERIC": "C", "PYTHONPATH": path}


def require_permission(
    asked: Sequence[str],
    params: Path = Path("/proc/driver/nvidia/params"),
    status: Path = Path("/proc/self/status"),
) -> None:
    """Raise GpupruneError where the driver keeps its counters from this user.

    `asked` is the command that the user gave, for the advice.
    """
    if _entry(params, "RmProfilingAdminOnly") != "1":
        return
    capabilities = int(_entry(status, "CapEff") or "0", 16)
    if capabilities & (1 << _SYS_ADMIN | 1 << _PERFMON):
        return
    refused = diagnose("ERR_NVGPUCTRPERM", params, asked)
    if refused is None:
        return
    raise GpupruneError(
        "the driver lets only administrators read the GPU's performance counters: "
        f"RmProfilingAdminOnly is 1 in {params}",
        hint=refused.hint,
    )


def _ask_for_metrics(profiler: Profiler) -> frozenset[str]:
    """Ask ncu for the base names of the metrics of the GPUs here; empty if it does not say."""
    try:
        answer = subprocess.run(
            [str(profiler.path), "--query-metrics"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_QUERY_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    return frozenset(line.split()[0] for line in answer.stdout.splitlines() if line.split())


def _entry(path: Path, name: str) -> str | None:
    """Read the value of a `name: value` line; None where file or line are not there."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        key, separator, value = line.partition(":")
        if separator and key.strip() == name:
            return value.strip()
    return None
