"""What is known of the machine and the software without asking a device."""

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_WATCH_S = 0.2
_CONTROL_GROUP = Path("/sys/fs/cgroup")
_MUCH_LOAD = 0.5  # cores that others use, from which on times are doubtful

PACKAGES = (
    "numpy", "scipy", "numba", "cupy-cuda12x", "cupy-cuda13x", "torch", "sparse-dot-mkl", "mkl",
    "nvmath-python",
)  # fmt: skip


# A thread that waits for work by spinning takes a core from whoever is timed next: OpenBLAS spins
# for 2^26 cycles (some 25 ms), Intel's OpenMP for 200 ms. 2^20 cycles are under a millisecond.
_WAITING = {
    "OPENBLAS_THREAD_TIMEOUT": "20",
    "OMP_WAIT_POLICY": "PASSIVE",
    "KMP_BLOCKTIME": "0",
}


def let_waiting_threads_sleep() -> None:
    """Tell the libraries' threads to wait asleep; effective only before those are loaded.

    What the user has set stays.
    """
    for name, value in _WAITING.items():
        os.environ.setdefault(name, value)


def waiting_threads() -> dict[str, str]:
    """Return the settings by which threads wait, for processes that are started elsewhere."""
    return {name: os.environ.get(name, value) for name, value in _WAITING.items()}


def describe() -> dict[str, Any]:
    """Describe the machine and the versions that matter to a time; JSON-ready."""
    return {
        "node": platform.node(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "packages": package_versions(),
        # Set, it changes what "float32" means to cuBLAS.
        "nvidia_tf32_override": os.environ.get("NVIDIA_TF32_OVERRIDE"),
        "waiting_threads": {name: os.environ.get(name) for name in _WAITING},
    }


def package_versions() -> dict[str, str]:
    """Return the installed versions of the packages that do the arithmetic."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def cpu_model() -> str:
    """Return the processor's name as the operating system tells it."""
    for line in _lines("/proc/cpuinfo"):
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def cpu_count() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def busy_cores() -> float | None:
    """Watch the machine for a fifth of a second; return how many cores others use, if it tells."""
    before = _idle_seconds()
    start = time.monotonic()
    time.sleep(_WATCH_S)
    after = _idle_seconds()
    if before is None or after is None:
        return None
    idle = (after - before) / (time.monotonic() - start)
    return round(max((os.cpu_count() or 1) - idle, 0.0), 2)


def load_note(busy_cores: float | None) -> str | None:
    """Warn of times taken while others used the machine, None where it was quiet or is unknown."""
    if busy_cores is None or busy_cores < _MUCH_LOAD:
        return None
    return f"Others kept {busy_cores:.1f} cores busy when this run began: its times are too long."


def last_level_cache_bytes() -> int | None:
    """Return the size of the largest cache as the operating system tells it."""
    return max(_caches().values(), default=None)


def core_cache_bytes() -> int | None:
    """Return the size of a core's second-level cache as the operating system tells it."""
    return _caches().get("2")


def memory_bytes() -> int | None:
    """Return the size of main memory."""
    pages, size = _sysconf("SC_PHYS_PAGES"), _sysconf("SC_PAGE_SIZE")
    return pages * size if pages and size else None


def free_memory_bytes(control_group: Path = _CONTROL_GROUP) -> int:
    """Return the memory that can be allocated without swapping; half of all where it is unknown.

    A container's limit (cgroup v2) counts where it is the lower one; what its memory holds of
    files that nobody has read lately is given back before anything is swapped.
    """
    free = next(
        (int(line.split()[1]) * 1024 for line in _lines("/proc/meminfo") if "Available" in line),
        (memory_bytes() or 4 << 30) // 2,
    )
    limit, used = (_count(control_group / name) for name in ("memory.max", "memory.current"))
    if limit is None or used is None:
        return free
    stat = _lines(str(control_group / "memory.stat"))
    files = (int(line.split()[1]) for line in stat if line.startswith("inactive_file "))
    return min(free, max(limit - used + next(files, 0), 0))


def _caches() -> dict[str, int]:
    """Return the largest size of each level of the first core's caches, in bytes."""
    sizes: dict[str, int] = {}
    for cache in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        level, size = ("".join(_lines(str(cache / name))) for name in ("level", "size"))
        if size.endswith("K") and size[:-1].isdigit():
            sizes[level] = max(int(size[:-1]) * 1024, sizes.get(level, 0))
    return sizes


def _idle_seconds() -> float | None:
    """Return the time that all cores together were idle since boot (proc_stat(5))."""
    fields = next(iter(_lines("/proc/stat")), "").split()
    if len(fields) < 6 or fields[0] != "cpu":
        return None
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


def _count(path: Path) -> int | None:
    text = next(iter(_lines(str(path))), "")
    return int(text) if text.isdigit() else None


def _sysconf(name: str) -> int | None:
    try:
        return os.sysconf(name)
    except (ValueError, OSError):
        return None


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(errors="replace").splitlines()
    except OSError:
        return []
