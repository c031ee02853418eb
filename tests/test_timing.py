from dataclasses import dataclass, field

import pytest

from gpuprune.backends import Sample
from gpuprune.backends.fake import FakeBackend
from gpuprune.records import Contract
from gpuprune.timing import HostBound, Wrong, fastest, measure, measure_call


@dataclass
class Work:
    """A product that takes, in turn, the given seconds."""

    name: str
    seconds: list[float]
    bytes: int = 0
    calls: list[str] = field(default_factory=list)

    def multiply(self):
        self.calls.append(self.name)


def scripted(**samples):
    """Make a device on which the nth sample of a work is the nth of its list."""
    taken = dict.fromkeys(samples, 0)

    def clock(work):
        script = samples[work.name]
        taken[work.name] += 1
        value = script[min(taken[work.name], len(script)) - 1]
        return value if isinstance(value, Sample) else Sample(seconds=value)

    return FakeBackend(clock)


def noisy(centre):
    return [centre * (1 + 0.2 * (-1) ** i) for i in range(1000)]


def measured(contract, clock=lambda: 0.0, **samples):
    works = {name: Work(name, []) for name in samples}
    return measure(works, scripted(**samples), contract, clock=clock)


def test_steady_samples_stop_at_the_least_number():
    timing = measured(Contract(), dense=[0.25])["dense"]
    assert timing.samples_s == (0.25,) * 10
    assert timing.stopped_by == "precision"


def test_noise_is_sampled_until_the_standard_error_is_half_a_percent():
    timing = measured(Contract(), dense=noisy(1.0))["dense"]
    # A standard deviation of 20 % needs (20 / 0.5)^2 samples.
    assert len(timing.samples_s) == pytest.approx(1600, rel=0.01)
    assert timing.stopped_by == "precision"


def test_a_spent_budget_stops_but_not_before_ten_samples():
    seconds = iter(range(10_000))
    timing = measured(Contract(budget_s=3), clock=lambda: next(seconds), dense=noisy(1.0))["dense"]
    assert len(timing.samples_s) == 10
    assert timing.stopped_by == "budget"


def test_a_number_of_samples_is_met_exactly():
    timing = measured(Contract(samples=3), dense=noisy(1.0))["dense"]
    assert len(timing.samples_s) == 3
    assert timing.stopped_by == "samples"


def test_works_take_turns_so_that_drift_meets_all_of_them():
    calls = []
    works = {name: Work(name, [], calls=calls) for name in ("dense", "csr")}
    measure(works, scripted(dense=[1.0], csr=[2.0]), Contract(samples=2), clock=lambda: 0.0)
    assert calls == ["dense", "csr"] * 3  # a warm-up and two samples


def test_samples_that_waited_for_the_host_are_discarded_and_counted():
    waited = Sample(seconds=9.0, host_bound=True)
    timing = measured(Contract(), dense=[waited, 0.5, waited, 0.5])["dense"]
    assert timing.samples_s == (0.5,) * 10
    assert timing.host_bound_samples == 2


def test_a_work_that_always_waits_for_the_host_has_no_time_and_stops_nobody():
    waited = Sample(seconds=9.0, host_bound=True)
    found = measured(Contract(), dense=[0.5], csr=[waited])
    assert isinstance(found["csr"], HostBound)
    assert len(found["dense"].samples_s) == 10


def test_samples_at_a_fallen_clock_are_discarded_and_counted():
    slow, fast = Sample(seconds=3.0, clock_hz=1.0e9), Sample(seconds=1.0, clock_hz=1.9e9)
    timing = measured(Contract(samples=5), dense=[fast, slow, fast, fast, fast])["dense"]
    assert timing.samples_s == (1.0,) * 4
    assert timing.throttled_samples == 1


def test_a_work_that_fails_while_timed_leaves_the_others_their_time():
    class Failing(Work):
        def multiply(self):
            super().multiply()
            if len(self.calls) > 3:
                raise RuntimeError("out of memory")

    works = {"dense": Work("dense", []), "csr": Failing("csr", [])}
    found = measure(works, scripted(dense=[1.0], csr=[1.0]), Contract(), clock=lambda: 0.0)
    assert len(found["dense"].samples_s) == 10
    assert str(found["csr"]) == "out of memory"


def test_the_fastest_of_several_is_found():
    works = [Work(name, []) for name in ("slow", "fast", "middle")]
    backend = scripted(slow=[3.0], fast=[1.6, 1.0], middle=[1.5])
    assert fastest(works, backend, cold=True) == 1


def test_what_is_clearly_the_fastest_is_not_sampled_again():
    works = [Work(name, []) for name in ("slow", "fast")]
    assert fastest(works, scripted(slow=[3.0], fast=[1.0]), cold=True) == 1
    assert len(works[0].calls) == 2  # a warm-up and one sample


def test_a_call_is_timed_as_often_as_the_contract_says():
    backend = scripted(call=[1.0, 2.0, 3.0])
    assert measure_call(Work("call", []), backend, Contract(call_samples=2)) == (1.0, 2.0)


def test_a_call_whose_product_is_wrong_has_no_time():
    def check(product):
        raise Wrong(f"it is {product}")

    with pytest.raises(Wrong, match="it is None"):
        measure_call(Work("call", []), scripted(call=[1.0]), Contract(), check=check)
