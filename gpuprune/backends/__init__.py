"""Where arrays live and how time is read there: one file a device."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from gpuprune.errors import GpupruneError
from gpuprune.records import Calibration

Array = Any  # numpy.ndarray or cupy.ndarray, which share no type


class Timeable(Protocol):
    """What a backend can time."""

    @property
    def multiply(self) -> Callable[[], Array]:
        """Multiply once; the result may still be on its way when this returns."""

    @property
    def bytes(self) -> int:
        """Size of the operands."""


def unchanged() -> None:
    """Leave the operands of a work as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One timed call."""

    seconds: float
    host_bound: bool = False  # the device had to wait for the host: no time of the device
    clock_hz: float | None = None  # the device's clock while it ran, where it can be read
    product: Array = None  # what the call returned


class Backend(Protocol):
    """A device: its array module, its clock, and what is known of it."""

    name: str  # what records call the device: "cpu" or "cuda"
    xp: Any  # numpy or cupy
    threads: int | None  # of every contender on the CPU, None on a GPU

    def facts(self) -> dict[str, Any]:
        """Describe the device: at least `device_name`; JSON-ready."""

    def free_bytes(self) -> int:
        """Memory that can still be allocated."""

    def unsupported(self, dtype: str) -> str | None:
        """Say why this device cannot multiply matrices stored as `dtype`, None if it can."""

    def numpy(self, values: Array) -> Any:
        """Copy an array of the device to the host, after what is queued on the timed stream."""

    def delay(self) -> None:
        """Hold up the timed stream, so that work queued elsewhere overtakes what follows."""

    def synchronize(self) -> None:
        """Wait until the device has finished everything."""

    def sample(
        self, work: Timeable, *, cold: bool, renew: Callable[[], object] = unchanged
    ) -> Sample:
        """Time one call of `work.multiply` on the device alone, with evicted caches if `cold`.

        `renew` gives the work operands that it has not met; it is called before the timed call,
        and not timed.
        """

    def sample_call(
        self, work: Timeable, *, cold: bool, renew: Callable[[], object] = unchanged
    ) -> Sample:
        """Time one call until its result is there, the host's work included."""

    def neighbours(self) -> str | None:
        """Name other processes that compute on this device, None if there are none."""

    def calibrate(self, dtypes: tuple[str, ...]) -> Calibration:
        """Measure what the device reaches, in about a second."""

    def close(self) -> None:
        """Give back what opening changed for the process, such as its number of threads."""


class Unavailable(GpupruneError):
    """This machine lacks what the device needs."""


def open_backend(device: str, threads: int | None = None) -> tuple[Backend, str | None]:
    """Open `cpu`, `cuda`, `cuda:N`, `fake` or `auto`.

    Returns the backend and, where `auto` had to go on with the CPU, the sentence that says why.
    Raises GpupruneError for a device that is unknown or not there.
    """
    kind, colon, index = device.partition(":")
    if device == "auto":
        try:
            return _open("cuda", 0, None), None
        except Unavailable as why:
            return _open("cpu", 0, threads), f"No GPU: {why} ({why.hint}). Going on with the CPU."
    numbered = kind == "cuda" and index.isascii() and index.isdigit()
    if kind not in ("cpu", "cuda", "fake") or (colon and not numbered):
        raise GpupruneError(
            f"unknown device {device!r}", hint="take auto, cpu, cuda, or cuda:N for the Nth GPU"
        )
    return _open(kind, int(index or 0), threads), None


def identify(device: str) -> str:
    """Name the device apart from all others of its machine, without taking it into use."""
    kind, _, index = device.partition(":")
    name: str = importlib.import_module(f"{__name__}.{kind}").identify(int(index or 0))
    return name


def _open(kind: str, index: int, threads: int | None) -> Backend:
    backend: Backend = importlib.import_module(f"{__name__}.{kind}").open_device(index, threads)
    return backend
