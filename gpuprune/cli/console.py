"""What a run says while it goes on: results to stdout, the conversation to stderr."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from types import TracebackType
from typing import Self

import click
from rich.console import Console as RichConsole
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from gpuprune import analysis, report
from gpuprune.cli import streams, terminal
from gpuprune.errors import GpupruneError
from gpuprune.records import Case, Result
from gpuprune.session import Job, Session
from gpuprune.units import format_count, format_minutes


class Console:
    """Shows one run: JSON as it is measured, any other format when it has ended."""

    def __init__(self, session: Session, output_format: report.Format, *, quiet: bool) -> None:
        self._session = session
        self._format = output_format
        self._quiet = quiet
        self._total = len(session.pending)
        self._start = time.monotonic()
        rich = RichConsole(stderr=True)
        self._progress = Progress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            console=rich,
            disable=quiet or not rich.is_terminal,
            transient=True,
        )

    def __enter__(self) -> Self:
        note(self._opening(), quiet=self._quiet)
        if self._session.warning:
            warn(self._session.warning)
        self._stream(self._session.results)
        self._progress.start()
        self._task = self._progress.add_task("warming up", total=self._total)
        self._of_device: dict[str, TaskID] = {}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()
        if kind is None:
            self._warn_of_failures()
            self._print(unfinished=False)
        elif kind is KeyboardInterrupt:
            if self._session.results:
                self._print(unfinished=True)
            note(self._kept(), quiet=False)

    def add(self, results: Sequence[Result]) -> None:
        """Show the results of one more case."""
        self._stream(results)
        self._progress.update(self._task, advance=1, description=self._status(results))
        self._advance_device(results[0])

    @property
    def exit_code(self) -> int:
        """1 where a contender was wrong, otherwise 0."""
        return int(any(one.status == "wrong" for one in self._session.results))

    def require_times(self) -> None:
        """Raise GpupruneError where nothing has a time, and no wrong contender is the finding."""
        results = self._session.results
        if any(one.timing or one.status == "wrong" for one in results):
            return
        reasons = dict.fromkeys(f"{one.contender} {one.status}: {one.reason}" for one in results)
        raise GpupruneError(
            f"nothing was measured: {next(iter(reasons), 'there is no case')}",
            hint="change what the reason names, such as --dtype, --device, or --weights",
        )

    def _advance_device(self, result: Result) -> None:
        """Count the cases of each device, where there are several."""
        if result.device_id is None:
            return
        place = f"{result.node}, {result.device_id}"
        if place not in self._of_device:
            self._of_device[place] = self._progress.add_task(escape(place), total=self._total)
        self._progress.advance(self._of_device[place])

    def _opening(self) -> str:
        run, job = self._session.run, self._session.job
        kept = len(self._session.results)
        there = f"{format_count(kept, 'result')} there already; " if kept else ""
        return (
            f"Measuring on {run.environment['device']} ({run.environment['device_name']}): "
            f"{there}{format_count(self._total, 'case')} of {', '.join(job.contenders)}."
        )

    def _kept(self) -> str:
        journal = self._session.journal
        if journal is None:
            results = format_count(len(self._session.results), "result")
            return f"{results} kept nowhere: take --output RUN.jsonl to keep them."
        results = format_count(journal.kept, "result")
        return f"{results} safe; the same command with --resume goes on."

    def _status(self, results: Sequence[Result]) -> str:
        case = results[0].case
        left = self._progress.tasks[0]
        done = left.completed + 1
        seconds = (time.monotonic() - self._start) / done * (self._total - done)
        return f"{_estimate(case, results)} · {format_minutes(seconds)} left"

    def _warn_of_failures(self) -> None:
        """Name the contenders that have no result because they broke in every case."""
        results = self._session.results
        for name in self._session.job.contenders:
            own = [one for one in results if one.contender == name]
            if own and all(one.status == "failed" for one in own):
                note(f"Warning: {name} failed in every case: {own[0].reason}", quiet=self._quiet)

    def _stream(self, results: Sequence[Result]) -> None:
        if self._format == "json" and results:
            rows = report.flatten(self._session.run, results, among=self._session.results)
            click.echo(report.json_lines(rows))

    def _print(self, *, unfinished: bool) -> None:
        run, results = self._session.run, self._session.results
        if self._format == "csv":
            click.echo(streams.harmless(report.csv_text(report.flatten(run, results))))
        elif self._format != "json":
            markdown = self._format == "markdown"
            text = report.summary(run, results, markdown=markdown, unfinished=unfinished)
            terminal.show(text, self._format)


def note(text: str | None, *, quiet: bool) -> None:
    """Say something on stderr."""
    if text and not quiet:
        terminal.show(text, err=True)


def warn(text: str) -> None:
    """Say on stderr what the user has to know even with --quiet."""
    terminal.show(f"Warning: {text}", err=True)


def show_plan(job: Job, output_format: report.Format) -> None:
    """Say what a run would measure, a case a line."""
    rows = [{**asdict(case), "contenders": ", ".join(job.contenders)} for case in job.cases]
    if output_format == "json":
        click.echo(report.json_lines(rows))
    elif output_format == "csv":
        click.echo(report.csv_text(rows))
    else:
        terminal.show(report.plan(job.cases, job.contenders, job.sweep.budget))


@contextmanager
def progress(total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal; yields what to tell how many are done."""
    console = RichConsole(stderr=True)
    columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("{task.description}"))
    start = time.monotonic()
    with Progress(
        *columns,
        console=console,
        disable=quiet or not total or not console.is_terminal,
        transient=True,
    ) as shown:
        task = shown.add_task("starting", total=total)

        def advance(done: int) -> None:
            left = (time.monotonic() - start) / done * (total - done)
            shown.update(task, completed=done, description=f"{format_minutes(left)} left")

        yield advance


def _estimate(case: Case, results: Sequence[Result]) -> str:
    best = analysis.best_speedups(results).get(case)
    return f"rate {case.rate:g}, group {case.group}: {f'{best:.2f}x' if best else 'no time'}"
