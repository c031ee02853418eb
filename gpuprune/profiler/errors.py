"""The errors of ncu and nvprof, recognised in their output and turned into advice."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from gpuprune.errors import GpupruneError


@dataclass(frozen=True, slots=True)
class _Known:
    """A text of a profiler, what it means (with the text's groups in it), and the next step."""

    text: str
    meaning: str
    hint: str
    live: str = ""  # the next step in a run that gpuprune started, where it is another one
    is_fatal: bool = True  # whether what was profiled all the same is not the whole


_SAY_WHICH_GPUS = "ncu --list-chips names the GPUs that this version knows"
_WHY_IT_FAILS = (
    "an ncu older than the driver does this (take the newest), and so do a signal, too little "
    "memory, and libraries of the driver that are not on LD_LIBRARY_PATH"
)
_USE_NCU = "use Nsight Compute (ncu) for compute capability 7.0 and above: {command}"

# The first that matches is the one reported, so a cause stands before its consequences.
_KNOWN = (
    _Known(
        r"on the target vGPU device (\d+)",
        "the profiler may not read the performance counters of vGPU device {0}",
        "ask the administrator of the host to allow profiling for this vGPU",
    ),
    _Known(
        r"ERR_NVGPUCTRPERM|^=.*The user does not have permission",
        "the profiler may not read the GPU's performance counters (ERR_NVGPUCTRPERM)",
        "run it with sudo or CAP_SYS_ADMIN (CAP_PERFMON from driver R565 on): sudo -E {command} "
        "(with full paths: sudo drops PATH); "
        "or for every user: put `options nvidia NVreg_RestrictProfilingToAdminUsers=0` into "
        "/etc/modprobe.d/nvidia.conf on the host, rebuild the initramfs and reboot "
        "(RmProfilingAdminOnly in /proc/driver/nvidia/params shows the state); a container "
        "needs --cap-add=SYS_ADMIN or that setting on its host; under Windows and WSL allow "
        "it in the NVIDIA Control Panel, Developer",
    ),
    _Known(
        r"a driver resource was unavailable",
        "another tool is using the GPU's performance counters",
        "close other profilers, and pause DCGM with `dcgmi profile --pause` "
        "(`dcgmi profile --resume` afterwards); then again: {command}",
    ),
    _Known(
        r"nvprof is not supported on devices with compute capability|"
        r"Skipping profiling on device \d+ since profiling is not supported",
        "nvprof does not know this GPU: it is too new",
        _USE_NCU,
        live="give an ncu instead: {command} --profiler PATH",
    ),
    _Known(
        r"Profiling is not supported on device (\d+) as it uses the Windows Subsystem for Linux",
        "ncu cannot profile device {0} under this Windows Subsystem for Linux (WSL)",
        "it can under WSL 2 with a current driver of Windows, where the NVIDIA Control Panel, "
        "Developer, allows it; else profile under Windows or Linux itself: {command}",
    ),
    _Known(
        r"Profiling is not supported on device (\d+[^.]*)",
        "ncu cannot profile device {0}",
        f"{_SAY_WHICH_GPUS}: install a newer ncu for a newer GPU, and use nvprof (CUDA 12.9 or "
        "earlier) below compute capability 7.0",
        live="give a newer ncu for a newer GPU, or nvprof (CUDA 12.9 or earlier) below compute "
        "capability 7.0: {command} --profiler PATH",
    ),
    _Known(
        r"Cuda driver is not compatible with Nsight Compute|Insufficient driver version",
        "the driver is too old for this ncu",
        "update the NVIDIA driver, or use the ncu of an earlier CUDA; then again: {command}",
        live="update the NVIDIA driver, or give the ncu of an earlier CUDA: {command} "
        "--profiler PATH",
    ),
    _Known(
        r"failed to connect to the CUDA driver|^=.*Error: internal error",
        "the profiler found no CUDA driver here",
        "run it on a machine with an NVIDIA GPU (nvidia-smi must work there), or give "
        "`gpuprune profile` --predict instead",
    ),
    _Known(
        r"Failed to (?:open|create|open/create) lock file (\S+?)\.?(?:\s|$)",
        "another user's profiler holds the lock file {0}",
        "use a folder of your own, or have that file deleted: TMPDIR=$HOME {command}",
    ),
    _Known(
        r"Another (\S+) instance is already running",
        "another {0} is already running",
        "wait for it, or end it; then again: {command}",
    ),
    _Known(
        r"Failed to find metric (.+)",
        "this ncu has no metric {0} for this GPU",
        "`ncu --query-metrics --chips CHIP` lists those it has; load efficiency alone: {command}",
        live="give another version of ncu: {command} --profiler PATH "
        "(`ncu --query-metrics` lists the metrics that one has)",
    ),
    _Known(
        r"No metrics to collect found in sections",
        "ncu found no metric in the sections asked for",
        "`ncu --list-sets` and `ncu --list-sections` list what it knows; by name: {command}",
    ),
    _Known(
        r"(?:Failed to load|Could not open) report file '(.*)'",
        "ncu could not read the report {0}",
        "a report of a newer version needs an ncu at least as new; "
        "or install the reader: pip install 'gpuprune[profiler]'",
    ),
    _Known(
        r"unrecogni[sz]ed option '?([^'\s]+)",
        "the profiler does not know the option {0}",
        "its --help lists the options of the installed version; a newer one may know it",
        live="give a newer version: {command} --profiler PATH",
    ),
    _Known(
        r"'(.*)' does not exist or is not an executable",
        "the profiler could not start {0}",
        "give the program's full path: sudo drops PATH",
    ),
    _Known(
        r"CUPTI and CUDA Injection libraries might not be set in LD_LIBRARY_PATH",
        "nvprof did not find its CUPTI libraries and collected nothing",
        "add CUDA's extras/CUPTI/lib64 and lib64 to LD_LIBRARY_PATH",
    ),
    _Known(
        r"Failed to prepare kernel for profiling|Failed to profile \"|"
        r"An error occurred while trying to profile|Unknown Error on device",
        "the profiler failed while it profiled a kernel",
        _WHY_IT_FAILS,
    ),
    _Known(
        r"^==ERROR== ([A-Z][a-z]+(?:[A-Z][A-Za-z]*)+)\s*$",
        "the profiler failed: {0}",
        _WHY_IT_FAILS,
    ),
    _Known(
        r"The application returned an error code \((\d+)\)|"
        r"Application returned non-zero code (\d+)",
        "the profiled program failed with exit code {0}{1}",
        "run the program without the profiler first; what it printed stands in the log",
        live="what it printed stands in the log; `gpuprune bench` runs the same products without "
        "the profiler; then again: {command}",
    ),
    _Known(
        r"No kernels were profiled\.?\s*\n(?:=.*\n)*\s*Available Kernels:\s*\n"
        r"((?:\s*\d+\. .*\n?)+)",
        "no kernel matched the filter; the program launched: {0}",
        "give one of these names to --kernel-name (regex:... matches a part), or none: {command}",
        live="ncu did not see where the products begin, as gpuprune marks them; give another "
        "version of it: {command} --profiler PATH",
    ),
    _Known(
        r"requires the --target-processes all option",
        "kernels that child processes launched were not profiled",
        "profile them too: {command}",
        live="gpuprune asks for them already; give another version of ncu: {command} --profiler "
        "PATH",
        is_fatal=False,
    ),
    _Known(
        r"No kernels were profiled|No events/metrics were profiled|"
        r"No CUDA application was profiled",
        "no kernel was profiled",
        "the program launched none, or --kernel-name, --nvtx-include or "
        "--profile-from-start off passed over all of them; without these: {command}",
        live="`gpuprune bench` shows whether the products run here at all; if they do, give "
        "another version of the profiler: {command} --profiler PATH",
        is_fatal=False,
    ),
    _Known(
        r"One or more events or metrics (?:overflowed|can't be)",
        "some of nvprof's counters overflowed or could not be profiled",
        "profile launch by launch: nvprof --print-gpu-trace --csv, fewer metrics at a time",
        live="take a smaller layer: {command} --shape ROWSxCOLSxBATCH",
        is_fatal=False,
    ),
    _Known(
        r"No profile data collected",
        "nvprof collected nothing",
        "run the program without nvprof first: it must launch a kernel and end normally",
        live="`gpuprune bench` shows whether the products run here without nvprof",
    ),
)


def diagnose(
    text: str, source: Path | str, command: Sequence[str] = ("ncu", "...")
) -> GpupruneError | None:
    """Find the first known error in a profiler's output.

    `source` is the file that keeps the output, and is named in the message; `command` is what
    was run, and is quoted in the hint. None where nothing is recognised.
    """
    for known, matched in _matches(text):
        hint = known.hint.replace("{command}", shlex.join(command))
        return GpupruneError(f"{_meaning(known, matched)}; its own words: {source}", hint=hint)
    return None


def diagnose_live(
    text: str, command: Sequence[str], *, has_results: bool
) -> tuple[str, str] | None:
    """Find the first known error of a run that gpuprune started: what it means, and a hint.

    `command` is what the user gave. Where there are results, what left them whole is no error.
    """
    for known, matched in _matches(text):
        if known.is_fatal or not has_results:
            hint = (known.live or known.hint).replace("{command}", shlex.join(command))
            return _meaning(known, matched), hint
    return None


def complaints(text: str) -> tuple[str, ...]:
    """Say in a sentence each what a profiler that did give results complained of."""
    return tuple(_meaning(known, matched) for known, matched in _matches(text))


def keep_words(words: str) -> str:
    """Keep what was printed in a file, and say which."""
    if not words.strip():
        return "it printed nothing"
    with NamedTemporaryFile(
        "w", encoding="utf-8", prefix="gpuprune-profiler-", suffix=".log", delete=False
    ) as file:  # only this user may read it
        file.write(words)
    return f"its own words: {file.name}"


def _matches(text: str) -> Iterator[tuple[_Known, re.Match[str]]]:
    for known in _KNOWN:
        if matched := re.search(known.text, text, re.MULTILINE):
            yield known, matched


def _meaning(known: _Known, matched: re.Match[str]) -> str:
    groups = [" ".join((group or "").split()) for group in matched.groups()]
    return known.meaning.format(*groups)
