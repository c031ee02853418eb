"""What a pool says when its devices are gone, of a cluster whose nodes a test chooses."""

import socket

import pytest

pytest.importorskip("ray")

from gpuprune.cluster.pool import Member, Pool
from gpuprune.cluster.watching import Watch
from gpuprune.cluster.worker import Refusal
from gpuprune.errors import GpupruneError


def test_where_no_device_is_left_the_last_refusal_is_told(monkeypatch):
    monkeypatch.setattr("gpuprune.cluster.pool.nodes", list)  # they have all left
    said = []
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        pool = Pool("fake", None, (), Watch(address, address), said.append)
        for number, why in enumerate(("it is too old", "it is too hot")):
            member = Member(slot=("id", number), node=f"node-{number}", actor=None)
            pool.give_up(member, Refusal(message=why, hint=f"wait until not {why}"))
        with pytest.raises(GpupruneError, match=r"^no device is left: it is too hot$") as refused:
            pool.staff()
    assert refused.value.hint == "wait until not it is too hot"
    assert said == [
        "Going on without a device of node-0: it is too old.",
        "Going on without a device of node-1: it is too hot.",
    ]
