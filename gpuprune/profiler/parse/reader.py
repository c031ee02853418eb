"""Reads a file that somebody captured from ncu or nvprof, whichever page of it that is."""

import gc
import re
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpuprune.errors import GpupruneError
from gpuprune.process import ending_on_signals
from gpuprune.profiler.errors import complaints, diagnose
from gpuprune.profiler.parse import ncu_csv, ncu_rep, ncu_text, nvprof_csv, nvprof_text
from gpuprune.profiler.parse.advice import collect_command
from gpuprune.profiler.parse.findings import Findings, Table
from gpuprune.profiler.parse.lines import Lines
from gpuprune.profiler.parse.numerals import Numerals
from gpuprune.profiler.parse.nvprof import note_heading
from gpuprune.profiler.parse.own_files import own_file
from gpuprune.profiler.parse.records import Report
from gpuprune.profiler.tools import find_tool
from gpuprune.units import format_count

MAX_LOG = 1 << 16  # characters, of the tool's lines between the tables
MAX_PROGRESS = 1 << 10  # of these, before the first error
MAX_SHOWN = 5  # of the cells that could not be read
MAX_WARNINGS = 20

_OF_A_TOOL = re.compile(r"==(?:[A-Z]+|[0-9]+)==|======== |Available Kernels:|^\s*[0-9]+\. ")
_PROGRAM = re.compile(
    r"NVPROF is profiling process \d+, command: (.+)|Connected to process \d+ \((.+)\)"
)
_PROGRESS = "==PROF=="  # a line a launch
_SQLITE = b"SQLite format 3\0"
_GZIP = b"\x1f\x8b"


def read_report(path: Path) -> Report:
    """Read the kernels of a file captured from ncu or nvprof, in its order.

    The format is told by the content: nvprof's tables and ncu's pages, as text or as CSV, and
    ncu's binary reports. Raises GpupruneError where the file cannot be read or holds no kernel;
    what could not be taken as good stands in the report's warnings.
    """
    start = _start_of(path)
    if start.startswith(_GZIP):
        raise GpupruneError(
            f"{path} is compressed",
            hint=f"unpack it first: gunzip -c {path} | gpuprune profile --from -",
        )
    with _collector_paused():
        findings = _read_binary(path) if start.startswith(ncu_rep.MAGIC) else _read_text(path)
        kernels = findings.finish()
    if not kernels:
        raise _no_kernel(path, start, findings)
    for complaint in complaints(findings.log):
        findings.warnings[f"the profiler reports: {complaint}"] += 1
    return Report(kernels=kernels, warnings=tuple(_warnings(findings)))


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep the garbage collector from a million records without cycles: a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _start_of(path: Path) -> bytes:
    captured = "give a file that ncu or nvprof wrote"
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "no regular file"
            raise GpupruneError(f"{path} is {what}", hint=captured)
        with path.open("rb") as file:
            return file.read(len(_SQLITE))
    except FileNotFoundError:
        raise GpupruneError(f"there is no file {path}", hint=captured) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise GpupruneError(f"{path} cannot be read: {reason}", hint=captured) from None


def _read_binary(path: Path) -> Findings:
    findings = Findings()
    with ending_on_signals():
        by_package = ncu_rep.read_package(path, findings)
        if by_package and (findings.parts or find_tool("ncu") is None):
            return findings
        with ncu_rep.imported_csv(path, findings) as page:
            return _read_text(page)


def _read_text(path: Path) -> Findings:
    lines, numerals = Lines(path), Numerals()
    findings = _gather(lines, numerals)
    if numerals.outdated:
        findings = _gather(lines, Numerals(numerals.decimal))
    if lines.unfinished:
        shown = lines.unfinished.strip()[:60] or "blanks"
        findings.warnings[f"the last line is unfinished and was dropped: {shown}"] += 1
        findings.log += lines.unfinished[:1000]
    return findings


def _gather(lines: Lines, numerals: Numerals) -> Findings:
    """Read all tables, or as far as the first number that shows an earlier one misread."""
    findings = Findings(numerals)
    table: Table | None = None
    for line in lines:
        # No header begins with a digit, nor one in quotes without these words, as most rows do.
        start = line[:1]
        is_row = start.isdecimal() or (
            start == '"' and 'Name"' not in line and '"Kernel"' not in line
        )
        opened = None if is_row else _open_table(line, findings, table)
        if opened is not None:
            table = opened
            findings.tables += 1
            findings.last_line = ""
        elif table is not None and table.take(line):
            findings.last_line = ""
            if numerals.outdated:
                break
        elif _is_between(line, findings):
            table = None
    return findings


def _open_table(line: str, findings: Findings, table: Table | None) -> Table | None:
    if line.startswith('"'):
        return nvprof_csv.open_table(line, findings) or ncu_csv.open_table(line, findings)
    if isinstance(table, ncu_text.Page):  # it goes on by itself from kernel to kernel
        return nvprof_text.open_table(line, findings)
    return nvprof_text.open_table(line, findings) or ncu_text.open_table(line, findings)


def _is_between(line: str, findings: Findings) -> bool:
    """Keep a line that is no row of a table; True where it ends the last table."""
    if not line.strip():
        return False
    findings.last_line = line
    room = MAX_PROGRESS if _PROGRESS in line else MAX_LOG
    if len(findings.log) < room and _OF_A_TOOL.search(line):
        findings.log += line[:1000] + "\n"
    return "=" in line and note_heading(line, findings)


def _no_kernel(path: Path, start: bytes, findings: Findings) -> GpupruneError:
    command = collect_command("ncu", program=_program(findings.log))
    known = diagnose(findings.log, path, shlex.split(command))
    if known is not None:
        return known
    again = f"capture it again: {command}"
    if not start:
        return GpupruneError(f"{path} is empty", hint=again)
    if start.startswith(ncu_rep.MAGIC):
        return GpupruneError(
            f"{path} is a report of ncu without a kernel that can be read here",
            hint=f"it may be cut off, or newer than what reads it here: {ncu_rep.upgrade()}",
        )
    if start == _SQLITE:
        return GpupruneError(
            f"{path} is a database, of nvprof -o or of Nsight Systems, and not a report",
            hint=f"print nvprof's: nvprof --import-profile {path} --csv --print-gpu-trace "
            "--log-file trace.csv; Nsight Systems does not measure load efficiency",
        )
    if findings.tables:
        return GpupruneError(f"{path} holds a profiler's table but no kernel in it", hint=again)
    if "==" in findings.log:
        return GpupruneError(f"{path} is a profiler's log without a table of kernels", hint=again)
    return own_file(path) or GpupruneError(
        f"{path} is nothing that ncu or nvprof wrote",
        hint="gpuprune reads nvprof's output (text or --csv), ncu's (text, or --csv with "
        "--page raw or details) and .ncu-rep files",
    )


def _program(log: str) -> str:
    """Say which program a log tells of, as far as it does, as a shell would take it."""
    found = _PROGRAM.search(log)
    words = next(filter(None, found.groups())).split() if found else []
    return shlex.join(words) or "PROGRAM"


def _warnings(findings: Findings) -> Iterator[str]:
    shown = findings.warnings.most_common(MAX_WARNINGS)
    for text, times in shown:
        yield text if times == 1 else f"{text} ({times} times)"
    if more := len(findings.warnings) - len(shown):
        yield f"and {format_count(more, 'warning')} more"
    if unread := findings.numerals.unread:
        some = ", ".join(sorted(unread)[:MAX_SHOWN])
        were = "was" if len(unread) == 1 else "were"
        yield (
            f"{format_count(len(unread), 'number')} can be read in two ways, or not in this "
            f"file's locale, and {were} not taken ({some}): capture with LC_NUMERIC=C"
        )
