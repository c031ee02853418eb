"""A run from its first record to its last: what is asked, what is on disk, what is still to do."""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from gpuprune import __version__, contenders, plan, sweep, twins, weights
from gpuprune.config import Sweep
from gpuprune.errors import GpupruneError
from gpuprune.execution import Executor, Work
from gpuprune.records import Calibration, Case, Result, Run
from gpuprune.resuming import now, require_agreement, require_output
from gpuprune.soundness import lacking, require_sound
from gpuprune.storage import Journal, RunFile, read


@dataclass(frozen=True, kw_only=True)
class Job:
    """A sweep resolved: which cases, which contenders, and who measures them."""

    sweep: Sweep
    executor: Executor
    cases: list[Case]
    contenders: list[str]  # the dense baseline first
    twins: dict[Case, Case] = field(default_factory=dict)  # by case: whose time is its own, too


@dataclass(kw_only=True)
class Session:
    """A run under way; iterating measures, and puts on disk, case after case."""

    job: Job
    run: Run
    results: list[Result]  # in memory and, with a journal, on disk
    pending: list[Case]
    journal: Journal | None = None
    warning: str | None = None

    def __iter__(self) -> Iterator[list[Result]]:
        """Measure what is pending; yields the results of one case when they are safe."""
        job, stopwatch, start = self.job, sweep.Stopwatch(), time.monotonic()
        done = {(one.case, one.contender) for one in self.results}
        work = Work(
            cases=[case for case in self.pending if case not in job.twins],
            done=tuple(self.results),
            contenders=job.contenders,
            contract=self.run.contract,
            calibration=self.run.calibration,
        )
        for everyone in self._with_twins(self._measured(work, stopwatch)):
            # Where a run was cut off inside a case, only what is missing is added.
            results = [one for one in everyone if (one.case, one.contender) not in done]
            self.results += results
            if self.journal:
                self.journal.append([one.to_record() for one in results])
            yield results
        place = {case: i for i, case in enumerate(job.cases)}
        self.results.sort(key=lambda one: place[one.case])  # several devices answer as they can
        if self.journal and self.journal.run.end is None:
            self.journal.finish(
                {
                    "record": "end",
                    "finished": now(),
                    "results": len(self.results),
                    "wall_s": time.monotonic() - start,
                    "measuring_s": stopwatch.measuring_s,
                    **job.executor.account(),
                }
            )

    def _measured(self, work: Work, stopwatch: sweep.Stopwatch) -> Iterator[list[Result]]:
        """Measure; what stops it says how many results are safe."""
        try:
            yield from self.job.executor.measure(work, stopwatch)
        except GpupruneError as error:
            if self.journal is None or not self.journal.kept:
                raise
            raise GpupruneError(f"{error}; {self.journal.told_safe()}", hint=error.hint) from None

    def _with_twins(self, measured: Iterable[list[Result]]) -> Iterator[list[Result]]:
        """Follow the results of a case by those of the cases that are told of it."""
        waiting: dict[Case, list[Case]] = {}
        for case in self.pending:
            if case in self.job.twins:
                waiting.setdefault(self.job.twins[case], []).append(case)
        for case, results in groupby(tuple(self.results), lambda one: one.case):
            if case in waiting and case not in self.pending:  # measured in an earlier session
                everyone = list(results)
                yield from (_copied(everyone, twin) for twin in waiting[case])
        for everyone in measured:
            yield everyone
            yield from (_copied(everyone, twin) for twin in waiting.get(everyone[0].case, ()))


def resolve(asked: Sweep, executor: Executor) -> Job:
    """Resolve a sweep where it will run; raises GpupruneError for whatever cannot be."""
    names = contenders.choose(asked.contenders, asked.orientation, executor.device)
    cases = plan.cases(asked)
    plan.check_memory(cases, executor.free_bytes())
    return Job(
        sweep=asked, executor=executor, cases=cases, contenders=names, twins=twins.find(cases)
    )


@contextmanager
def start(
    job: Job, output: Path | None, *, resume: bool, arguments: Sequence[str] = ()
) -> Iterator[Session]:
    """Begin a run, or go on with the one in `output`; nothing is written if that is refused."""
    require_output(output, resume=resume)
    plan.check_weights(case for case in job.cases if case not in job.twins)
    if output is not None and resume and output.exists():
        with Journal.resume(output) as journal:
            yield _resumed(job, journal, output)
    elif output is not None:
        run = _begin(job, job.executor.calibrate(_dtypes(job)), arguments)
        with Journal.create(output, run.to_record()) as journal:
            yield Session(job=job, run=run, results=[], pending=job.cases, journal=journal)
    else:
        run = _begin(job, job.executor.calibrate(_dtypes(job)), arguments)
        yield Session(job=job, run=run, results=[], pending=job.cases)


def load(path: Path) -> tuple[Run, list[Result], str | None]:
    """Read a run file; returns its run, its results, and a warning if its end was torn."""
    file = read(path)
    return *parse(file), file.warning


def parse(file: RunFile) -> tuple[Run, list[Result]]:
    """Turn the lines of a run file into records; raises GpupruneError where they are none."""
    run, results = _parse_run(file), _parse_results(file)
    require_sound(file.path, run, results)
    return run, results


def _copied(results: Iterable[Result], twin: Case) -> list[Result]:
    """Tell the results of a case of another one, whose pattern is the same."""
    copies = []
    for one in results:
        told = f"measured as {one.case.weights}, which has the same pattern"
        reason = f"{one.reason}; {told}" if one.reason else told
        copies.append(replace(one, case=twin, reason=reason))
    return copies


def _begin(job: Job, calibration: Calibration, arguments: Sequence[str]) -> Run:
    return Run(
        version=__version__,
        started=now(),
        arguments=tuple(arguments),
        configuration=_configuration(job.sweep),
        environment=job.executor.describe(),
        contract=job.sweep.contract,
        calibration=calibration,
    )


def _configuration(asked: Sweep) -> dict[str, Any]:
    digest = asked.weights and weights.digest(weights.select(asked.weights, asked.tensor))
    # Lists for tuples: what is in memory equals what is read back.
    plain: dict[str, Any] = json.loads(json.dumps(asked.to_json()))
    return {**plain, "weights_sha256": digest}


def _resumed(job: Job, journal: Journal, output: Path) -> Session:
    run = _parse_run(journal.run)
    results = _parse_results(journal.run)
    wanted = _configuration(job.sweep)
    hint = "give the options and the machine of that run, or another --output"
    require_agreement(run.configuration, wanted, wanted, f"{output} was asked for", hint)
    here = job.executor.describe()
    _require_same_executor(run.environment, here, output)
    require_agreement(run.environment, here, job.executor.machine, f"{output} ran on", hint)
    job.executor.calibrate(_dtypes(job))  # the device needs it; the run keeps its own figures
    done = {(one.case, one.contender) for one in results}
    pending = [c for c in job.cases if any((c, name) not in done for name in job.contenders)]
    return Session(
        job=job,
        run=run,
        results=results,
        pending=pending,
        journal=journal,
        warning=journal.run.warning,
    )


def _require_same_executor(kept: dict[str, Any], here: dict[str, Any], output: Path) -> None:
    then, asked = (facts.get("executor") == "ray" for facts in (kept, here))
    if then != asked:
        raise GpupruneError(
            f"{output} was measured {'with' if then else 'without'} --ray, "
            f"and now --ray is {'asked for' if asked else 'missing'}",
            hint=f"{'leave out --ray' if asked else 'add --ray'}, or take another --output",
        )


def _parse_run(file: RunFile) -> Run:
    if kind := file.header.get("kind"):
        raise GpupruneError(
            f"{file.path} is no run of gpuprune bench but of gpuprune {kind}",
            hint="give a file that `gpuprune bench --output` wrote",
        )
    try:
        return Run.from_record(file.header)
    except (KeyError, TypeError) as error:
        raise lacking(file.path, error) from None


def _parse_results(file: RunFile) -> list[Result]:
    try:
        return [Result.from_record(line) for line in file.results]
    except (KeyError, TypeError) as error:
        raise lacking(file.path, error) from None


def _dtypes(job: Job) -> tuple[str, ...]:
    return (job.sweep.dtype,)
