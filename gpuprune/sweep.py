"""Every case times every contender, one result at a time: only what is right has a time."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from gpuprune import timing
from gpuprune.backends import Array, Backend
from gpuprune.contenders import NotApplicable, Prepare, Prepared
from gpuprune.problem import (
    AFTER,
    BEFORE,
    PREPARING,
    Load,
    Trial,
    make_trials,
)
from gpuprune.records import Calibration, Case, Contract, Result, Status, Timing
from gpuprune.reference import Variation
from gpuprune.roofline import predict, roofline
from gpuprune.verification import CHANGED, judge, verify


@dataclass
class Stopwatch:
    """How much of a sweep went into taking samples, in seconds."""

    measuring_s: float = 0.0
    clock: Callable[[], float] = field(default=time.monotonic)

    def run(self, function: Callable[[], Any]) -> Any:
        """Call a function whose time counts as measuring."""
        start = self.clock()
        try:
            return function()
        finally:
            self.measuring_s += self.clock() - start


def warm_up(prepares: Mapping[str, Prepare], case: Case, backend: Backend) -> None:
    """Run every contender once on a small case like `case`, so that no later time has compilation.

    What goes wrong here goes wrong again, and is reported, on the first real case. Raises
    GpupruneError where it takes the device along: it would be another's fault there.
    """
    small = replace(case, rows=64, cols=64, rate=0.5, weights=None, as_is=False)
    for trial in make_trials([small], backend):
        for name, prepare in prepares.items():
            try:
                for prepared in prepare(trial.problem, backend):
                    prepared.multiply()
                backend.synchronize()
            except timing.FAILURES as failure:
                timing.require_device(backend, name, small, failure)


def run(
    cases: Iterable[Case],
    prepares: Mapping[str, Prepare],
    backend: Backend,
    contract: Contract,
    calibration: Calibration,
    stopwatch: Stopwatch,
    load: Load | None = None,
) -> Iterator[list[Result]]:
    """Measure case by case; yields the results of one case, dense first, as soon as it is done.

    `prepares` maps the name of each contender to its `prepare`, the dense baseline among them;
    `load` gives the weights of a case where they do not lie in its file. Raises GpupruneError
    where a contender takes the device along.
    """
    for trial in make_trials(cases, backend, load):
        with redirect_stdout(sys.stderr):  # stdout is for results, whatever a library prints
            results = _run_case(trial, prepares, backend, contract, calibration, stopwatch)
        yield results


@dataclass
class _Entry:
    """A contender on its way through a case."""

    result: Result
    prepared: Prepared | None = None

    def reject(self, status: Status, reason: str) -> None:
        self.prepared = None
        self.result = replace(self.result, status=status, reason=reason, timing=None)


def _run_case(
    trial: Trial,
    prepares: Mapping[str, Prepare],
    backend: Backend,
    contract: Contract,
    calibration: Calibration,
    stopwatch: Stopwatch,
) -> list[Result]:
    entries = {
        name: _enter(name, prepare, trial, backend, contract, stopwatch)
        for name, prepare in prepares.items()
    }
    while not stopwatch.run(lambda: _time(entries, trial, backend, contract)):
        _blame(entries.values(), trial)
    for entry in entries.values():
        _verify_again(entry, trial, backend)
    return [_with_model(entry, trial, contract, calibration) for entry in entries.values()]


def _enter(
    name: str,
    prepare: Prepare,
    trial: Trial,
    backend: Backend,
    contract: Contract,
    stopwatch: Stopwatch,
) -> _Entry:
    """Prepare a contender, verify every variant, and keep the fastest that is right."""
    result = Result(
        case=trial.case,
        contender=name,
        status="ok",
        achieved_rate=trial.achieved_rate,
        nnz=trial.nnz,
        pattern=trial.pattern,
    )
    entry = _Entry(result)
    if trial.out_of_range:
        entry.reject("skipped", trial.out_of_range)
        return entry
    try:
        variants, prepare_s = _prepare(prepare, trial, backend)
        checked = [(one, *verify(one, trial, backend, BEFORE)) for one in variants]
        right = [(one, error) for one, error, wrong in checked if not wrong]
        rejected = [
            f"{one.variant}: {wrong}" if one.variant else wrong
            for one, _, wrong in checked
            if wrong
        ]
        if not right:
            entry.reject("wrong", "; ".join(rejected))
            return entry
        works = [one for one, _ in right]
        cold = contract.cache == "cold"
        best = stopwatch.run(lambda: timing.fastest(works, backend, cold=cold, renew=trial.vary))
        if len(works) > 1 and trial.restore():  # one alone was not called again
            entry.reject("wrong", CHANGED)
            return entry
        entry.prepared, error = right[best]
        entry.result = replace(
            result,
            reason="; ".join(rejected) or None,
            variant=entry.prepared.variant,
            bytes=entry.prepared.bytes,
            prepare_s=prepare_s,
            error=error,
        )
    except NotApplicable as why:
        trial.restore()
        entry.reject("skipped", str(why))
    except timing.FAILURES as error:
        timing.require_device(backend, name, trial.case, error)
        trial.restore()
        entry.reject("failed", timing.told(error))
    return entry


def _prepare(prepare: Prepare, trial: Trial, backend: Backend) -> tuple[list[Prepared], float]:
    """Prepare a contender; return what can be timed, and the seconds that it took.

    It prepares twice, and the second time is told: the first may compile, or load what an
    earlier process compiled, and what is compiled anew may depend on any part of a case.
    """
    trial.renew(PREPARING)
    _require_variants(prepare(trial.problem, backend))  # and drop them: there is room for one
    backend.synchronize()
    start = time.perf_counter()
    variants = prepare(trial.problem, backend)
    backend.synchronize()
    prepare_s = time.perf_counter() - start
    _require_variants(variants)
    return variants, prepare_s


def _require_variants(variants: object) -> None:
    """Raise ValueError unless a contender returned what can be timed."""
    if not isinstance(variants, list) or not variants:
        raise ValueError(f"prepare returned {variants!r}, and no list of what can be timed")
    for one in variants:
        if not isinstance(one, Prepared):
            raise ValueError(f"prepare returned {one!r}, which is not a Prepared")


def _verify_again(entry: _Entry, trial: Trial, backend: Backend) -> None:
    if entry.prepared is None:
        return
    try:
        error, wrong = verify(entry.prepared, trial, backend, AFTER)
    except timing.FAILURES as failure:
        timing.require_device(backend, entry.result.contender, trial.case, failure)
        trial.restore()
        entry.reject("failed", f"after timing: {timing.told(failure)}")
        return
    if wrong:
        entry.reject("wrong", f"after timing: {wrong}")
    else:
        entry.result = replace(entry.result, error=max(error, entry.result.error or 0.0))


class _Tampered(Exception):
    """The weights are not what they were, whoever did it."""


@dataclass
class _Watch:
    """Gives the timed calls operands that are new, and looks at their products."""

    entries: Mapping[str, _Entry]
    trial: Trial
    backend: Backend
    variation: Variation | None = None

    def renew(self) -> None:
        """Write other activations."""
        self.variation = self.trial.vary()

    def check(self, name: str, product: Array) -> None:
        """Raise Wrong for what is not right, _Tampered where that may be another's fault."""
        prepared = self.entries[name].prepared
        if prepared is None:
            return
        try:
            self.check_alone(prepared, product)
        except timing.Wrong:
            if self.trial.restore():
                raise _Tampered from None
            raise

    def check_alone(self, prepared: Prepared, product: Array) -> None:
        """Raise Wrong for what is not right, where nobody else has multiplied meanwhile."""
        _, wrong = judge(product, prepared, self.trial, self.backend, BEFORE, self.variation)
        if wrong:
            raise timing.Wrong(wrong)


def _time(
    entries: Mapping[str, _Entry], trial: Trial, backend: Backend, contract: Contract
) -> bool:
    """Time everybody who is right; returns False where somebody changed the weights meanwhile."""
    works = {name: one.prepared for name, one in entries.items() if one.prepared is not None}
    anyone = f"one of {', '.join(works)}"  # they take turns, and who fails may not be to blame
    watch = _Watch(entries, trial, backend)
    before = backend.neighbours()
    try:
        timings = timing.measure(works, backend, contract, watch.renew, watch.check)
    except _Tampered:
        return False
    except timing.FAILURES as failure:
        timing.require_device(backend, anyone, trial.case, failure)
        raise
    for taken in timings.values():
        if isinstance(taken, BaseException):
            timing.require_device(backend, anyone, trial.case, taken)
    if trial.restore():
        return False
    disturbance = before or backend.neighbours()
    for name, taken in timings.items():
        _keep(entries[name], taken, disturbance, watch, contract)
    return True


def _keep(
    entry: _Entry,
    taken: Timing | BaseException,
    disturbance: str | None,
    watch: _Watch,
    contract: Contract,
) -> None:
    """Turn what was timed, or why it was not, into the result of a contender."""
    if isinstance(taken, timing.HostBound):
        entry.reject("host_bound", str(taken))
    elif isinstance(taken, timing.Wrong):
        entry.reject("wrong", f"while timed: {taken}")
    elif isinstance(taken, BaseException):
        entry.reject("failed", f"while timed: {timing.told(taken)}")
    elif entry.prepared is not None:
        call_samples_s, wrong = _time_call(entry.prepared, watch, contract)
        reasons = [disturbance or entry.result.reason, wrong and f"call: {wrong}"]
        entry.result = replace(
            entry.result,
            status="disturbed" if disturbance else "ok",
            reason="; ".join(filter(None, reasons)) or None,
            timing=replace(taken, call_samples_s=call_samples_s),
        )


def _blame(entries: Iterable[_Entry], trial: Trial) -> None:
    """Reject whoever changes the weights when it multiplies, or else everybody."""
    timed = [(entry, entry.prepared) for entry in entries if entry.prepared is not None]
    for entry, prepared in timed:
        with suppress(*timing.FAILURES):
            prepared.multiply()
        if trial.restore():
            entry.reject("wrong", CHANGED)
    if all(entry.prepared is not None for entry, _ in timed):
        for entry, _ in timed:
            entry.reject("failed", "somebody changed the weights while all were timed")


def _time_call(
    prepared: Prepared, watch: _Watch, contract: Contract
) -> tuple[tuple[float, ...], str | None]:
    """Time what a user would write; return its samples, or what is wrong with it and none."""
    if prepared.call is None:
        return (), None
    call = replace(prepared, multiply=prepared.call)
    check = partial(watch.check_alone, prepared)
    try:
        samples = timing.measure_call(call, watch.backend, contract, watch.renew, check)
        wrong = None
    except timing.Wrong as why:
        samples, wrong = (), str(why)
    except timing.FAILURES as failure:
        samples, wrong = (), timing.told(failure)
    if watch.trial.restore():
        return (), CHANGED
    return samples, wrong


def _with_model(
    entry: _Entry, trial: Trial, contract: Contract, calibration: Calibration
) -> Result:
    """Set beside a time what its contender's work should take, and any product at least."""
    if (prepared := entry.prepared) is None:
        return entry.result
    cache, precision = contract.cache, prepared.precision or trial.case.dtype
    weights = prepared.multiplied or trial.nnz
    least = roofline(trial.case, weights, calibration, cache=cache, precision=precision)
    own = prepared.work and predict(prepared.work, calibration, cache=cache, precision=precision)
    return replace(
        entry.result,
        predicted_s=own.seconds if own else None,
        bound=own.bound if own else None,
        roofline_s=least.seconds if least else None,
    )
