"""What a machine must have before its GPU can be taken, and what to say of each lack."""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gpuprune import environment
from gpuprune.backends import Unavailable

# Of cudaError_t
_NO_MEMORY = 2
_STUB_LIBRARY = 34
_INSUFFICIENT_DRIVER = 35
_DEVICES_UNAVAILABLE = 46
_NO_DEVICE = 100

# What CuPy raises for what is not there or does not work, its CompileException aside.
_FAILURES = (ImportError, RuntimeError, MemoryError, OSError, AssertionError)


def require_cupy() -> None:
    """Raise Unavailable unless exactly one build of CuPy is there and can be imported."""
    builds = _builds()
    if len(builds) > 1:
        raise Unavailable(
            f"{' and '.join(builds)} are installed together, and overwrite each other's files",
            hint=f"`pip uninstall -y {' '.join(builds)}`, then install the one for your driver",
        )
    try:
        importlib.import_module("cupy")
    except ImportError as error:
        if not builds:
            raise Unavailable("CuPy is not installed", hint=_install("cupy-cuda12x")) from error
        raise Unavailable(
            f"{builds[0]} cannot be imported: {_summary(error)}", hint=_install(builds[0])
        ) from error
    except OSError as error:  # it makes the folder of its kernels at once
        raise Unavailable(
            f"CuPy cannot keep what it compiles: {_summary(error)}",
            hint="set CUPY_CACHE_DIR to a folder that can be written",
        ) from error


def require_device(index: int) -> None:
    """Raise Unavailable unless CUDA starts and counts more than `index` devices."""
    from cupy.cuda import runtime

    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        raise _no_device(error) from error
    if index >= count:
        names = [runtime.getDeviceProperties(i)["name"].decode() for i in range(count)]
        listed = ", ".join(f"cuda:{i} is {name}" for i, name in enumerate(names))
        raise Unavailable(f"there is no cuda:{index} here: {listed}", hint="take one of these")


def require_toolkit() -> None:
    """Raise Unavailable unless the parts of the CUDA toolkit that we need are there."""
    with explained():
        from cupy_backends.cuda import libs

        libs.nvrtc.getVersion()
        for name in ("cublas", "cusparse"):
            getattr(libs, name)  # CuPy loads a library where its wrapper is first asked for
    pathfinder = importlib.import_module("cuda.pathfinder")  # as CuPy looks for them
    if pathfinder.find_nvidia_header_directory("cudart") is None:
        raise Unavailable(
            "the headers of the CUDA toolkit are missing, and NVRTC compiles no kernel without",
            hint=_install(*_builds()),
        )


def cuda_version(number: int) -> str:
    """Turn CUDA's number of a version, such as 12090, into 12.9."""
    return f"{number // 1000}.{number % 1000 // 10}"


@contextmanager
def explained() -> Iterator[None]:
    """Raise Unavailable for what CUDA and CuPy raise inside; our own mistakes pass."""
    from cupy.cuda.compiler import CompileException

    try:
        yield
    except CompileException as error:
        raise Unavailable(
            f"NVRTC cannot compile for this GPU: {_summary(error)}", hint=_install(*_builds())
        ) from error
    except _FAILURES as error:
        raise _does_not_work(error) from error


def _builds() -> list[str]:
    return [name for name in environment.package_versions() if name.startswith("cupy")]


def _no_device(error: Any) -> Unavailable:
    from cupy.cuda import runtime

    if error.status == _NO_DEVICE:
        if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
            return Unavailable(
                f"CUDA sees no GPU, and CUDA_VISIBLE_DEVICES is {visible!r}",
                hint="unset CUDA_VISIBLE_DEVICES, or give it a number that `nvidia-smi -L` lists",
            )
        return Unavailable("CUDA sees no GPU", hint="see whether `nvidia-smi -L` lists one")
    if error.status == _STUB_LIBRARY:
        return Unavailable(
            "the CUDA driver found is a stub, which toolkits bring for linking only",
            hint="take the folder `stubs` out of LD_LIBRARY_PATH",
        )
    if error.status == _INSUFFICIENT_DRIVER:
        driver, built = runtime.driverGetVersion(), runtime.runtimeGetVersion()
        if driver == 0:
            return Unavailable(
                "this machine has no NVIDIA driver",
                hint="install the driver, or take --device cpu",
            )
        return Unavailable(
            f"the NVIDIA driver goes up to CUDA {cuda_version(driver)}, "
            f"and this CuPy is built for CUDA {cuda_version(built)}",
            hint="update the driver, or install the CuPy for its CUDA, such as cupy-cuda12x",
        )
    return Unavailable(
        f"CUDA does not start: {_summary(error)}", hint="see whether `nvidia-smi` works"
    )


def _does_not_work(error: Exception) -> Unavailable:
    status = getattr(error, "status", None)
    if isinstance(error, MemoryError) or status == _NO_MEMORY:
        return Unavailable(
            f"the GPU's memory is taken: {_summary(error)}",
            hint="see in `nvidia-smi` who holds it, or take another with --device cuda:N",
        )
    if status == _DEVICES_UNAVAILABLE:
        return Unavailable(
            "another process has the GPU to itself",
            hint="wait for it, or take another with --device cuda:N",
        )
    is_pathfinders = type(error).__module__.startswith("cuda.pathfinder")
    if is_pathfinders or isinstance(error, ImportError):
        return Unavailable(
            f"a part of the CUDA toolkit is missing: {_summary(error)}",
            hint=_install(*_builds()),
        )
    return Unavailable(
        f"the GPU does not work: {type(error).__name__}: {_summary(error)}",
        hint="see whether `nvidia-smi` works, or take --device cpu",
    )


def _install(build: str = "cupy-cuda12x") -> str:
    return f'`pip install "{build}[ctk]"` brings CuPy with the libraries of CUDA'


def _summary(error: BaseException) -> str:
    """Return what happened in a line: CuPy frames its messages, and keeps the cause."""
    lines = (line.strip() for line in str(error.__cause__ or error).splitlines())
    return next(filter(None, lines), type(error).__name__)
