"""Reading what ncu and nvprof wrote: `read_report` turns a captured file into records."""

from gpuprune.profiler.parse.advice import Remarks, collect_command, notes
from gpuprune.profiler.parse.missing import Missing, without_value
from gpuprune.profiler.parse.reader import read_report
from gpuprune.profiler.parse.records import KernelProfile, Report, as_json

__all__ = [
    "KernelProfile",
    "Missing",
    "Remarks",
    "Report",
    "as_json",
    "collect_command",
    "notes",
    "read_report",
    "without_value",
]
