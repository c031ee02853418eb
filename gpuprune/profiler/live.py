"""A sweep under a profiler: started once, watched, and every kernel told to its case."""

import json
import re
import shlex
import signal
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gpuprune.errors import GpupruneError
from gpuprune.process import ending_on_signals, run_watched
from gpuprune.profiler import command
from gpuprune.profiler.command import Profiler
from gpuprune.profiler.errors import complaints, diagnose_live, keep_words
from gpuprune.profiler.keeping import REPORT, keep_file, require_new
from gpuprune.profiler.parse import KernelProfile, Report, read_report
from gpuprune.profiler.parse.lines import Lines
from gpuprune.profiler.parse.metrics import load_coverage
from gpuprune.profiler.target import MARKER, NAME, PROGRESS, Job, Range
from gpuprune.records import Case
from gpuprune.units import format_count

STALL_S = 600.0  # without a product, or the end, nothing is coming any more
_START_S = 15.0  # of Python, CuPy and the profiler, a guess to be told before anything is known
_PRODUCT_S = 1.0  # of one product with what prepares it and its profiled passes, likewise
_TABLE = "table.csv"
_TARGET = "gpuprune.profiler.target"
_UNTOLD = {"variant": None, "reason": "was not reached"}

# An NVTX column of ncu's raw page.
_RANGE_IN_ROW = re.compile(rf'"(\d{{1,18}})",.*\b{NAME} (\d{{1,18}}) rate=')
_MARKER = re.compile(rf"{MARKER}(\d{{1,18}})\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A kernel that a contender launched in its product of a case."""

    profile: KernelProfile
    case: Case
    contender: str
    variant: str | None
    coverage_pct: float | None  # share of the loaded sectors that load efficiency speaks for


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """What a profiler saw of a sweep."""

    launches: tuple[Launch, ...]
    warnings: tuple[str, ...]  # products without a kernel and why, complaints of the profiler
    strays: int = 0  # kernels outside of the products, which were left out
    failure: GpupruneError | None = None  # why the launches are not all


def estimate_s(job: Job) -> float:
    """Guess how long a job takes under a profiler, in seconds."""
    return _START_S + _PRODUCT_S * len(job.ranges)


def profile_live(
    job: Job,
    profiler: Profiler,
    metrics: Sequence[str],
    *,
    asked: Sequence[str] = ("gpuprune", "profile"),
    keep: Path | None = None,
    flush: bool = False,
    stall_s: float = STALL_S,
    advance: Callable[[int], None] = lambda done: None,
) -> Capture:
    """Run a job under a profiler, started once for all of it.

    asked: the command that the user gave, for advice. keep: a new file for what the profiler
    wrote: its table, or with the suffix .ncu-rep the report of ncu. flush: whether ncu empties the
    caches before each kernel. advance: told how many products are done, whenever that changes.
    Where the run broke off, what it gave until then is returned with its failure. Raises
    GpupruneError, with advice, where nothing was profiled. Either names a file that holds the
    profiler's own words.
    """
    if keep is not None:
        require_new(keep, profiler.tool)
    with (
        ending_on_signals(),
        TemporaryDirectory(prefix="gpuprune-") as name,  # only this user may enter it
    ):
        folder = Path(name)
        (folder / "job.json").write_text(job.to_json())
        program = [sys.executable, "-P", "-m", _TARGET, str(folder / "job.json")]
        report = folder / f"report{REPORT}" if keep and keep.suffix == REPORT else None
        argv = command.profile_command(
            profiler, metrics, program, folder / _TABLE, report, flush=flush
        )
        command.require_permission(asked)
        watched = _Watched(folder, advance)
        watched.run(argv, stall_s)
        if report is not None and report.exists():
            watched.run(command.import_command(profiler, report, folder / _TABLE), stall_s)
        capture = _attribute(watched, job)
        failure = _failure(watched, capture, profiler, asked)
        if keep is not None and (capture.launches or capture.strays):
            unkept = keep_file(report or folder / _TABLE, keep)
            failure = _both(failure, unkept) if failure and unkept else failure or unkept
    if failure is not None and not capture.launches:
        raise failure
    return replace(capture, failure=failure)


class _Watched:
    """A run of the watched process: what it and its profiler leave in a folder."""

    def __init__(self, folder: Path, advance: Callable[[int], None]) -> None:
        self.table = folder / _TABLE
        self.progress: list[dict[str, Any]] = []
        self.words = ""  # all that was printed, by the profiler and by the process
        self.stalled = False
        self.code: int | None = 0  # of the last program, negative for a signal
        self._folder = folder
        self._advance = advance

    def run(self, argv: Sequence[str], stall_s: float) -> None:
        output = self._folder / "output.txt"
        environment = command.environment()
        code = run_watched(argv, output, environment, has_moved=self._read_on, stall_s=stall_s)
        self.stalled = self.stalled or code is None
        self.code = self.code or code  # the first that is not 0
        for path in (self.table, output):
            with suppress(FileNotFoundError):
                self.words += path.read_text(encoding="utf-8", errors="replace")

    def _read_on(self) -> bool:
        """Read the lines of progress that are new and complete."""
        with suppress(FileNotFoundError):
            whole, _, _ = (self._folder / PROGRESS).read_text().rpartition("\n")
            if more := whole.splitlines()[len(self.progress) :]:
                self.progress += map(json.loads, more)
                self._advance(len(self.progress))
                return True
        return False


def _attribute(watched: _Watched, job: Job) -> Capture:
    """Tell every kernel to the product in whose range it was launched."""
    report = _read(watched.table)
    told = {line["number"]: line for line in watched.progress if "number" in line}
    ranges = job.ranges
    launches = []
    strays = 0
    for profile, number in _numbered(report.kernels, watched.table):
        if number is None or number >= len(ranges):
            strays += 1
            continue
        variant = told.get(number, _UNTOLD)["variant"]
        launches.append(_launch(profile, ranges[number], variant))
    seen = {(one.case, one.contender) for one in launches}
    blind = [one for one in ranges if (one.case, one.contender) not in seen]
    warnings = [*report.warnings, *_reasons(blind, told)]
    warnings += [f"the profiler reports: {text}" for text in complaints(watched.words)]
    warnings += [line["error"] for line in watched.progress if "error" in line]
    if strays:
        warnings.append(f"{format_count(strays, 'kernel')} outside of the products left out")
    return Capture(
        launches=tuple(launches), warnings=tuple(dict.fromkeys(warnings)), strays=strays
    )


def _read(table: Path) -> Report:
    with suppress(GpupruneError):  # there is no kernel: the profiler's words say more about it
        return read_report(table)
    return Report(kernels=(), warnings=())


def _numbered(
    kernels: Collection[KernelProfile], table: Path
) -> Iterator[tuple[KernelProfile, int | None]]:
    """Give each kernel with the number of its range, None where it has none."""
    of_launch = _ranges_by_launch(table) if kernels else {}
    marked = None
    for profile in kernels:
        if mark := _MARKER.match(profile.kernel):
            marked = int(mark[1])
        elif profile.tool == "nvprof":
            yield profile, marked
        else:
            yield profile, of_launch.get(profile.launch)


def _ranges_by_launch(table: Path) -> dict[int | None, int]:
    """Read from ncu's raw page which launch, by its ID, lay in which range."""
    found = (_RANGE_IN_ROW.match(line) for line in Lines(table))
    return {int(match[1]): int(match[2]) for match in found if match}


def _launch(profile: KernelProfile, product: Range, variant: str | None) -> Launch:
    return Launch(
        profile=profile,
        case=product.case,
        contender=product.contender,
        variant=variant,
        coverage_pct=load_coverage(profile.metrics),
    )


def _reasons(blind: Iterable[Range], told: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """Say why products have no kernel: a line for each contender and reason."""
    why = Counter(
        (one.contender, told.get(one.number, _UNTOLD)["reason"] or "launched no profiled kernel")
        for one in blind
    )
    return [
        f"{contender} ({count} of the cases): {reason}"
        for (contender, reason), count in why.items()
    ]


def _failure(
    watched: _Watched, capture: Capture, profiler: Profiler, asked: Sequence[str]
) -> GpupruneError | None:
    """Say why a run gave nothing, or not all; None where it is whole."""
    cause = _cause(watched, profiler, asked, has_results=bool(capture.launches))
    if cause is None and capture.launches:
        return None
    if cause is None and capture.strays:
        cause = (
            f"{profiler.tool} profiled {capture.strays} kernels, but none of them in the range "
            "of a product",
            "it does not report NVTX ranges as gpuprune reads them (--keep FILE.csv keeps its "
            f"table): give another version of it: {shlex.join(asked)} --profiler PATH",
        )
    message, hint = cause or (
        f"{profiler.tool} gave no kernel",
        "run it by hand on a small CUDA program, or take --predict",
    )
    if capture.launches:
        reached = len({(one.case, one.contender) for one in capture.launches})
        message += f"; {reached} of the products were profiled"
    return GpupruneError(f"{message}; {keep_words(watched.words)}", hint=hint)


def _both(one: GpupruneError, other: GpupruneError) -> GpupruneError:
    return GpupruneError(f"{one}; {other}", hint=f"{one.hint}; {other.hint}")


def _cause(
    watched: _Watched, profiler: Profiler, asked: Sequence[str], *, has_results: bool
) -> tuple[str, str] | None:
    """Find what broke a run off, and the next step."""
    again = f"then again: {shlex.join(asked)}"
    for line in watched.progress:
        if "error" in line:
            return line["error"], f"{line['hint'].partition(', or take --device cpu')[0]}; {again}"
    if watched.stalled:
        return (
            f"{profiler.tool} made no progress and was ended",
            f"end other programs that use the GPU, or take a smaller sweep; {again}",
        )
    if recognised := diagnose_live(watched.words, asked, has_results=has_results):
        return recognised
    if watched.code and watched.code < 0:
        return (
            f"{profiler.tool} was ended by {signal.Signals(-watched.code).name}",
            "the system does that where memory runs out (dmesg tells), and so do batch systems; "
            f"take a smaller sweep; {again}",
        )
    if watched.code and has_results:
        message = f"{profiler.tool} ended with exit code {watched.code}"
        return message, f"read what it says; {again}"
    return None
