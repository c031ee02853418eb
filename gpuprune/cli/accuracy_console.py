"""What an accuracy run says while it goes on: results to stdout, the conversation to stderr."""

import time
from types import TracebackType
from typing import Self

import click
from rich.console import Console as RichConsole
from rich.progress import BarColumn, Progress, TextColumn

from gpuprune import report
from gpuprune.accuracy.data import VERIFIED
from gpuprune.accuracy.experiment import Session
from gpuprune.accuracy.records import Outcome
from gpuprune.accuracy.runner import Progress as Event
from gpuprune.cli import terminal
from gpuprune.cli.console import note, warn
from gpuprune.units import format_minutes, format_percent


class AccuracyConsole:
    """Shows one run: JSON as networks are done, any other format when it has ended."""

    def __init__(self, session: Session, output_format: report.Format, *, quiet: bool) -> None:
        self._session = session
        self._format = output_format
        self._quiet = quiet
        self._start = time.monotonic()
        self._epochs = 0
        rich = RichConsole(stderr=True)
        self._progress = Progress(
            BarColumn(bar_width=24),
            TextColumn("{task.description}"),
            console=rich,
            disable=quiet or not rich.is_terminal,
            transient=True,
        )

    def __enter__(self) -> Self:
        for line in (self._opening(), *self._session.settings.shortened()):
            note(line, quiet=self._quiet)
        if self._session.warning:
            warn(self._session.warning)
        for one in self._session.outcomes:
            self._stream(one)
        self._progress.start()
        self._task = self._progress.add_task("beginning", total=None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()
        outcomes = self._session.outcomes
        if kind is KeyboardInterrupt:
            note(self._kept(), quiet=False)
        if kind is None or (kind is KeyboardInterrupt and outcomes):
            if self._format == "csv":
                click.echo(report.csv_text([one.row() for one in outcomes]))
            elif self._format != "json":
                terminal.show(report.accuracy_table(outcomes, self._format), self._format)
            for line in report.accuracy_remarks(outcomes, self._session.dataset.held_out):
                note(line, quiet=self._quiet)

    def add(self, event: Event | Outcome) -> None:
        """Show one more epoch, or one more network."""
        if isinstance(event, Outcome):
            self._stream(event)
            # A log of a run of hours should grow.
            what = f"group {event.group}" if event.group else "unpruned"
            told = format_percent(event.accuracy, 2)
            if not self._quiet:
                # Through the progress, which else leaves a line behind.
                self._progress.console.print(
                    f"Seed {event.seed}, {what}: {told}", markup=False, highlight=False
                )
            self._progress.update(self._task, description="the next network")
            return
        self._epochs += 1
        left_s = (time.monotonic() - self._start) / self._epochs * event.epochs_left
        self._progress.update(
            self._task,
            completed=self._epochs,
            total=self._epochs + event.epochs_left,
            description=(
                f"{event.doing}: epoch {event.epoch}/{event.epochs}, loss {event.loss:.3g}, "
                f"{format_percent(event.accuracy)} · {format_minutes(left_s)} left"
            ),
        )

    def _opening(self) -> str:
        session, settings = self._session, self._session.settings
        name, device = session.dataset.name, session.header.environment["device_name"]
        data = name if name == VERIFIED else f"{name}, which is not the data of the paper"
        kept = len(session.outcomes)
        there = f" {_networks(kept)} there already." if kept else ""
        return (
            f"Training on {data}: {settings.layers} matrices, {settings.epochs} + "
            f"{settings.retrain_epochs} epochs (the paper: 3000 + 6000), on {device}.{there}"
        )

    def _kept(self) -> str:
        kept = len(self._session.outcomes)
        if self._session.journal is None:
            return f"{_networks(kept)} kept nowhere: take --output RUN.jsonl to keep them."
        return (
            f"{_networks(kept)} safe, and the one in training but for its last half minute; "
            "the same command with --resume goes on."
        )

    def _stream(self, outcome: Outcome) -> None:
        if self._format == "json":
            click.echo(report.json_lines([outcome.row()]))


def _networks(count: int) -> str:
    return "1 network is" if count == 1 else f"{count} networks are"
