"""The standard streams: a stderr that never costs a result, a stdout that may be a terminal."""

import io
import os
import sys
from contextlib import suppress
from pathlib import Path

_STDERR = 2


def spare_results() -> None:
    """Let what cannot be written to stderr be lost, and nothing else.

    A closed one is opened as the null device: else the next file that is opened takes its number,
    and gets what libraries and child processes complain of.
    """
    own = sys.__stderr__
    if sys.stderr is not own:  # whoever replaced it answers for it
        return
    if own is None:
        _fill_gaps()
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - it stays open to the end
    else:
        sys.stderr = _Forgiving(
            own.buffer, encoding=own.encoding, errors=own.errors, line_buffering=True
        )


def harmless(text: str) -> str:
    """Give lines as a terminal may have them, where stdout is one: names may be anybody's.

    A file or a pipe gets them as they are.
    """
    from gpuprune.report import printable

    if not sys.stdout.isatty():
        return text
    return "\n".join(map(printable, text.split("\n")))


class _Forgiving(io.TextIOWrapper):
    def write(self, text: str) -> int:
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def _fill_gaps() -> None:
    """Open the null device on each of the three standard numbers that is free."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        os.set_inheritable(number, True)
    os.close(number)
