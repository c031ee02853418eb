"""The workers of a cluster: one for each device, replaced when it or its node is lost."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from gpuprune import __version__
from gpuprune.cluster.connecting import Node, nodes, only_on
from gpuprune.cluster.watching import Watch
from gpuprune.cluster.worker import Facts, OutOfMemory, Refusal, Worker
from gpuprune.environment import waiting_threads
from gpuprune.errors import GpupruneError
from gpuprune.records import Calibration, Case

_LOOK_S = 1.0  # between two looks at which nodes there are
_DEATHS = 3  # in a row and without a result, after which a device is given up

Slot = tuple[str, int]  # node and number of the device there


@dataclass(frozen=True, slots=True)
class Lost:
    """Why no answer will come: the worker or its node is gone, or gave up for want of memory."""

    reason: str


@dataclass(eq=False, kw_only=True)
class Member:
    """A worker as the driver sees it."""

    slot: Slot
    node: str
    actor: Any
    facts: Facts | None = None  # None until it holds its device
    calibration: Calibration | None = None
    is_warm: bool = False
    sees_weights: bool | None = None
    answer: Any = None  # what it was asked last and has not answered
    since: float = field(default_factory=time.monotonic)
    cases: list[Case] = field(default_factory=list)  # in hand; the first is being measured
    last: Case | None = None
    measured: int = 0


class Pool:
    """Workers on the devices that were asked for."""

    def __init__(
        self,
        device: str,
        threads: int | None,
        accelerators: tuple[str, ...],
        watch: Watch,
        say: Callable[[str], None],
    ) -> None:
        """Find the devices; raises GpupruneError where the cluster has none of the kind."""
        self.members: list[Member] = []
        self.gone: list[Member] = []  # who measured something before it was lost
        self._threads = threads
        self._accelerators = frozenset(accelerators)
        self._watch = watch
        self._say = say
        self._deaths: Counter[Slot] = Counter()
        self._given_up: dict[Slot, Refusal] = {}
        self._waited_for: set[Slot] = set()
        self._looked = float("-inf")
        there = nodes()
        self._require_accelerators(there)
        on_gpus = bool(accelerators) or (
            device.partition(":")[0] in ("auto", "cuda", "fake") and any(n.gpus for n in there)
        )
        self.device = ("cuda" if on_gpus else "cpu") if device == "auto" else device
        self._on_gpus = on_gpus
        if self.device == "cuda" and not on_gpus:
            raise GpupruneError(
                "the Ray cluster has no GPU",
                hint="take --device cpu, or start its nodes with --num-gpus",
            )

    def staff(self) -> None:
        """Start a worker on every device that has none; raises GpupruneError if Ray is lost."""
        if time.monotonic() - self._looked < _LOOK_S:
            return
        self._looked = time.monotonic()
        if not self._watch.answers():
            return  # Ray would block for a minute, while results come in all the same
        taken = {member.slot for member in self.members}
        for node in nodes():
            for slot in self._slots(node):
                if slot not in taken and slot not in self._given_up:
                    self.members.append(self._start(node, slot))
        if not self.members:
            self._complain()

    def ask(self, member: Member, method: str, *arguments: Any) -> None:
        """Let a worker do something; what it says comes out of `answers`."""
        member.answer = getattr(member.actor, method).remote(*arguments)
        member.since = time.monotonic()

    def answers(self, wait_s: float) -> list[tuple[Member, Any]]:
        """Wait for answers; what is lost answers `Lost`, and its worker is no member any more."""
        asked = {member.answer: member for member in self.members if member.answer is not None}
        if not asked:
            time.sleep(wait_s)
            return []
        ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=0)
        if not ready:
            ready, _ = ray.wait(list(asked), num_returns=1, timeout=wait_s)
        heard = [(asked[one], self._hear(asked[one])) for one in ready]
        return [(member, said) for member, said in heard if not self._opening(member, said)]

    def discard(self, member: Member, reason: str) -> None:
        """Kill a worker; its device gets another one, unless it has lost too many."""
        self._kill(member)
        self._deaths[member.slot] += 1
        if self._deaths[member.slot] >= _DEATHS:
            self.give_up(
                member,
                Refusal(
                    message=reason,
                    hint="see that node's logs in /tmp/ray; --resume goes on with a run",
                ),
            )

    def give_up(self, member: Member, refusal: Refusal) -> None:
        """Let a device be: nothing can be measured on it."""
        self._given_up[member.slot] = refusal
        self._say(f"Going on without a device of {member.node}: {refusal.message}.")
        if member in self.members:
            self._kill(member)

    def succeeded(self, member: Member) -> None:
        """Count a result: what happened to the device before is forgiven."""
        member.measured += 1
        self._deaths[member.slot] = 0

    def close(self) -> None:
        """Kill every worker, whatever it does."""
        for member in self.members:
            ray.kill(member.actor)

    def _kill(self, member: Member) -> None:
        self.members.remove(member)
        if member.measured:
            self.gone.append(member)
        ray.kill(member.actor)

    def _start(self, node: Node, slot: Slot) -> Member:
        resources = {"num_gpus": 1} if self._on_gpus else {"num_cpus": node.cpus}
        actor = ray.remote(Worker).options(
            scheduling_strategy=only_on(node),
            max_restarts=0,
            max_task_retries=0,
            runtime_env={"env_vars": waiting_threads()},
            **resources,
        )
        device = "cuda:0" if self.device == "cuda" else self.device  # Ray shows it only its own
        member = Member(slot=slot, node=node.name, actor=actor.remote(device, self._threads))
        self.ask(member, "open")
        return member

    def _slots(self, node: Node) -> list[Slot]:
        if self._accelerators and not self._accelerators & node.accelerators:
            return []
        count = node.gpus if self._on_gpus else int(node.cpus > 0)
        return [(node.id, index) for index in range(count)]

    def _hear(self, member: Member) -> Any:
        answer, member.answer = member.answer, None
        try:
            return ray.get(answer)
        except RayTaskError as error:
            if not isinstance(error.cause, OutOfMemory):
                raise
            reason = f"a worker on {member.node} ran out of memory"
            self._kill(member)  # what it holds is freed; the device is as good as before
            return Lost(reason)
        except ray.exceptions.OutOfMemoryError:
            reason = f"a worker on {member.node} ran out of memory, and Ray killed it"
        except RayError as error:
            reason = f"a worker on {member.node} was lost: {_explain(error)}"
        self.discard(member, reason)
        return Lost(reason)

    def _opening(self, member: Member, said: Any) -> bool:
        """Deal with what a worker says before it holds its device."""
        if member.facts is not None:
            return False
        if isinstance(said, Facts):
            member.facts = said
            self._require_same_version(member, said)
            self._require_equal_threads(member, said)
        elif isinstance(said, Refusal):
            self.give_up(member, said)
        elif said is None:  # somebody else still measures there
            if member.slot not in self._waited_for:
                self._waited_for.add(member.slot)
                self._say(
                    f"Waiting for a device of {member.node}: another process measures on it."
                )
            self.ask(member, "open")
        return True

    def _require_same_version(self, member: Member, facts: Facts) -> None:
        """Let a device be whose node joined after the versions were compared, with another."""
        if facts.version != __version__:
            refusal = Refusal(
                message=f"node {member.node} has gpuprune {facts.version}, and this process has "
                f"{__version__}",
                hint="install the same versions on every node",
            )
            self.give_up(member, refusal)

    def _require_equal_threads(self, member: Member, facts: Facts) -> None:
        threads = facts.description["threads"]
        for other in self.members:
            if other.facts and (most := other.facts.description["threads"]) != threads:
                refusal = Refusal(
                    message=f"it has {threads} threads, and {other.node} has {most}",
                    hint="take --threads N, that all nodes have",
                )
                self.give_up(member, refusal)
                return

    def _require_accelerators(self, there: list[Node]) -> None:
        known = sorted({kind for node in there for kind in node.accelerators})
        for kind in sorted(self._accelerators - set(known)):
            raise GpupruneError(
                f"the Ray cluster has no accelerator {kind!r}",
                hint=f"it has {', '.join(known)}" if known else "none of its nodes names any",
            )

    def _complain(self) -> None:
        """Raise GpupruneError where no device is left, with what the last one had."""
        if self._given_up:
            *_, refusal = self._given_up.values()
            raise GpupruneError(f"no device is left: {refusal.message}", hint=refusal.hint)


def _explain(error: RayError) -> str:
    """Say in a line what Ray says in many: the last one where a worker could not even begin."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return (lines[-1] if "creation task" in lines[0] else lines[0]).rstrip(".")
