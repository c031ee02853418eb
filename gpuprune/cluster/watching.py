"""Noticing that the way to a cluster is lost before Ray does, which waits and ends the process."""

import socket
import time
from collections.abc import Callable

from gpuprune.errors import GpupruneError

_CONNECT_S = 2.0
# Ray's own patience is 60 s, after which it ends this process without a word of ours.
_PATIENCE_S = 20.0


class Watch:
    """What a driver needs: the head of the cluster, and the node that it runs on itself."""

    def __init__(self, head: str, own: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Watch two addresses, each HOST:PORT."""
        self._head = head
        self._own = own
        self._clock = clock
        self._head_answered = clock()

    def answers(self) -> bool:
        """Tell whether Ray may now be asked for what only the head knows, without blocking.

        Raises GpupruneError where the cluster is lost to this process: the head has not answered
        for 20 s, or the node's own part of Ray has ended, with which Ray ends every worker.
        """
        if not _listens(self._own):
            raise GpupruneError(
                f"Ray's node of this machine, at {self._own}, has ended, and with it every worker",
                hint="see its logs under /tmp/ray, start it again with `ray start`, "
                "and give the same command with --resume",
            )
        answers = _listens(self._head)
        now = self._clock()
        if answers:
            self._head_answered = now
        elif now - self._head_answered > _PATIENCE_S:
            raise GpupruneError(
                f"the head of the Ray cluster at {self._head} has not answered "
                f"for {_PATIENCE_S:g} s",
                hint="see its logs under /tmp/ray, start the cluster again with "
                "`ray start --head`, and give the same command with --resume",
            )
        return answers


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except OSError:
        return False
    return True
