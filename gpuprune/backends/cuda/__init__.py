"""NVIDIA GPUs through CuPy; importing it needs neither CuPy nor a GPU."""

from gpuprune.backends import Backend
from gpuprune.backends.cuda import requirements
from gpuprune.errors import GpupruneError


def open_device(index: int, threads: int | None) -> Backend:
    """Open the GPU that CUDA counts as `index`, once it has shown that it works.

    Raises Unavailable with what is missing, and GpupruneError for a number of threads, which is
    a matter of the CPU.
    """
    requirements.require_cupy()
    requirements.require_device(index)
    requirements.require_toolkit()
    from gpuprune.backends.cuda.device import CudaBackend

    with requirements.explained():
        backend = CudaBackend(index)
    if threads is not None:  # last: without a GPU, `auto` goes on with the CPU and its threads
        backend.close()
        raise GpupruneError(
            f"{threads} threads asked for, and cuda:{index} does the work",
            hint="leave --threads out, or take --device cpu",
        )
    return backend


def identify(index: int) -> str:
    """Name a GPU apart from all others; raises Unavailable where there is none."""
    requirements.require_cupy()
    requirements.require_device(index)
    from gpuprune.backends.cuda import device

    return device.identify(index)
