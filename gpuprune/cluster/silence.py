"""Keeps off stdout what Ray's threads print, for stdout is the result."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast


@contextmanager
def only_this_thread_prints() -> Iterator[None]:
    """Drop what other threads of this process write to stdout.

    Ray prints there which node it lost, whatever it is told of logging. The driver says so itself.
    """
    before = sys.stdout
    sys.stdout = cast(TextIO, _OfOneThread(before, threading.get_ident()))
    try:
        yield
    finally:
        sys.stdout = before


class _OfOneThread:
    def __init__(self, stream: TextIO, owner: int) -> None:
        self._stream = stream
        self._owner = owner

    def write(self, text: str) -> int:
        return self._stream.write(text) if threading.get_ident() == self._owner else len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
