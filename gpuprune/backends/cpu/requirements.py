"""What Numba must be able to do here, and which of its variables keeps it from that."""

import importlib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from gpuprune.backends import Unavailable
from gpuprune.errors import GpupruneError

# What Numba raises for settings; a value that it cannot read is a warning of its own.
_REFUSALS = (ImportError, RuntimeError, RuntimeWarning, ValueError)
_UNREADABLE = "Environment variable 'NUMBA_"
_NO_PLACE = "no locator available"
_TRACEBACK = "The parse failed"  # what such a warning goes on with


def start_numba() -> int:
    """Import Numba, all that is compiled for the CPU, and start its threads; returns how many.

    Raises GpupruneError that names the variable, where one of Numba's is set to what it refuses,
    or has to be set, and Unavailable where Numba cannot be imported, as beside a NumPy that is
    newer than it knows.
    """
    with _explained():
        import numba

        importlib.import_module("gpuprune.backends.cpu.device")
        numba.get_num_threads()
    if numba.config.DISABLE_JIT:
        raise GpupruneError(
            "NUMBA_DISABLE_JIT is set, and Numba compiles the products of the CPU",
            hint="unset NUMBA_DISABLE_JIT",
        )
    return int(numba.config.NUMBA_NUM_THREADS)


@contextmanager
def _explained() -> Iterator[None]:
    """Raise GpupruneError for what Numba raises inside while variables of its are set."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", _UNREADABLE, RuntimeWarning)
        try:
            yield
        except _REFUSALS as error:
            if _NO_PLACE in str(error):
                raise GpupruneError(
                    "Numba can keep what it compiles neither beside gpuprune nor in the home "
                    "directory: none can be written",
                    hint="set NUMBA_CACHE_DIR to a folder that can",
                ) from error
            if not (settings := _settings(reason := " ".join(str(error).split()))):
                if not isinstance(error, ImportError):
                    raise
                raise Unavailable(
                    f"Numba, which compiles the products of the CPU, is not there: {reason}",
                    hint="pip install --upgrade numba, or take --device cuda",
                ) from error
            told = reason.partition(_TRACEBACK)[0].rstrip(" .")
            listed = " ".join(f"{name}={value}" for name, value in settings.items())
            raise GpupruneError(
                f"Numba does not start with {listed}: {told}",
                hint=f"unset {' or '.join(settings)}",
            ) from error


def _settings(reason: str) -> dict[str, str]:
    """Return the variables that a reason names, or all of Numba's where it names none."""
    found = {name: value for name, value in sorted(os.environ.items()) if name[:6] == "NUMBA_"}
    return {name: value for name, value in found.items() if name[6:] in reason} or found
