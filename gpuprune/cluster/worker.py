"""What runs on a node: one process that holds one device, its context and compiled kernels."""

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gpuprune import __version__, contenders, execution, sweep
from gpuprune.backends import Backend, identify, open_backend
from gpuprune.cluster.fingerprint import fingerprint
from gpuprune.cluster.locks import lock_device
from gpuprune.errors import GpupruneError
from gpuprune.problem import load_weights
from gpuprune.records import Calibration, Case, Contract, Result

_LOCK_WAIT_S = 1.0  # then the driver is told, and asks again


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a worker says of itself once it holds its device."""

    version: str  # of its gpuprune
    description: dict[str, Any]  # as of `execution.describe`
    device_id: str
    free_bytes: int
    pid: int

    @property
    def kind(self) -> str:
        """What devices have in common whose times can stand in one table."""
        return str(self.description["device_name"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why something cannot be done here; the user can put it right."""

    message: str
    hint: str


class OutOfMemory(Exception):
    """A case did not fit the memory of the node or of the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A case that is done."""

    results: list[Result]
    measuring_s: float


class Worker:
    """An actor; its methods are called one after the other."""

    def __init__(self, device: str, threads: int | None) -> None:
        with suppress(OSError):  # only root may take back what Ray gave up; see docs/ray.md
            os.setpriority(os.PRIO_PROCESS, 0, 0)
        self._device = device
        self._threads = threads
        self._lock: int | None = None
        self._stopwatch = sweep.Stopwatch()
        self._id: str  # these come from `open`, `calibrate`, `has` and `measure`
        self._backend: Backend
        self._place: dict[str, Any]
        self._calibration: Calibration
        self._folder: str
        self._measured: Iterator[list[Result]]

    def open(self) -> Facts | Refusal | None:
        """Lock the device and open it; None where somebody else still measures on it."""
        try:
            self._id = identify(self._device)
            self._lock = self._lock or lock_device(self._id, _LOCK_WAIT_S)
            if self._lock is None:
                return None
            self._backend, _ = open_backend(self._device, self._threads)
        except GpupruneError as error:
            return Refusal(message=f"{platform.node()}: {error}", hint=error.hint)
        description = execution.describe(self._backend)
        self._place = {
            "node": description["node"],
            "device_name": description["device_name"],
            "device_id": self._id,
        }
        return Facts(
            version=__version__,
            description=description,
            device_id=self._id,
            free_bytes=self._backend.free_bytes(),
            pid=os.getpid(),
        )

    def calibrate(self, dtypes: tuple[str, ...]) -> Calibration:
        """Measure what the device reaches."""
        self._calibration = self._backend.calibrate(dtypes)
        return self._calibration

    def warm_up(self, names: Sequence[str], like: Case) -> None:
        """Let every contender compile."""
        sweep.warm_up({name: contenders.load(name) for name in names}, like, self._backend)

    def has(self, folder: str, paths: Sequence[Path], expected: str) -> bool:
        """Tell whether the same files lie here, where the driver names them from `folder`."""
        self._folder = folder
        try:
            return fingerprint([Path(folder, path) for path in paths]) == expected
        except OSError:
            return False

    def measure(
        self,
        cases: Sequence[Case] | None,
        names: Sequence[str],
        contract: Contract,
        unpruned: Any,
    ) -> Measured | Refusal:
        """Measure the first of `cases`, or, where they are None, the next of those before.

        `unpruned` are the weights of the cases where their file does not lie here. Raises
        OutOfMemory.
        """
        if cases is not None:
            self._measured = self._begin(cases, names, contract, unpruned)
        before = self._stopwatch.measuring_s
        try:
            results = next(self._measured)
        except GpupruneError as error:
            return Refusal(message=f"{platform.node()}: {error}", hint=error.hint)
        except MemoryError as error:
            raise OutOfMemory(str(error)) from None
        return Measured(
            results=[replace(one, **self._place) for one in results],
            measuring_s=self._stopwatch.measuring_s - before,
        )

    def _begin(
        self, cases: Sequence[Case], names: Sequence[str], contract: Contract, unpruned: Any
    ) -> Iterator[list[Result]]:
        return sweep.run(
            cases,
            {name: contenders.load(name) for name in names},
            self._backend,
            contract,
            self._calibration,
            self._stopwatch,
            load=self._load if unpruned is None else lambda _: unpruned,
        )

    def _load(self, case: Case) -> Any:
        if case.weights is None:
            return load_weights(case)
        # The worker's own working directory is another one.
        return load_weights(replace(case, weights=os.path.join(self._folder, case.weights)))  # noqa: PTH118 - the name of a tensor is no path
