"""One benchmark on a device at a time, whoever started it."""

import fcntl
import os
import re
import tempfile
import time
from pathlib import Path

_POLL_S = 0.1


def lock_device(name: str, wait_s: float) -> int | None:
    """Lock a device of this machine until the process ends, however it ends.

    Returns None where another process still holds it after `wait_s`. A worker outlives the
    engine that started it until its case is done, and the engine that follows offers the same
    device again: only the operating system knows.
    """
    path = Path(tempfile.gettempdir()) / f"gpuprune-{re.sub(r'[^A-Za-z0-9-]', '_', name)}.lock"
    descriptor = _open(path)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return None
            time.sleep(_POLL_S)


def _open(path: Path) -> int:
    """Open the file, whoever made it: for reading, which is enough to lock it."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        return os.open(path, flags | os.O_CREAT, 0o644)
