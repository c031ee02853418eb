"""Hands out cases and takes in results; every case comes back once, whoever is lost meanwhile."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray

from gpuprune import weights
from gpuprune.cluster.backlog import Backlog
from gpuprune.cluster.connecting import connect, head_and_own_node
from gpuprune.cluster.fingerprint import fingerprint
from gpuprune.cluster.pool import Lost, Member, Pool
from gpuprune.cluster.watching import Watch
from gpuprune.cluster.worker import Facts, Measured, Refusal
from gpuprune.errors import GpupruneError
from gpuprune.execution import Work
from gpuprune.problem import load_weights
from gpuprune.records import Calibration, Case, Result, layer_of
from gpuprune.sweep import Stopwatch
from gpuprune.units import format_count

_POLL_S = 0.5
_PATIENCE_S = 120.0  # without any device: longer than a node needs that comes back
_ATTEMPTS = 3


class Cluster:
    """A Ray cluster as an `Executor`."""

    # A kind of device is agreed on layer by layer, see Backlog.
    machine = ("device", "threads", "packages")

    def __init__(
        self,
        address: str,
        device: str,
        threads: int | None,
        accelerators: tuple[str, ...],
        deadline_s: float,
        say: Callable[[str], None],
    ) -> None:
        connect(address)
        try:
            self._watch = Watch(*head_and_own_node())
            self._pool = Pool(device, threads, accelerators, self._watch, say)
            self._deadline_s = deadline_s
            self._say = say
            self._sent: dict[Case, Any] = {}  # weights in Ray's store, by layer
            self._heard = time.monotonic()
            self._first, self._facts = self._wait_for_one()
        except BaseException:
            self.close()
            raise
        self.device: str = self._facts.description["device"]

    def describe(self) -> dict[str, Any]:
        """Describe the worker that was there first, and the engine."""
        return {**self._facts.description, "executor": "ray", "ray": ray.__version__}

    def free_bytes(self) -> int:
        """Return what the smallest worker has that is there."""
        return min(member.facts.free_bytes for member in self._pool.members if member.facts)

    def calibrate(self, dtypes: tuple[str, ...]) -> Calibration:
        """Return what the first device reaches; each one is calibrated before it measures."""
        answer = self._first.actor.calibrate.remote(dtypes)
        until = time.monotonic() + self._deadline_s
        is_there = False
        while not is_there:
            is_there = bool(ray.wait([answer], timeout=min(_POLL_S, self._deadline_s))[0])
            self._watch.answers()
            if time.monotonic() > until:  # also where it came late
                raise GpupruneError(
                    f"the worker on {self._first.node} was not calibrated within the --deadline "
                    f"of {self._deadline_s:g} s",
                    hint="take a longer --deadline, or see with `ray status` what keeps that node",
                )
        try:
            self._first.calibration = ray.get(answer)
        except ray.exceptions.RayActorError:
            raise GpupruneError(
                f"the worker on {self._first.node} was lost before it measured anything",
                hint="see `ray status`, and give the command again",
            ) from None
        return self._first.calibration

    def measure(self, work: Work, stopwatch: Stopwatch) -> Iterator[list[Result]]:
        """Measure each case on some device; a case whose worker is lost is measured again.

        Raises GpupruneError in the end for cases that lost several workers, and at once where
        no device is left.
        """
        claims = {layer_of(one.case): one.device_name for one in work.done if one.device_name}
        backlog, attempts = Backlog(work.cases, claims), Counter[Case]()
        failed: dict[Case, str] = {}
        self._heard = time.monotonic()
        while len(backlog) or any(member.cases for member in self._pool.members):
            self._pool.staff()
            self._feed(backlog, work)
            for member, said in self._pool.answers(_POLL_S):
                self._heard = time.monotonic()
                if isinstance(said, Lost):
                    self._recover(member, said.reason, backlog, attempts, failed)
                elif isinstance(said, Refusal):
                    raise GpupruneError(said.message, hint=said.hint)
                elif isinstance(said, Measured):
                    self._advance(member, work)
                    stopwatch.measuring_s += said.measuring_s
                    yield said.results
                else:
                    self._note_preparation(member, said)
            self._expire(backlog, attempts, failed)
            self._require_hope(backlog)
        if failed:
            raise _unmeasured(failed)

    def account(self) -> dict[str, Any]:
        """List who measured how many cases, and what each device reaches."""
        measured = [m for m in (*self._pool.gone, *self._pool.members) if m.facts and m.measured]
        return {
            "workers": [
                {
                    "node": member.facts.description["node"],
                    "device_name": member.facts.description["device_name"],
                    "device_id": member.facts.device_id,
                    "pid": member.facts.pid,
                    "cases": member.measured,
                    "calibration": asdict(member.calibration) if member.calibration else None,
                }
                for member in measured
                if member.facts
            ]
        }

    def close(self) -> None:
        """Stop the workers, and leave the cluster; one that was started here ends."""
        if hasattr(self, "_pool"):
            self._pool.close()
        ray.shutdown()

    def _wait_for_one(self) -> tuple[Member, Facts]:
        while True:
            self._pool.staff()
            self._pool.answers(_POLL_S)
            for member in self._pool.members:
                if member.facts is not None:
                    return member, member.facts
            self._require_hope(Backlog([]))

    def _feed(self, backlog: Backlog, work: Work) -> None:
        """Give every worker that waits its next step: be calibrated, warm up, look, measure."""
        for member in self._pool.members:
            if member.facts is None or member.answer is not None:
                continue
            if member.calibration is None:
                self._pool.ask(member, "calibrate", tuple({case.dtype for case in work.cases}))
            elif not member.is_warm:
                self._pool.ask(member, "warm_up", work.contenders, work.cases[0])
            elif member.sees_weights is None and (source := work.cases[0].weights):
                paths = weights.paths(source)
                self._pool.ask(member, "has", str(Path.cwd()), paths, fingerprint(paths))
            elif cases := backlog.take(member.facts.kind, member.last, self._working()):
                member.cases, member.last = cases, cases[0]
                unpruned = self._send(cases[0]) if member.sees_weights is False else None
                self._pool.ask(member, "measure", cases, work.contenders, work.contract, unpruned)

    def _advance(self, member: Member, work: Work) -> None:
        """Let a worker begin its next case before the results of the last are written."""
        self._pool.succeeded(member)
        del member.cases[0]
        if member.cases:
            self._pool.ask(member, "measure", None, work.contenders, work.contract, None)

    def _note_preparation(self, member: Member, said: Any) -> None:
        if isinstance(said, Calibration):
            member.calibration = said
        elif isinstance(said, bool):
            member.sees_weights = said
        else:
            member.is_warm = True

    def _send(self, case: Case) -> Any:
        """Put weights into Ray's store, from where each node takes them once."""
        in_hand = {layer_of(m.last) for m in self._pool.members if m.last}
        self._sent = {layer: sent for layer, sent in self._sent.items() if layer in in_hand}
        if layer_of(case) not in self._sent:
            self._sent[layer_of(case)] = ray.put(load_weights(case))
        return self._sent[layer_of(case)]

    def _working(self) -> int:
        return sum(member.facts is not None for member in self._pool.members)

    def _expire(self, backlog: Backlog, attempts: Counter[Case], failed: dict[Case, str]) -> None:
        """Kill who has taken too long: Ray knows no time limit."""
        for member in list(self._pool.members):
            if member.facts and member.answer and self._age(member) > self._deadline_s:
                reason = (
                    f"a worker on {member.node} gave no answer within the --deadline "
                    f"of {self._deadline_s:g} s"
                )
                self._pool.discard(member, reason)
                self._recover(member, reason, backlog, attempts, failed)

    def _age(self, member: Member) -> float:
        return time.monotonic() - member.since

    def _recover(
        self,
        member: Member,
        reason: str,
        backlog: Backlog,
        attempts: Counter[Case],
        failed: dict[Case, str],
    ) -> None:
        """Let others measure what a lost worker had in hand; blame only the first case."""
        if not member.cases:
            return
        case, *rest = member.cases
        member.cases = []
        attempts[case] += 1
        if attempts[case] < _ATTEMPTS:
            self._say(f"Measuring a case again: {reason}.")
            rest = [case, *rest]
        else:
            failed[case] = reason
        backlog.give_back(rest)

    def _require_hope(self, backlog: Backlog) -> None:
        """Raise GpupruneError where nothing more will come."""
        kinds = {member.facts.kind for member in self._pool.members if member.facts}
        if not kinds and time.monotonic() - self._heard > _PATIENCE_S:
            raise GpupruneError(
                f"no device of the Ray cluster could be had for {_PATIENCE_S:g} s",
                hint="see in `ray status` who uses them, and whether another gpuprune does",
            )
        idle = not any(member.cases for member in self._pool.members)
        if kinds and idle and (others := backlog.claimed_by_others(kinds)):
            raise GpupruneError(
                f"what is left was begun on {', '.join(sorted(others))}, and there is only "
                f"{', '.join(sorted(kinds))}: one table has one kind of device",
                hint="bring such a node back and give the command with --resume, "
                "or take another --output",
            )


def _unmeasured(failed: dict[Case, str]) -> GpupruneError:
    (case, reason), *more = failed.items()
    also = f" ({format_count(len(more), 'more case')} likewise)" if more else ""
    return GpupruneError(
        f"rate {case.rate:g}, group {case.group} of {case.shape} was "
        f"tried {_ATTEMPTS} times in vain: {reason}{also}",
        hint="every other result is there; --resume tries what is missing again, "
        "and nodes with more memory or a longer --deadline may succeed",
    )
