"""A sweep on a Ray cluster: one worker a device, one queue, one journal.

The driver, which is the process the user started, holds the journal and the queue and measures
nothing. Each device of the cluster (a GPU, or all cores of a machine together) has one worker, a
process that keeps it locked as long as it lives. A worker is asked for one case at a time, so
that nothing is lost but the case in hand, whichever side dies.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from gpuprune.cluster.probing import probe
from gpuprune.cluster.silence import only_this_thread_prints
from gpuprune.errors import GpupruneError

if TYPE_CHECKING:  # Ray is an extra, and looks at the environment once, when it is imported
    from gpuprune.cluster.driver import Cluster

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # on by default, and it reports to Ray's makers
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what Ray 3 does, and warns of
    "RAY_worker_niceness": "0",  # 15 by default: whoever else runs would come first
    "RAY_DEDUP_LOGS": "0",  # else messages are held back, and printed by this thread in the end
}


@contextmanager
def open_cluster(
    address: str,
    *,
    device: str,
    threads: int | None,
    accelerators: tuple[str, ...],
    deadline_s: float,
    say: Callable[[str], None],
) -> "Iterator[Cluster]":
    """Connect to a cluster and take its devices; `say` hears what goes wrong meanwhile.

    `accelerators` are kinds of GPUs by Ray's names. A case that takes longer than `deadline_s`
    is given up together with its worker. Raises GpupruneError where there is no Ray, no cluster,
    or no such device.
    """
    if find_spec("ray") is None:
        raise _without_ray("it is not installed")
    _set_unless_set(_ENVIRONMENT)
    address, settings = probe(address)
    _set_unless_set(settings)
    try:
        from gpuprune.cluster.driver import Cluster
    except ImportError as error:
        raise _without_ray(f"it cannot be imported: {error}") from None
    with (
        only_this_thread_prints(),
        closing(Cluster(address, device, threads, accelerators, deadline_s, say)) as cluster,
    ):
        yield cluster


def _set_unless_set(settings: Mapping[str, str]) -> None:
    for name, value in settings.items():
        os.environ.setdefault(name, value)


def _without_ray(reason: str) -> GpupruneError:
    return GpupruneError(f"--ray needs Ray, and {reason}", hint='pip install "gpuprune[ray]"')
