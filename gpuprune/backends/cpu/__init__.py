"""The host processor; importing it needs no Numba."""

from gpuprune import environment
from gpuprune.backends import Backend
from gpuprune.backends.cpu import requirements
from gpuprune.errors import GpupruneError


def open_device(index: int, threads: int | None) -> Backend:
    """Open the host with so many threads, by default one for each core it may use.

    Raises GpupruneError for settings under which Numba does not compile, and for a number of
    threads that this process cannot have.
    """
    most = min(environment.cpu_count(), requirements.start_numba())
    if threads is not None and not 1 <= threads <= most:
        raise GpupruneError(
            f"{threads} threads asked for, and this process may use {most}",
            hint=f"take --threads 1 to {most}",
        )
    from gpuprune.backends.cpu.device import CpuBackend

    return CpuBackend(threads or most)


def identify(index: int) -> str:
    """Name all cores together: whoever uses some disturbs the others."""
    return "cpu"
