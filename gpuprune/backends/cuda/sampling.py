"""How a sample is taken on a GPU: cold, behind a backlog, so that the host's work stays hidden.

The order of what is queued is after NVIDIA's nvbench. While the device flushes its cache and
spins, the host queues the work; the device then runs it without waiting for the host.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import cupy
import numpy as np
from numpy.typing import NDArray

from gpuprune.backends import Sample, Timeable, unchanged

SHORTEST_SPIN_S = 1e-3
LONGEST_SPIN_S = 0.1  # a host that is slower still computes instead of queueing
_ENQUEUE_MARGIN = 3


class Sampler:
    """Takes samples on one stream; keeps the events, and how long each work takes to queue."""

    def __init__(self, stream: Any, multiprocessors: int, evict_bytes: int) -> None:
        self._stream = stream
        self._multiprocessors = multiprocessors
        self._eviction = cupy.empty(evict_bytes, cupy.uint8)
        self._spun, self._start, self._stop = (cupy.cuda.Event() for _ in range(3))
        self._early, self._late = (
            cupy.empty((multiprocessors, 3), cupy.uint64) for _ in range(2)
        )  # (blocks, 3): multiprocessor, nanoseconds, cycles
        self._spins_s: WeakKeyDictionary[Timeable, float] = WeakKeyDictionary()
        module = load_kernels()
        self._spin_kernel = module.get_function("spin")
        self._stamp_kernel = module.get_function("stamp")

    @property
    def evict_bytes(self) -> int:
        """What a flush overwrites."""
        return int(self._eviction.nbytes)

    def sample(
        self, work: Timeable, *, cold: bool, renew: Callable[[], object] = unchanged
    ) -> Sample:
        """Time one call; after several tries host-bound, if it cannot be queued in time."""
        spin_s = self._spins_s.get(work, SHORTEST_SPIN_S)
        while True:
            sample, enqueue_s = self._try(work, spin_s, renew, cold=cold)
            is_last_try = not sample.host_bound or spin_s >= LONGEST_SPIN_S
            spin_s = next_spin_s(spin_s, enqueue_s, host_bound=sample.host_bound)
            if is_last_try:
                self._spins_s[work] = spin_s
                return sample

    def sample_call(
        self, work: Timeable, *, cold: bool, renew: Callable[[], object] = unchanged
    ) -> Sample:
        """Time one call by the host's clock, from an idle device until it is idle again."""
        self._make_ready(work, renew, cold=cold)
        cupy.cuda.runtime.deviceSynchronize()
        start = time.perf_counter_ns()
        product = work.multiply()
        cupy.cuda.runtime.deviceSynchronize()
        seconds = (time.perf_counter_ns() - start) * 1e-9
        return Sample(seconds=seconds, product=product)

    def spin(self, seconds: float) -> None:
        """Hold up the stream."""
        self._spin_kernel((1,), (1,), (np.uint64(seconds * 1e9),), stream=self._stream)

    def _try(
        self, work: Timeable, spin_s: float, renew: Callable[[], object], *, cold: bool
    ) -> tuple[Sample, float]:
        """Take a sample behind a spin; returns how long the work took to queue, too."""
        self._make_ready(work, renew, cold=cold)
        self._stamp(self._early)  # the clock's average includes the spin: work may be too short
        self.spin(spin_s)
        self._spun.record(self._stream)
        begun = time.perf_counter()
        self._start.record(self._stream)
        product = work.multiply()
        self._stop.record(self._stream)
        host_bound = self._spun.done  # the device has, or may have, waited for the host
        enqueue_s = time.perf_counter() - begun
        self._stamp(self._late)
        cupy.cuda.runtime.deviceSynchronize()
        sample = Sample(
            seconds=cupy.cuda.get_elapsed_time(self._start, self._stop) * 1e-3,
            host_bound=host_bound,
            clock_hz=clock_hz(self._early.get(self._stream), self._late.get(self._stream)),
            product=product,
        )
        return sample, enqueue_s

    def _make_ready(self, work: Timeable, renew: Callable[[], object], *, cold: bool) -> None:
        """Give the work operands that it has not met, and the caches it is to find."""
        if cold:
            renew()
            self._flush()
        else:
            work.multiply()  # whoever was last on the device left other values in the cache
            renew()

    def _flush(self) -> None:
        self._eviction.data.memset_async(0, self._eviction.nbytes, self._stream)

    def _stamp(self, stamps: Any) -> None:
        # As many blocks as multiprocessors: on an idle device each finds one of its own, so that
        # some read the same cycle counter both times.
        self._stamp_kernel((self._multiprocessors,), (1,), (stamps,), stream=self._stream)


def next_spin_s(spin_s: float, enqueue_s: float, *, host_bound: bool) -> float:
    """Return how long the device spins next time, after the work took so long to queue."""
    # Host-bound work may have waited for the spin itself: what it took to queue says nothing.
    wanted = 2 * spin_s if host_bound else _ENQUEUE_MARGIN * enqueue_s
    return min(max(wanted, SHORTEST_SPIN_S), LONGEST_SPIN_S)


def clock_hz(early: NDArray[np.uint64], late: NDArray[np.uint64]) -> float | None:
    """Return the median clock of the multiprocessors that were stamped both times.

    Both (blocks, 3): multiprocessor, nanoseconds, cycles. Each multiprocessor counts its own
    cycles. None where none was met twice.
    """
    _, first, second = np.intersect1d(early[:, 0], late[:, 0], return_indices=True)
    passed = (late[second, 1:] - early[first, 1:]).astype(np.int64)  # (multiprocessors, 2)
    passed = passed[(passed > 0).all(axis=1)]
    if not len(passed):
        return None
    return float(np.median(passed[:, 1] / passed[:, 0])) * 1e9


def smallest_step(values: Iterable[float]) -> float | None:
    """Return the least difference between times that differ, None if all are the same."""
    distinct = np.unique(np.fromiter(values, float))
    steps = np.diff(distinct)
    steps = steps[steps > 1e-10]  # below, it is the rounding of milliseconds in float32
    return float(steps.min()) if len(steps) else None


def load_kernels() -> Any:
    """Compile the kernels of the clock and the calibration, or take them from CuPy's cache."""
    code = Path(__file__).with_name("kernels.cu").read_text(encoding="utf-8")
    return cupy.RawModule(code=code)
