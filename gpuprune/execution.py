"""Who measures the cases of a run: this process, or whatever else is an `Executor`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gpuprune import contenders, environment, sweep
from gpuprune.backends import Backend
from gpuprune.records import Calibration, Case, Contract, Result
from gpuprune.resuming import MACHINE


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is measured, by whom and how."""

    cases: Sequence[Case]
    done: Sequence[Result]  # what an earlier session measured
    contenders: Sequence[str]  # the dense baseline first
    contract: Contract
    calibration: Calibration


class Executor(Protocol):
    """Where cases are measured, and what is known of that place."""

    @property
    def device(self) -> str:
        """What records call the device: "cpu" or "cuda"."""

    @property
    def machine(self) -> Sequence[str]:
        """Name the facts of `describe` that must agree to resume a run, beside the executor."""

    def describe(self) -> dict[str, Any]:
        """Describe machine, software and device; JSON-ready."""

    def free_bytes(self) -> int:
        """Memory that can still be allocated for a case."""

    def calibrate(self, dtypes: tuple[str, ...]) -> Calibration:
        """Measure what the device reaches."""

    def measure(self, work: Work, stopwatch: sweep.Stopwatch) -> Iterator[list[Result]]:
        """Measure each case once; yields the results of one case, dense first, as they come."""

    def account(self) -> dict[str, Any]:
        """Say in the end who measured what, where that is more than `describe` says."""


class Local:
    """This process on one device, case after case."""

    machine = MACHINE

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.device = backend.name

    def describe(self) -> dict[str, Any]:
        """Describe this machine."""
        return describe(self._backend)

    def free_bytes(self) -> int:
        """Return what the device still has."""
        return self._backend.free_bytes()

    def calibrate(self, dtypes: tuple[str, ...]) -> Calibration:
        """Measure what the device reaches."""
        return self._backend.calibrate(dtypes)

    def measure(self, work: Work, stopwatch: sweep.Stopwatch) -> Iterator[list[Result]]:
        """Measure in the order of the cases."""
        prepares = {name: contenders.load(name) for name in work.contenders}
        if work.cases:
            sweep.warm_up(prepares, work.cases[0], self._backend)
        yield from sweep.run(
            work.cases, prepares, self._backend, work.contract, work.calibration, stopwatch
        )

    def account(self) -> dict[str, Any]:
        """Add nothing: there is one device."""
        return {}


def describe(backend: Backend) -> dict[str, Any]:
    """Describe machine, software and device; JSON-ready."""
    return {
        **environment.describe(),
        "device": backend.name,
        "threads": backend.threads,
        **backend.facts(),
    }
