"""NumPy on the host: one stated number of threads for everyone, caches evicted by reading."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

import numba
import numpy as np
from numba import njit, prange
from threadpoolctl import threadpool_limits

from gpuprune import environment
from gpuprune.backends import Array, Sample, Timeable, unchanged
from gpuprune.records import Calibration
from gpuprune.steps import Step, aligned_zeros, registers
from gpuprune.vectors import load, multiply_add, store, zeros

_LINE = 16  # float32 in a cache line of 64 bytes
_REPEATS = 5
_EMPTY_SAMPLES = 100
_COLD_SAMPLES = 20  # each evicts the caches before
_RATE_REPEATS = 3  # of what moves a whole buffer
_ASSUMED_CACHE_BYTES = 32 << 20  # where the operating system does not tell
_ASSUMED_CORE_CACHE_BYTES = 256 << 10
_CORE_READ_BYTES = 64 << 20  # by each thread: some tenths of a millisecond
_MOST_EVICT_BYTES = 1 << 29  # fresh pages can cost two seconds a gigabyte
_SETTLE_S = 1e-3  # until the threads of whoever was timed before are asleep
_ONE = np.ones((1, 1), np.float32)
_PLATEAU = 0.85  # of the slowest re-read counts as evicted


class CpuBackend:
    """The host processor, timed by the monotonic clock."""

    name = "cpu"
    xp: Any = np

    def __init__(self, threads: int) -> None:
        self.threads: int | None = threads
        self._numba_threads = numba.get_num_threads()
        self._limits = threadpool_limits(threads)
        numba.set_num_threads(threads)
        self._eviction = np.zeros(0, np.float32)
        self._started = np.zeros(threads, np.int64)

    def facts(self) -> dict[str, Any]:
        """Describe the processor."""
        return {
            "device_name": environment.cpu_model(),
            "cores": environment.cpu_count(),
            "cache_bytes": environment.last_level_cache_bytes(),
            "memory_bytes": environment.memory_bytes(),
            "busy_cores": environment.busy_cores(),
        }

    def free_bytes(self) -> int:
        """Memory that the operating system still gives."""
        return environment.free_memory_bytes()

    def unsupported(self, dtype: str) -> str | None:
        """Decline 16-bit products: NumPy has no BLAS for them."""
        if dtype in ("float16", "bfloat16"):
            return f"on the CPU only float32 and float64 are multiplied, and not {dtype}"
        return None

    def numpy(self, values: Array) -> Any:
        """Return the values as they are at this moment."""
        return np.array(values)

    def delay(self) -> None:
        """Do nothing: a function that returns has done its work here."""

    def synchronize(self) -> None:
        """Do nothing, as `delay`."""

    def sample(
        self, work: Timeable, *, cold: bool, renew: Callable[[], object] = unchanged
    ) -> Sample:
        """Time one call, in seconds of the wall clock.

        With warm caches it is called once before, because what others do in between leaves their
        operands in the caches.
        """
        time.sleep(_SETTLE_S)
        if cold:
            renew()
            _read(self._eviction)
        else:
            work.multiply()
            renew()
        start = time.perf_counter_ns()
        product = work.multiply()
        seconds = (time.perf_counter_ns() - start) * 1e-9
        return Sample(seconds=seconds, product=product)

    def sample_call(
        self, work: Timeable, *, cold: bool, renew: Callable[[], object] = unchanged
    ) -> Sample:
        """Time one call: on the host there is no difference."""
        return self.sample(work, cold=cold, renew=renew)

    def neighbours(self) -> str | None:
        """Return None: other processes on a CPU show as spread, not by name."""
        return None

    def calibrate(self, dtypes: tuple[str, ...]) -> Calibration:
        """Measure the clock, the caches and the arithmetic of this many threads.

        What a processor reports as its cache is often not what a process gets (virtual machines
        show the whole socket's). So the bytes to touch are measured: the fewest after which
        re-reading a probe takes as long as it ever does.
        """
        cache = environment.last_level_cache_bytes() or _ASSUMED_CACHE_BYTES
        probe = np.ones(min(64 << 20, cache // 2) // 4, np.float32)
        most = min(2 * cache, _MOST_EVICT_BYTES, environment.free_memory_bytes() // 4)
        buffer = np.ones(max(most, probe.nbytes) // 4, np.float32)
        for warm_up in (_read, _copy_first_half):  # compiles
            warm_up(buffer)
        warm_s = _reread_seconds(probe, probe[:0])
        sizes = [probe.size << shift for shift in range(8) if probe.size << shift < buffer.size]
        rereads = {n: _reread_seconds(probe, buffer[:n]) for n in (*sizes, buffer.size)}
        slowest = max(rereads.values())
        enough = next(n for n, seconds in rereads.items() if seconds >= _PLATEAU * slowest)
        copy_s = min(_seconds(_copy_first_half, buffer) for _ in range(_RATE_REPEATS))
        read_s = min(_seconds(_read, buffer) for _ in range(_RATE_REPEATS))
        measured_bytes = buffer.nbytes
        buffer.resize(enough, refcheck=False)  # gives the rest back, in place: a slice keeps all
        self._eviction = buffer
        core_cache = environment.core_cache_bytes() or _ASSUMED_CORE_CACHE_BYTES
        empty_s = self._median_s(lambda: None)
        return Calibration(
            empty_s=empty_s,
            resolution_s=_clock_resolution(),
            # Reading is the faster where writing first reads what it overwrites.
            memory_bytes_per_s=measured_bytes / min(copy_s, read_s),
            cache_bytes_per_s=probe.nbytes / warm_s,
            cache_bytes=cache,
            evict_bytes=self._eviction.nbytes,
            flops_per_s={name: _flops(name) for name in dtypes if not self.unsupported(name)},
            core_cache_bytes_per_s=_core_cache_rate(core_cache, self.threads or 1),
            core_cache_bytes=core_cache,
            start_s=max(0.0, self._median_s(self._start_threads) - empty_s),
            cold_call_s=self._median_s(_multiply_one, cold=True, samples=_COLD_SAMPLES),
        )

    def _median_s(
        self, function: Callable[[], None], *, cold: bool = False, samples: int = _EMPTY_SAMPLES
    ) -> float:
        work = _Call(function)
        work.multiply()
        return median(self.sample(work, cold=cold).seconds for _ in range(samples))

    def _start_threads(self) -> None:
        _touch(self._started)

    def close(self) -> None:
        """Restore the threads that the process had."""
        self._limits.restore_original_limits()
        numba.set_num_threads(self._numba_threads)


@dataclass(frozen=True)
class _Call:
    """A function as what a sample times."""

    multiply: Callable[[], None]
    bytes: int = 0


def _multiply_one() -> None:
    np.matmul(_ONE, _ONE)


@njit(parallel=True, cache=True)
def _touch(workers: Any) -> None:
    for worker in prange(workers.size):
        workers[worker] += 1


@njit(parallel=True, cache=True)
def _read(values: Any) -> Any:
    total = np.float32(0)
    for line in prange(values.size // _LINE):
        total += values[line * _LINE]
    return total


@njit(parallel=True, cache=True)
def _copy_first_half(values: Any) -> Any:
    half = values.size // 2
    for i in prange(half):
        values[half + i] = values[i]


@njit(parallel=True, cache=True)
def _read_own(step: Any, weight: Any, own: Any, sums: Any, passes: Any) -> None:
    """Read (workers, values) in whole vectors, each worker its own, so many times."""
    for worker in prange(own.shape[0]):
        total = zeros(sums[worker], step.wide)
        for _ in range(passes):
            for at in range(0, own.shape[1], step.wide * step.lanes):
                held = load(own[worker], at, step.wide)
                total = multiply_add(step, weight, 0, held, total)
        store(sums[worker], 0, total)


def _core_cache_rate(size: int, threads: int) -> float:
    """Measure the bytes a second of all threads on what half fills the core's own cache."""
    host, single = registers(), np.dtype(np.float32)
    step = Step(depth=1, vectors=8, spills=False, lanes=host.bytes // single.itemsize)
    values = size // 2 // single.itemsize // step.sizes.wide * step.sizes.wide
    own = aligned_zeros((threads, values), single)
    own[:] = 1  # pages that were never written are all the same one
    sums = aligned_zeros((threads, step.sizes.wide), single)
    weight, passes = np.full(1, 0.5, single), max(1, _CORE_READ_BYTES * threads // own.nbytes)
    _read_own(step, weight, own, sums, 1)
    seconds = min(_seconds(_read_own, step, weight, own, sums, passes) for _ in range(_REPEATS))
    return passes * own.nbytes / seconds


def _seconds(function: Any, *arguments: Any) -> float:
    start = time.perf_counter_ns()
    function(*arguments)
    return (time.perf_counter_ns() - start) * 1e-9


def _reread_seconds(probe: Any, eviction: Any) -> float:
    seconds = []
    for _ in range(_REPEATS):
        _read(probe)
        _read(eviction)
        seconds.append(_seconds(_read, probe))
    return median(seconds)


def _clock_resolution() -> float:
    ticks = [time.perf_counter_ns() for _ in range(1000)]
    steps = [late - early for early, late in pairwise(ticks) if late > early]
    return min(steps, default=1) * 1e-9


def _flops(dtype: str) -> float:
    n = 1024
    square = np.random.default_rng(0).random((n, n)).astype(dtype)
    out = np.empty_like(square)
    return 2 * n**3 / min(_seconds(np.matmul, square, square, out) for _ in range(_REPEATS))
