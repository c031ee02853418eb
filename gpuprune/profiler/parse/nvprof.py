"""What nvprof's tables mean, printed as text or as comma-separated values."""

import re
from collections.abc import Sequence
from math import nan

from gpuprune.profiler.parse.findings import Draft, Findings
from gpuprune.profiler.parse.quantities import nvprof_value

_RUN_BEGINS = re.compile(r"==\d+== NVPROF is profiling process")
_HEADING = re.compile(r"^\s*=+(?:\d+=+)? ([A-Z][A-Za-z ()]+):\s*$")

# What a summary has of a kernel: in all, on average, the shortest and the longest.
DURATIONS = ("duration_sum", "duration", "duration_min", "duration_max")


def note_heading(line: str, findings: Findings) -> bool:
    """Notice where a run begins and which table follows; True where the last table has ended."""
    if _RUN_BEGINS.search(line):
        findings.run += 1
        findings.heading = ""
        return True
    if heading := _HEADING.match(line):
        findings.heading = heading[1]
        return True
    return False


def holds_kernels(findings: Findings) -> bool:
    """Say whether the summary under the last heading is one of kernels, not of API calls."""
    return findings.heading in ("", "Profiling result")


def kernel_name(text: str) -> str | None:
    """Cut the correlation id off a name; None for copies, fills and page faults."""
    name = text.strip()
    if name.endswith("]"):
        before, mark, number = name[:-1].rpartition(" [")
        name = before if mark and number.isdecimal() else name
    return None if not name or name.startswith("[") else name


def add_metric(
    findings: Findings,
    *,
    device: str | None,
    kernel: str,
    invocations: int,
    name: str,
    cells: Sequence[str],  # minimum, maximum, average
) -> None:
    """Keep a metric or an event of a kernel, summed up over its invocations."""
    draft = _draft(findings, device, kernel, invocations, name)
    low, high, average = (nvprof_value(cell) for cell in cells)
    if low is not None and high is not None and average is not None:
        if findings.contradict(kernel, name, average, low, high):
            draft.lacks(name, cells[2].strip())
        else:
            draft.add(name, average, low, high)
    else:
        draft.lacks(name, cells[2].strip())
        if any(cell.strip().startswith("<") for cell in cells):
            findings.warnings[f'"{name}" of "{kernel}" overflowed or is invalid: not taken'] += 1
        elif any(cell.strip()[:1].isdecimal() for cell in cells):
            findings.warnings[f'{name} of "{kernel}" cannot be read: {", ".join(cells)}'] += 1


def add_summary(
    findings: Findings, *, kernel: str, calls: int, nanoseconds: Sequence[float | None]
) -> None:
    """Keep the total, average, shortest and longest duration of a kernel."""
    draft = _draft(findings, None, kernel, calls, "duration")
    average, low, high = (nan if one is None else one for one in nanoseconds[1:])
    if findings.contradict(kernel, "duration", average, low, high):
        return
    for name, value in zip(DURATIONS, nanoseconds, strict=True):
        if value is not None:
            draft.add(name, value)


def _draft(
    findings: Findings, device: str | None, kernel: str, invocations: int, name: str
) -> Draft:
    """Find the kernel's open record; a metric that it has already begins another one."""
    key = ("nvprof", findings.run, kernel, invocations)
    draft = findings.drafts.get(key)
    same_device = draft and (device is None or draft.device in (None, device))
    if draft is None or not same_device or name in draft.metrics:
        draft = Draft(kernel=findings.name(kernel), tool="nvprof", invocations=invocations)
        findings.drafts[key] = findings.begin(draft)
    draft.device = draft.device or device
    return draft
