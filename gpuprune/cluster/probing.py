"""Asking a cluster how it is before Ray does, which waits for minutes and does not say for what.

Without Ray in this process: how the cluster is to be spoken to is settled when Ray is imported.
"""

import os
import socket
import subprocess
import sys

from gpuprune.errors import GpupruneError

LOCAL = "local"
AUTO = "auto"  # the cluster that this machine belongs to
START = "start one with `ray start --head` and give its HOST:PORT, or take --ray local"
_AUTH_MODE = "RAY_AUTH_MODE"
_AUTH_MODES = ("disabled", "token")
_CONNECT_S = 5.0
_ANSWER_S = 20.0


def probe(address: str) -> tuple[str, dict[str, str]]:
    """Find the cluster at HOST:PORT, `auto` or `local`.

    `auto` is what RAY_ADDRESS names, or else the cluster that this machine belongs to. Returns
    the address, and the environment in which Ray is to be imported: whether to show a token,
    which Ray guesses from what it finds in the user's home and not from the cluster. Raises
    GpupruneError where nobody answers, or not as Ray does.
    """
    if address == AUTO:
        address = os.environ.get("RAY_ADDRESS") or AUTO
    if "://" in address:
        raise GpupruneError(
            f"{address} is an address of Ray's client, through which nothing is streamed",
            hint="run gpuprune on a node of the cluster, with the HOST:PORT of its head node",
        )
    if address == LOCAL:
        return address, {}
    if address != AUTO:
        _require_listener(address)
    return address, {_AUTH_MODE: _find_auth_mode(address)}


def refused(address: str) -> GpupruneError:
    """Make the error for a cluster that wants a token, or another one."""
    return GpupruneError(
        f"the Ray cluster at {address} does not accept this token, or asks for one",
        hint="set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to the token of the cluster "
        "(or RAY_AUTH_TOKEN_PATH to a file that only you can read)",
    )


def _require_listener(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise GpupruneError(f"--ray {address!r} is no HOST:PORT", hint=START)
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
    except OSError as error:
        raise GpupruneError(
            f"no Ray cluster answers at {address}: {error.strerror or error}", hint=START
        ) from None


def _find_auth_mode(address: str) -> str:
    """Try what the user has set, or else without a token and then with the one that Ray finds."""
    asked = os.environ.get(_AUTH_MODE)
    for mode in (asked,) if asked else _AUTH_MODES:
        trouble = _ask_health(address, mode)
        if trouble is None:
            return mode
        if "AuthenticationError" in trouble:
            continue
        if mode == "token":  # there is none, or it is no token
            break
        if address == AUTO:
            raise GpupruneError("this machine belongs to no Ray cluster", hint=START)
        raise GpupruneError(
            f"no sound Ray cluster at {address}: {_last_line(trouble)}", hint=START
        )
    raise refused(address)


def _ask_health(address: str, auth_mode: str) -> str | None:
    """Let Ray's own command ask a cluster how it is; return its complaint, None if there is none.

    In a process of its own, which can be given up. Raises GpupruneError where that is necessary.
    """
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check"]
    if address != AUTO:  # a word of its own, so nothing in it can be an option
        command.append(f"--address={address}")
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ANSWER_S,
            env={**os.environ, _AUTH_MODE: auth_mode},
        )
    except subprocess.TimeoutExpired:
        raise _deaf(address) from None
    return done.stderr if done.returncode else None


def _deaf(address: str) -> GpupruneError:
    if address == AUTO:
        return GpupruneError(
            "the Ray cluster that this machine belonged to does not answer",
            hint=f"clear what it left with `ray stop`, then {START}",
        )
    return GpupruneError(
        f"something listens at {address}, and it does not answer as Ray does",
        hint=f"take the port of `ray start --head`, 6379 unless it says another, or {START}",
    )


def _last_line(text: str) -> str:
    return next(reversed(text.strip().splitlines()), "it gives no reason")
