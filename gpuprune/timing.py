"""How callables are timed: warmed up, interleaved, until the time can be believed."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median
from typing import Any

from gpuprune.backends import Array, Backend, Sample, Timeable, unchanged
from gpuprune.errors import GpupruneError
from gpuprune.records import Case, Contract, StoppedBy, Timing
from gpuprune.stats import relative_standard_error

_HOST_BOUND_LIMIT = 5  # samples in a row that found the device waiting for the host
_BRIEF_SAMPLES = 3
_CLEARLY_SLOWER = 1.3  # than the fastest: no further sample decides between the two


# What a contender does wrong, a call of sys.exit among it: its result, and not the end of the run.
FAILURES = (Exception, SystemExit, GeneratorExit)


class Wrong(Exception):
    """A timed call gave a product that is not right; the text says what is wrong with it."""


class HostBound(Exception):
    """The device waits for the host however long it is held up: it has no time of its own."""


def require_device(backend: Backend, who: str, case: Case, failure: BaseException) -> None:
    """Raise GpupruneError where a failure was the last thing that the device did.

    After an access beyond its memory, a GPU refuses everything that the process still asks of it.
    """
    try:
        backend.synchronize()
    except FAILURES:
        raise GpupruneError(
            f"{who} broke the device at rate {case.rate:g} and group {case.group}: "
            f"{told(failure)}",
            hint="go on without it: name the others with --contenders",
        ) from failure


def told(failure: BaseException) -> str:
    """Name a failure in a sentence."""
    return f"{type(failure).__name__}: {failure}"


def accepted(*_what: object) -> None:
    """Find nothing wrong with a product."""


def fastest(
    works: Sequence[Timeable],
    backend: Backend,
    *,
    cold: bool,
    renew: Callable[[], object] = unchanged,
) -> int:
    """Return the index of the fastest of several, by a few interleaved samples after a warm-up."""
    if len(works) == 1:
        return 0
    for work in works:
        work.multiply()
    bests = [float("inf")] * len(works)
    for _ in range(_BRIEF_SAMPLES):
        bests = [
            min(best, backend.sample(work, cold=cold, renew=renew).seconds)
            for best, work in zip(bests, works, strict=True)
        ]
        first, second = sorted(bests)[:2]
        if second > _CLEARLY_SLOWER * first:
            break
    return bests.index(min(bests))


def measure(
    works: Mapping[str, Timeable],
    backend: Backend,
    contract: Contract,
    renew: Callable[[], object] = unchanged,
    check: Callable[[str, Array], None] = accepted,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Timing | BaseException]:
    """Time all `works` side by side, A B A B, so that a drift meets all of them alike.

    `renew` writes other operands before each timed call, so that no product can be remembered,
    and `check` raises Wrong for a product of such a call that is not right.
    Stops when each has the contract's number of samples or precision, or the time is spent.
    Returns for every name a Timing, or why there is none: HostBound, Wrong, or what `multiply`
    raised.
    """
    collected = {name: _Collected() for name in works}
    cold = contract.cache == "cold"
    deadline = clock() + contract.budget_s
    with _no_garbage_collection():
        for name, work in works.items():
            collected[name].try_to(work.multiply)  # warm-up
        while (stopped_by := _stop(collected, contract, clock() >= deadline)) is None:
            for name, work in works.items():
                one = collected[name]
                take = partial(backend.sample, work, cold=cold, renew=renew)
                if one.failure is None and (sample := one.try_to(take)):
                    one.add(sample, partial(check, name))
    return {
        name: one.failure or one.timing(contract, stopped_by) for name, one in collected.items()
    }


def measure_call(
    work: Timeable,
    backend: Backend,
    contract: Contract,
    renew: Callable[[], object] = unchanged,
    check: Callable[[Array], None] = accepted,
) -> tuple[float, ...]:
    """Time what a user of a library would write, host overhead included; in seconds.

    `renew` and `check` as for `measure`; raises Wrong, or what the call raised.
    """
    cold = contract.cache == "cold"

    def take() -> float:  # and drop the product: the next call finds its memory free again
        sample = backend.sample_call(work, cold=cold, renew=renew)
        check(sample.product)
        return sample.seconds

    work.multiply()
    return tuple(take() for _ in range(contract.call_samples))


@dataclass
class _Collected:
    samples: list[Sample] = field(default_factory=list)
    host_bound: int = 0
    host_bound_in_a_row: int = 0
    failure: BaseException | None = None

    def try_to(self, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except FAILURES as error:
            self.failure = error
            return None

    def add(self, sample: Sample, check: Callable[[Array], None]) -> None:
        try:
            check(sample.product)
        except Wrong as error:
            self.failure = error
            return
        if not sample.host_bound:
            self.samples.append(replace(sample, product=None))
            self.host_bound_in_a_row = 0
            return
        self.host_bound += 1
        self.host_bound_in_a_row += 1
        if self.host_bound_in_a_row >= _HOST_BOUND_LIMIT:
            self.failure = HostBound(
                f"{self.host_bound} samples found the device waiting for the host, "
                "however long it was held up"
            )

    def is_done(self, contract: Contract) -> StoppedBy | None:
        """Say whether it has enough samples, the time aside, and by which rule."""
        if contract.samples is not None:
            return "samples" if len(self.samples) >= contract.samples else None
        if len(self.samples) < contract.min_samples:
            return None
        seconds = [sample.seconds for sample in self.samples]
        precise = relative_standard_error(seconds) <= contract.precision
        return "precision" if precise else None

    def timing(self, contract: Contract, stopped_by: StoppedBy) -> Timing:
        kept = _unthrottled(self.samples, contract.clock_floor)
        return Timing(
            samples_s=tuple(sample.seconds for sample in kept),
            cache=contract.cache,
            stopped_by=stopped_by,
            host_bound_samples=self.host_bound,
            throttled_samples=len(self.samples) - len(kept),
        )


def _stop(
    collected: Mapping[str, _Collected], contract: Contract, out_of_time: bool
) -> StoppedBy | None:
    running = [one for one in collected.values() if one.failure is None]
    verdicts = [one.is_done(contract) for one in running]
    if all(verdicts):
        return next(iter(verdicts), None) or "budget"
    enough = all(len(one.samples) >= contract.min_samples for one in running)
    return "budget" if contract.samples is None and out_of_time and enough else None


def _unthrottled(samples: list[Sample], floor: float) -> list[Sample]:
    clocks = [sample.clock_hz for sample in samples if sample.clock_hz]
    if not clocks:
        return samples
    least = floor * median(clocks)
    return [sample for sample in samples if sample.clock_hz is None or sample.clock_hz >= least]


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
