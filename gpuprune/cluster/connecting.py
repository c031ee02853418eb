"""Reaching a Ray cluster, or saying within seconds why it cannot be reached."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from gpuprune import __version__
from gpuprune.cluster.probing import LOCAL, START, refused
from gpuprune.errors import GpupruneError

_VERSIONS_S = 120.0  # a worker's first start reads Ray from a disk that may be far
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
    """Join the cluster at an address that `probe` found, or a new one on this machine for `local`.

    Raises GpupruneError where that fails all the same, or versions differ.
    """
    try:
        # Ray prints what workers say, and its own advice, wherever it can: stdout is the result.
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False if address == LOCAL else None,
        )
    except ray.exceptions.AuthenticationError:
        raise refused(address) from None
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise GpupruneError(
            f"cannot join the Ray cluster at {address}: {_first_line(error)}",
            hint=f"take the same versions of Ray and Python everywhere, or {START}",
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


def head_and_own_node() -> tuple[str, str]:
    """Return the addresses, HOST:PORT, of the cluster's head and of Ray on this machine."""
    context = ray.get_runtime_context()
    own = next(one for one in ray.nodes() if one["NodeID"] == context.get_node_id())
    return context.gcs_address, f"{own['NodeManagerAddress']}:{own['NodeManagerPort']}"


def only_on(node: Node) -> Any:
    """Return the strategy that places a task or an actor on a node and nowhere else."""
    return NodeAffinitySchedulingStrategy(node.id, soft=False)


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
    # Pairs, for two nodes may have one name: containers of the same image do.
    asked = [(n.name, task.options(scheduling_strategy=only_on(n)).remote()) for n in members]
    for name, answer in asked:
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


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
