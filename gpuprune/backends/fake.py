"""NumPy with a clock that can be set: whole runs whose output is known to the letter."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from gpuprune.backends import Array, Sample, Timeable, unchanged
from gpuprune.records import Calibration


def one_gigabyte_per_second(work: Timeable) -> Sample:
    """Take a nanosecond a byte of operands, and one for the call itself."""
    return Sample(seconds=(work.bytes + 1) * 1e-9)


class FakeBackend:
    """A device of which every time is computed."""

    name = "fake"
    xp: Any = np
    threads: int | None = 1

    def __init__(self, clock: Callable[[Timeable], Sample] = one_gigabyte_per_second) -> None:
        self._clock = clock

    def facts(self) -> dict[str, Any]:
        """Describe the device."""
        return {"device_name": "a fake device"}

    def free_bytes(self) -> int:
        """Return a gigabyte."""
        return 10**9

    def unsupported(self, dtype: str) -> str | None:
        """Decline 16-bit products, as the CPU does."""
        return f"a fake device has no {dtype}" if dtype in ("float16", "bfloat16") else None

    def numpy(self, values: Array) -> Any:
        """Return the values as they are at this moment."""
        return np.array(values)

    def delay(self) -> None:
        """Do nothing."""

    def synchronize(self) -> None:
        """Do nothing."""

    def sample(
        self, work: Timeable, *, cold: bool, renew: Callable[[], object] = unchanged
    ) -> Sample:
        """Multiply, and ask the clock how long it took."""
        renew()
        product = work.multiply()
        return replace(self._clock(work), product=product)

    def sample_call(
        self, work: Timeable, *, cold: bool, renew: Callable[[], object] = unchanged
    ) -> Sample:
        """Take as long as `sample` does."""
        return self.sample(work, cold=cold, renew=renew)

    def neighbours(self) -> str | None:
        """Return None: nobody else is here."""
        return None

    def calibrate(self, dtypes: tuple[str, ...]) -> Calibration:
        """Return round figures."""
        return Calibration(
            empty_s=1e-9,
            resolution_s=1e-9,
            memory_bytes_per_s=1e9,
            cache_bytes_per_s=4e9,
            cache_bytes=10**6,
            evict_bytes=2 * 10**6,
            flops_per_s=dict.fromkeys(dtypes, 1e12),
            core_cache_bytes_per_s=8e9,
            core_cache_bytes=10**5,
            start_s=1e-9,
        )

    def close(self) -> None:
        """Do nothing."""


def identify(index: int) -> str:
    """Return the name that the environment gives; otherwise each process has its own."""
    return os.environ.get("GPUPRUNE_FAKE_DEVICE", f"fake-{os.getpid()}")


def open_device(index: int, threads: int | None) -> FakeBackend:
    """Open the fake device."""
    return FakeBackend()
