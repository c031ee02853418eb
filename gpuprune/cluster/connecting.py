"""Reaching a Ray cluster, or saying within seconds why it cannot be reached."""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from gpuprune import __version__
from gpuprune.errors import GpupruneError

LOCAL = "local"
_AUTO = "auto"  # the cluster that this machine belongs to
_CONNECT_S = 5.0
_ANSWER_S = 20.0
_VERSIONS_S = 120.0  # a worker's first start reads Ray from a disk that may be far
_START = "start one with `ray start --head` and give its HOST:PORT, or take --ray local"
_ACCELERATOR = "accelerator_type:"  # what Ray puts before the kind of a node's GPUs


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A machine of the cluster, as Ray sees it."""

    id: str
    name: str
    cpus: float
    gpus: int
    accelerators: frozenset[str]


def connect(address: str) -> None:
    """Join the cluster at HOST:PORT, `auto`, or a new one on this machine for `local`.

    `auto` is the cluster that RAY_ADDRESS names, or else the one this machine belongs to. Raises
    GpupruneError where nobody answers, the answer is not Ray's, or versions differ.
    """
    if address == _AUTO:
        address = os.environ.get("RAY_ADDRESS") or _AUTO
    if "://" in address:
        raise GpupruneError(
            f"{address} is an address of Ray's client, through which nothing is streamed",
            hint="run gpuprune on a node of the cluster, with the HOST:PORT of its head node",
        )
    if address == _AUTO:
        _require_membership()
    elif address != LOCAL:
        _require_answer(address)
    try:
        # Ray prints what workers say, and its own advice, wherever it can: stdout is the result.
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False if address == LOCAL else None,
        )
    except ray.exceptions.AuthenticationError:
        raise _refused(address) from None
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise GpupruneError(
            f"cannot join the Ray cluster at {address}: {_first_line(error)}",
            hint=f"take the same versions of Ray and Python everywhere, or {_START}",
        ) from None
    _require_same_versions(nodes())


def nodes() -> list[Node]:
    """List the nodes that are alive."""
    return [
        Node(
            id=one["NodeID"],
            name=one["NodeManagerHostname"],
            cpus=one["Resources"].get("CPU", 0.0),
            gpus=int(one["Resources"].get("GPU", 0)),
            accelerators=frozenset(
                name.removeprefix(_ACCELERATOR)
                for name in one["Resources"]
                if name.startswith(_ACCELERATOR)
            ),
        )
        for one in ray.nodes()
        if one["Alive"]
    ]


def only_on(node: Node) -> Any:
    """Return the strategy that places a task or an actor on a node and nowhere else."""
    return NodeAffinitySchedulingStrategy(node.id, soft=False)


def _require_answer(address: str) -> None:
    """Ask at an address before Ray does, which waits for minutes and does not say for what."""
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise GpupruneError(f"--ray {address!r} is no HOST:PORT", hint=_START)
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
    except OSError as error:
        raise GpupruneError(
            f"no Ray cluster answers at {address}: {error.strerror or error}", hint=_START
        ) from None
    trouble = _ask_health(
        address,
        f"something listens at {address}, and it does not answer as Ray does",
        f"take the port of `ray start --head`, 6379 unless it says another, or {_START}",
    )
    if trouble is not None:
        raise GpupruneError(
            f"no sound Ray cluster at {address}: {_last_line(trouble)}", hint=_START
        )


def _require_membership() -> None:
    """Ask the cluster of this machine, which Ray may know of from before it died."""
    trouble = _ask_health(
        _AUTO,
        "the Ray cluster that this machine belonged to does not answer",
        f"clear what it left with `ray stop`, then {_START}",
    )
    if trouble is not None:
        raise GpupruneError("this machine belongs to no Ray cluster", hint=_START)


def _ask_health(address: str, deaf: str, hint: str) -> str | None:
    """Let Ray's own command ask a cluster how it is; return its complaint, None if there is none.

    In a process of its own, which can be given up. Raises GpupruneError, with `deaf` and `hint`,
    where that is necessary, and where the token is wrong.
    """
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check"]
    if address != _AUTO:  # a word of its own, so nothing in it can be an option
        command.append(f"--address={address}")
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_ANSWER_S
        )
    except subprocess.TimeoutExpired:
        raise GpupruneError(deaf, hint=hint) from None
    if "AuthenticationError" in done.stderr:
        raise _refused(address)
    return done.stderr if done.returncode else None


def _require_same_versions(members: Sequence[Node]) -> None:
    """Raise GpupruneError where a node has another gpuprune or Python than this process.

    Ray compares its own version, and lets other Pythons pass.
    """

    def ask() -> tuple[str, str | None]:  # travels by value: gpuprune may not be there
        import platform

        try:
            import gpuprune
        except ImportError:
            return platform.python_version(), None
        return platform.python_version(), gpuprune.__version__

    python, own = ask()
    task = ray.remote(num_cpus=0, max_retries=0)(ask)
    asked = {one.name: task.options(scheduling_strategy=only_on(one)).remote() for one in members}
    for name, answer in asked.items():
        try:
            there, version = ray.get(answer, timeout=_VERSIONS_S)
        except ray.exceptions.RayError as error:
            raise GpupruneError(
                f"node {name} runs nothing: {_first_line(error)}",
                hint="see `ray status` and that node's logs under /tmp/ray",
            ) from None
        if version is None:
            raise GpupruneError(
                f"node {name} has no gpuprune",
                hint=f'install gpuprune {__version__} there: pip install "gpuprune[ray]"',
            )
        for what, mine, other in (("gpuprune", own, version), ("Python", python, there)):
            if mine != other:
                raise GpupruneError(
                    f"node {name} has {what} {other}, and this process has {mine}",
                    hint="install the same versions on every node",
                )


def _refused(address: str) -> GpupruneError:
    return GpupruneError(
        f"the Ray cluster at {address} does not accept this token, or asks for one",
        hint="set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to the token of the cluster "
        "(or RAY_AUTH_TOKEN_PATH to a file that only you can read)",
    )


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _last_line(text: str) -> str:
    return next(reversed(text.strip().splitlines()), "it gives no reason")
