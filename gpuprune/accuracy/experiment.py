"""An accuracy run from its first record to its last: what is on disk, what is still to do."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpuprune import __version__
from gpuprune.accuracy import checkpoint
from gpuprune.accuracy.checkpoint import Checkpoint
from gpuprune.accuracy.data import Dataset
from gpuprune.accuracy.records import KIND, Outcome
from gpuprune.accuracy.runner import Progress, Runner
from gpuprune.accuracy.settings import Settings
from gpuprune.backends import Backend
from gpuprune.errors import GpupruneError
from gpuprune.records import Header
from gpuprune.resuming import MACHINE, now, require_agreement, require_output
from gpuprune.soundness import lacking
from gpuprune.storage import Journal, RunFile, read

_AGREEING = "give the options, the data and the machine of that run, or another --output"


@dataclass(kw_only=True)
class Session:
    """A run under way; iterating trains, and puts on disk, network after network."""

    settings: Settings
    dataset: Dataset
    backend: Backend
    header: Header
    outcomes: list[Outcome] = field(default_factory=list)  # in memory and, with a journal, on disk
    journal: Journal | None = None
    checkpoint_path: Path | None = None
    kept: Checkpoint | None = None  # what an earlier process was in the middle of
    warning: str | None = None
    clock: Callable[[], float] = time.monotonic

    def __iter__(self) -> Iterator[Progress | Outcome]:
        """Train what is pending; yields each epoch, and each outcome when it is safe."""
        start = self.clock()
        runner = Runner(
            self.settings,
            self.dataset,
            self.backend,
            done=self.outcomes,
            kept=self.kept,
            keep=self._keep if self.checkpoint_path else None,
            clock=self.clock,
        )
        for event in runner:
            if isinstance(event, Progress):
                yield event
                continue
            if self.journal:
                self.journal.append([one.to_record() for one in event])
            self.outcomes += event
            yield from event
        if self.journal and self.journal.run.end is None:
            self.journal.finish(
                {
                    "record": "end",
                    "finished": now(),
                    "results": len(self.outcomes),
                    "wall_s": self.clock() - start,
                }
            )
        if self.checkpoint_path:
            checkpoint.remove(self.checkpoint_path)

    def _keep(self, snapshot: Checkpoint) -> None:
        if self.checkpoint_path:
            checkpoint.write(self.checkpoint_path, snapshot, self.header.configuration)


@contextmanager
def start(
    settings: Settings,
    dataset: Dataset,
    backend: Backend,
    environment: Mapping[str, Any],
    output: Path | None,
    *,
    resume: bool,
    arguments: Sequence[str] = (),
) -> Iterator[Session]:
    """Begin a run, or go on with the one in `output`; nothing is written if that is refused.

    `environment` describes machine, software and device, JSON-ready.
    """
    require_output(output, resume=resume)
    header = Header(
        version=__version__,
        started=now(),
        arguments=tuple(arguments),
        configuration={**settings.to_json(), "data": dataset.name, "sha256": dataset.sha256},
        environment=dict(environment),
    )
    session = Session(settings=settings, dataset=dataset, backend=backend, header=header)
    if output is None:
        yield session
        return
    session.checkpoint_path = checkpoint.path_beside(output)
    if resume and output.exists():
        with Journal.resume(output) as journal:
            _take_up(session, journal)
            yield session
        return
    if session.checkpoint_path.exists() and not output.exists():
        raise GpupruneError(
            f"{session.checkpoint_path} is left from another run",
            hint="delete it, or take another --output",
        )
    with Journal.create(output, header.to_record() | {"kind": KIND}) as session.journal:
        try:
            yield session
        except GpupruneError:
            if not session.outcomes:  # nothing that could go on: it would only be in the way
                output.unlink()
                checkpoint.remove(session.checkpoint_path)
            raise


def load(path: Path) -> tuple[Header, list[Outcome], str | None]:
    """Read a run file; returns its header, its outcomes, and a warning if its end was torn."""
    file = read(path)
    return *parse(file), file.warning


def parse(file: RunFile) -> tuple[Header, list[Outcome]]:
    """Turn the lines of a run file into records; raises GpupruneError where they are none."""
    if file.header.get("kind") != KIND:
        raise GpupruneError(
            f"{file.path} is no run of gpuprune accuracy",
            hint="give a file that `gpuprune accuracy --output` wrote",
        )
    try:
        header = Header.from_record(file.header)
        return header, [Outcome.from_record(line) for line in file.results]
    except (KeyError, TypeError) as error:
        raise lacking(file.path, error, KIND) from None


def _take_up(session: Session, journal: Journal) -> None:
    """Go on with a run that agrees in what is asked, of which data, and where."""
    header, outcomes = parse(journal.run)
    path, wanted = journal.run.path, session.header
    asked, told = wanted.configuration, f"{path} has"
    require_agreement(header.configuration, asked, asked, told, _AGREEING)
    require_agreement(header.environment, wanted.environment, MACHINE, told, _AGREEING)
    session.header, session.outcomes = header, outcomes
    session.journal, session.warning = journal, journal.run.warning
    if session.checkpoint_path:
        session.kept = checkpoint.read(session.checkpoint_path, header.configuration)
