import socket

import pytest

from gpuprune.cluster.watching import Watch
from gpuprune.errors import GpupruneError


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def listeners():
    """A head and a node, as far as a connection goes."""
    both = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    yield both
    for one in both:
        one.close()


def watch(listeners, clock):
    return Watch(*(f"127.0.0.1:{one.getsockname()[1]}" for one in listeners), clock)


def test_a_head_that_comes_back_in_time_is_asked_again(listeners):
    clock = Clock()
    watched, port = watch(listeners, clock), listeners[0].getsockname()[1]
    assert watched.answers()
    listeners[0].close()
    for clock.now in (0.0, 19.0):
        assert not watched.answers()
    with socket.create_server(("127.0.0.1", port)):
        clock.now = 20.5
        assert watched.answers()
    clock.now = 40.0
    assert not watched.answers()


def test_a_head_that_stays_away_is_given_up_before_ray_ends_the_process(listeners):
    clock = Clock()
    watched = watch(listeners, clock)
    address = f"127.0.0.1:{listeners[0].getsockname()[1]}"
    listeners[0].close()
    clock.now = 20.0
    assert not watched.answers()
    clock.now = 21.0
    with pytest.raises(GpupruneError) as refusal:
        watched.answers()
    assert str(refusal.value) == (
        f"the head of the Ray cluster at {address} has not answered for 20 s"
    )
    assert "--resume" in refusal.value.hint


def test_the_end_of_the_own_node_is_told_at_once(listeners):
    watched = watch(listeners, Clock())
    address = f"127.0.0.1:{listeners[1].getsockname()[1]}"
    listeners[1].close()
    with pytest.raises(GpupruneError) as refusal:
        watched.answers()
    assert str(refusal.value) == (
        f"Ray's node of this machine, at {address}, has ended, and with it every worker"
    )
    assert "--resume" in refusal.value.hint
