"""What `gpuprune profile` says: efficiencies to stdout, the conversation to stderr."""

import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import groupby, islice
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import click

from gpuprune import environment, plan, report, session
from gpuprune.backends import Unavailable, open_backend
from gpuprune.cli import streams, terminal
from gpuprune.cli.console import note, progress
from gpuprune.config import Sweep
from gpuprune.errors import GpupruneError
from gpuprune.execution import Local
from gpuprune.profiler import live, tables
from gpuprune.profiler.command import Profiler, choose_metrics, find_profiler
from gpuprune.profiler.live import Capture
from gpuprune.profiler.mappings import MAPPINGS
from gpuprune.profiler.model import Prediction
from gpuprune.profiler.parse import KernelProfile, Missing, Remarks, Report, read_report
from gpuprune.profiler.prediction import predict_cases, predict_products
from gpuprune.profiler.target import Job
from gpuprune.profiler.totals import KernelTotals
from gpuprune.records import Case, layer_of
from gpuprune.storage import twice
from gpuprune.units import format_count, format_minutes

MAX_ROWS = 2000  # of a table for people; its widths follow from all of them
_LINES_AT_ONCE = 200  # few enough to stay in the cache

_COUNTING = {
    "ncu": "distinct bytes, as ncu counts",
    "nvprof": "bytes of all lanes, as nvprof counts",
}


def show_files(paths: Sequence[Path], output_format: report.Format, *, quiet: bool) -> None:
    """Show the kernels of captured files; files without one are warnings, unless all are."""
    if repeated := twice(paths):
        raise GpupruneError(f"--from: {repeated}", hint="give each file once")
    reports: dict[Path, Report] = {}
    refusals: list[GpupruneError] = []
    for path in paths:
        try:
            with _as_file(path) as file:
                reports[path] = read_report(file)
        except GpupruneError as refusal:
            refusals.append(refusal)
            continue
        _warn(f"{path}: {text}" for text in reports[path].warnings)
    if not reports:
        raise refusals[0]
    for unread in refusals:
        _warn([str(unread)])
        click.echo(f"Hint: {report.printable(unread.hint)}", err=True)
    remarks, missing = Remarks(), {path: Missing() for path in reports}
    kernels = _looked_at(reports, remarks, missing)
    if output_format in ("json", "csv"):
        _stream((kernel for _, kernel in kernels), output_format)
    elif sum(len(read.kernels) for read in reports.values()) <= MAX_ROWS:
        _show_kernels(tables.kernel_rows(kernels), output_format, quiet=quiet)
    else:
        totals = KernelTotals(MAX_ROWS)
        for _, kernel in kernels:
            totals.add(kernel)
        again = (kernel for read in reports.values() for kernel in read.kernels)
        _show_kernels(totals.rows(again), output_format, quiet=quiet)
        note(_told_of_totals(len(totals)), quiet=quiet)
    for path, own in missing.items():
        before = f"{path}: " if len(reports) > 1 else ""
        for text in own.lines():
            note(report.printable(f"Note: {before}{text}"), quiet=quiet)
    for text in remarks.lines():
        note(report.printable(f"Note: {text}"), quiet=quiet)


def show_predictions(
    asked: Sweep, mapping: str, output_format: report.Format, *, quiet: bool
) -> None:
    """Predict every case of a sweep: JSON as it is computed, any other format in the end."""
    cases = plan.cases(asked)
    plan.check_memory(cases, environment.free_memory_bytes())  # patterns are counted on the host
    found: list[tuple[Case, Prediction]] = []
    try:
        with progress(len(cases), quiet=quiet) as advance:
            for case, prediction in predict_cases(cases, mapping):
                if output_format == "json":
                    click.echo(report.json_lines([tables.prediction_row(case, prediction)]))
                found.append((case, prediction))
                advance(len(found))
    except KeyboardInterrupt:
        note(f"{len(found)} of {format_count(len(cases), 'case')} predicted.", quiet=False)
        _show_predicted(found, mapping, output_format)
        raise
    _show_predicted(found, mapping, output_format)


def _show_predicted(
    found: Sequence[tuple[Case, Prediction]], mapping: str, output_format: report.Format
) -> None:
    """Show in the end what is not shown as it is computed."""
    if not found:
        return
    if output_format == "csv":
        click.echo(report.csv_text([tables.prediction_row(*one) for one in found]))
    elif output_format != "json":
        terminal.show("\n\n".join(_predicted_layers(found, mapping, output_format)), output_format)


def show_live(
    asked: Sweep,
    mapping: str,
    output_format: report.Format,
    *,
    profiler: Path | None,
    keep: Path | None,
    quiet: bool,
) -> None:
    """Run a sweep under the GPU's profiler, and show its kernels beside what is predicted."""
    job, found, metrics = _prepare(asked, profiler)
    note(
        f"Profiling {len(job.ranges)} products ({', '.join(job.contenders)}) with {found.path}: "
        f"about {format_minutes(live.estimate_s(job))}.",
        quiet=quiet,
    )
    with progress(len(job.ranges), quiet=quiet) as advance:
        asked_for = [sys.executable, "-m", "gpuprune", *sys.argv[1:]]
        capture = live.profile_live(
            job, found, metrics, asked=asked_for, keep=keep, advance=advance
        )
    _warn(capture.warnings)
    remarks = Remarks(is_live=True)
    for one in capture.launches:
        remarks.look_at(one.profile)
    for text in remarks.lines():
        note(f"Note: {text}", quiet=quiet)
    _show_launches(capture, found.tool, mapping, output_format)
    if capture.failure is not None:
        raise capture.failure


def _show_launches(
    capture: Capture, tool: str, mapping: str, output_format: report.Format
) -> None:
    products = dict.fromkeys((one.contender, one.case) for one in capture.launches)
    predicted = predict_products(products, mapping)
    if output_format in ("json", "csv"):
        rows = [tables.launch_row(one, predicted) for one in capture.launches]
        click.echo(report.listing(_for_programs(rows, output_format), output_format))
        return
    parts = [f"Global load efficiency measured by {tool} ({_COUNTING[tool]})."]
    for contender, own in dict.fromkeys((who, one.mapping) for (who, _), one in predicted.items()):
        parts.append(f"Predicted for {contender} by {_describe(own)}")
    parts.append(report.listing(tables.product_rows(capture.launches, predicted), output_format))
    terminal.show("\n\n".join(parts), output_format)


@contextmanager
def _as_file(path: Path) -> Iterator[Path]:
    """Give a path that can be read more than once; that of `-` holds what stdin gives."""
    if str(path) != "-":
        yield path
        return
    if sys.stdin is None:
        raise GpupruneError("stdin is closed, and --from - reads it", hint="leave out `<&-`")
    with TemporaryDirectory(prefix="gpuprune-") as folder:
        copy = Path(folder, "stdin")
        with copy.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        try:
            yield copy
        except GpupruneError as refusal:
            message, hint = (
                text.replace(str(copy), "stdin") for text in (str(refusal), refusal.hint)
            )
            raise GpupruneError(message, hint=hint) from None


def _looked_at(
    reports: Mapping[Path, Report], remarks: Remarks, missing: Mapping[Path, Missing]
) -> Iterator[tuple[str | None, KernelProfile]]:
    """Give the kernels of each file, with its name where there are several."""
    has_names = len({path.name for path in reports}) == len(reports)
    for path, read in reports.items():
        source = (path.name if has_names else str(path)) if len(reports) > 1 else None
        for kernel in read.kernels:
            remarks.look_at(kernel)
            missing[path].look_at(kernel)
            yield source, kernel


def _stream(kernels: Iterable[KernelProfile], output_format: Literal["json", "csv"]) -> None:
    """Write kernels for programs some at a time: a file may hold a million."""
    if output_format == "csv":
        sys.stdout.write(report.CSV_HEADER + "\n")
    lines = map(report.kernel_writer(output_format), kernels)
    while some := "\n".join(islice(lines, _LINES_AT_ONCE)):
        sys.stdout.write(streams.harmless(some) + "\n")


def _show_kernels(
    by_tool: Mapping[str, Sequence[report.Row]], output_format: report.Format, *, quiet: bool
) -> None:
    """Show what each tool measured in a table of its own; on a terminal, of its width."""
    width = terminal.width(sys.stdout)
    parts, left_out = [], []
    for tool, rows in by_tool.items():
        title, rows = _on_one_device(f"Measured by {tool} ({_COUNTING[tool]})", rows)
        if output_format == "markdown":
            parts += [report.escape(title), report.listing(rows, output_format)]
            continue
        text, dropped = report.kernel_table(rows, width=width)
        parts += [report.printable(title), text]
        left_out += dropped
    click.echo("\n\n".join(parts))
    if left_out:
        columns = ", ".join(dict.fromkeys(reversed(left_out)))
        note(f"Left out for want of width: {columns} (--format markdown has all).", quiet=quiet)


def _on_one_device(title: str, rows: Sequence[report.Row]) -> tuple[str, Sequence[report.Row]]:
    """Put the device into the title where it is the same throughout."""
    devices = {row.get("device") for row in rows}
    if len(devices) > 1 or devices == {None}:
        return f"{title}:", rows
    others = [name for name in rows[0] if name != "device"]
    return f"{title}, on {devices.pop()}:", [{name: row[name] for name in others} for row in rows]


def _told_of_totals(count: int) -> str:
    left_out = f", the {MAX_ROWS} most launched of {count}" if count > MAX_ROWS else ""
    return f"A row a kernel{left_out}; --format json or csv has each launch."


def _prepare(asked: Sweep, profiler: Path | None) -> tuple[Job, Profiler, tuple[str, ...]]:
    """Say what to run, under which profiler, for which metrics; leave the GPU free again."""
    device = "cuda" if asked.device == "auto" else asked.device
    instead = "take --predict, which computes it from the pattern, or --from FILE"
    try:
        backend, _ = open_backend(device, asked.threads)
    except Unavailable as why:
        raise GpupruneError(
            f"load efficiency is measured on a GPU, and {why}",
            hint=f"{instead}; to measure it, {why.hint.partition(', or take --device cpu')[0]}",
        ) from None
    with closing(backend):
        facts = backend.facts()
        if "compute_capability" not in facts:
            raise GpupruneError(
                f"load efficiency is measured on a GPU, and {device!r} is none",
                hint=f"{instead}; to measure it, leave --device out",
            )
        resolved = session.resolve(asked, Local(backend))
    plan.check_weights(resolved.cases)
    major, minor = (int(part) for part in facts["compute_capability"].split("."))
    found = find_profiler((major, minor), profiler)
    job = Job(
        tool=found.tool,
        device=device,
        contenders=tuple(resolved.contenders),
        cases=tuple(resolved.cases),
        cold=asked.cache == "cold",
    )
    return job, found, choose_metrics(found, (major, minor))


def _predicted_layers(
    found: Sequence[tuple[Case, Prediction]], mapping: str, output_format: report.Format
) -> Iterator[str]:
    """Lay out each layer by both definitions."""
    yield f"Predicted, not measured: global load efficiency in per cent by {_describe(mapping)}"
    for layer, own in groupby(found, lambda one: layer_of(one[0])):
        predictions = list(own)
        widest = max(prediction.error_points for _, prediction in predictions)
        precision = f", each within {_points(widest)} points" if widest else ""
        for tool, counting in _COUNTING.items():
            grid = report.listing(tables.prediction_grid(predictions, tool), output_format)
            title = f"{layer.rows}x{layer.cols} times {layer.cols}x{layer.batch}, {layer.dtype}"
            yield f"{report.printable(layer.weights or title)}: {counting}{precision}\n\n{grid}"


def _points(error: float) -> str:
    """Write what a prediction may be off by, never as less than it is."""
    return f"{ceil(1000 * error) / 1000:.3f}"


def _describe(mapping: str) -> str:
    return f"the mapping {mapping}: {MAPPINGS[mapping]}"


def _for_programs(rows: Sequence[report.Row], output_format: report.Format) -> list[report.Row]:
    return [tables.in_one_cell(row) for row in rows] if output_format == "csv" else list(rows)


def _warn(texts: Iterable[str]) -> None:
    for text in texts:
        click.echo(f"Warning: {report.printable(text)}", err=True)
