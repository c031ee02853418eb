import re
import sys
import time
import weakref
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from gpuprune import contenders
from gpuprune.backends import Sample
from gpuprune.backends.fake import FakeBackend
from gpuprune.contenders import NotApplicable, Prepared
from gpuprune.errors import GpupruneError
from gpuprune.problem import AFTER, Problem
from gpuprune.records import Case, Contract
from gpuprune.sweep import Stopwatch, run, warm_up
from tests.cheats import CALL_CHEATS, CHEATS, call_that_gives_zeros
from tests.conftest import problem_of

CASE = Case(rows=64, cols=96, batch=7, rate=0.8, group=1)
DENSE = contenders.load("dense")
CONTRACT = Contract(samples=3)


def measure(backend, case=CASE, contract=CONTRACT, **others):
    """Run the dense baseline and others on one case; return the results by contender."""
    prepares = {"dense": DENSE, **others}
    calibration = backend.calibrate((case.dtype,))
    (results,) = run([case], prepares, backend, contract, calibration, Stopwatch())
    return {result.contender: result for result in results}


def honest(problem, backend):
    return [Prepared(multiply=lambda: problem.weights @ problem.activations, bytes=77)]


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.__name__)
def test_a_cheat_is_wrong_and_has_no_time(fake, cheat):
    found = measure(fake, cheat=cheat, honest=honest)
    assert found["cheat"].status == "wrong", found["cheat"].reason
    assert found["cheat"].timing is None
    assert found["cheat"].reason
    # Whoever comes after it is measured as if it had not been there.
    assert found["honest"].status == "ok"
    assert found["dense"].status == "ok"


class BreakableBackend(FakeBackend):
    """A device that does nothing any more once a contender has read beyond its memory."""

    broken = False

    def use(self):
        if self.broken:
            raise RuntimeError("an illegal memory access was encountered")

    def synchronize(self):
        self.use()

    def numpy(self, values):
        self.use()
        return super().numpy(values)

    def sample(self, work, **options):
        self.use()
        return super().sample(work, **options)


@pytest.mark.parametrize(
    ("good_calls", "who"),
    [(0, "breaks"), (1, "one of dense, breaks"), (2, "one of dense, breaks"), (5, "breaks")],
    ids=["first check", "warm-up of the timing", "timed", "last check"],
)
def test_who_breaks_the_device_is_named_and_ends_the_run(good_calls, who):
    backend = BreakableBackend()
    with pytest.raises(GpupruneError) as why:
        measure(backend, breaks=partial(breaking, backend, good_calls))
    assert str(why.value) == (
        f"{who} broke the device at rate 0.8 and group 1: RuntimeError: an illegal memory access "
        "was encountered"
    )
    assert why.value.hint == "go on without it: name the others with --contenders"


def test_who_breaks_the_device_before_the_first_case_is_named():
    backend = BreakableBackend()
    prepares = {"dense": DENSE, "breaks": partial(breaking, backend, 0), "honest": honest}
    with pytest.raises(GpupruneError, match=r"^breaks broke the device at rate 0\.5 and group 1:"):
        warm_up(prepares, CASE, backend)


def breaking(backend, good_calls, problem, _):
    """Multiply rightly so many times, and then read beyond the memory."""
    calls = iter(range(good_calls))

    def multiply():
        backend.broken = next(calls, None) is None
        return problem.weights @ problem.activations

    return [Prepared(multiply=multiply)]


@pytest.mark.parametrize("cheat", CALL_CHEATS, ids=lambda cheat: cheat.__name__)
def test_a_cheat_in_its_call_has_no_time_of_the_call_and_keeps_that_of_the_product(fake, cheat):
    found = measure(fake, first=honest, cheat=cheat, last=honest)
    assert re.match("call: (it changed the weights|its error is)", found["cheat"].reason)
    assert found["cheat"].timing.call_samples_s == ()
    for one in found.values():
        assert (one.status, len(one.timing.samples_s)) == ("ok", 3)


@pytest.mark.parametrize("cache", ["cold", "warm"])
def test_no_timed_product_can_be_remembered(cpu, cache):
    counts = Counter()

    def remembers(problem, backend):
        products = {}

        def multiply():
            key = problem.activations.tobytes()
            counts["hit" if key in products else "miss"] += 1
            if key not in products:
                products[key] = problem.weights @ problem.activations
            return products[key]

        return [Prepared(multiply=multiply)]

    found = measure(cpu, contract=Contract(samples=9, cache=cache), remembers=remembers)
    assert found["remembers"].status == "ok"
    assert counts["miss"] >= 9 + 2  # and the two verifications
    # With warm caches the call that warms them finds the operands of the sample before.
    assert counts["hit"] <= (1 if cache == "cold" else 12)


def test_a_contender_sees_nothing_that_tells_what_is_expected(fake):
    def looks(problem, backend):
        assert type(problem) is Problem
        assert not [name for name in vars(problem) if name.startswith("_")]
        return honest(problem, backend)

    assert measure(fake, looks=looks)["looks"].status == "ok"


def test_activations_of_the_last_check_cannot_be_foreseen(fake):
    def draw():
        trial = problem_of(fake)
        trial.renew(AFTER)
        return trial.activations.tobytes()

    assert draw() != draw()


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        ([], r"prepare returned \[\], and no list of what can be timed"),
        (None, "prepare returned None, and no list of what can be timed"),
        (["csr"], "prepare returned 'csr', which is not a Prepared"),
    ],
)
def test_a_contender_that_returns_nothing_to_time_is_failed_with_a_reason(fake, returned, reason):
    found = measure(fake, odd=lambda problem, backend: returned)["odd"]
    assert found.status == "failed"
    assert re.search(reason, found.reason)


def test_a_negative_size_is_a_failure(fake):
    found = measure(fake, odd=lambda problem, backend: [Prepared(multiply=list, bytes=-1)])["odd"]
    assert (found.status, found.reason) == ("failed", "ValueError: bytes is -1")


def test_who_spoils_the_weights_late_is_found_and_the_others_are_timed_again(fake):
    from tests.cheats import weights_changed_late

    found = measure(fake, contract=Contract(samples=5), honest=honest, late=weights_changed_late)
    assert found["late"].status == "wrong"
    assert found["late"].reason == "it changed the weights it was given"
    for name in ("dense", "honest"):
        assert found[name].status == "ok"
        assert len(found[name].timing.samples_s) == 5


def test_what_a_contender_prints_is_no_result(fake, capsys):
    def prints(problem, backend):
        sys.stdout.write("hello\n")
        return honest(problem, backend)

    assert measure(fake, prints=prints)["prints"].status == "ok"
    assert capsys.readouterr() == ("", "hello\n" * 2)  # it prepares twice


def test_a_contender_that_exits_ends_itself_alone(fake):
    def leaves(problem, backend):
        raise SystemExit(0)

    def leaves_later(problem, backend):
        (prepared,) = honest(problem, backend)
        calls = []

        def multiply():
            calls.append(1)
            if len(calls) > 2:
                sys.exit(0)
            return prepared.multiply()

        return [Prepared(multiply=multiply)]

    def leaves_in_its_call(problem, backend):
        (prepared,) = honest(problem, backend)
        return [replace(prepared, call=sys.exit)]

    found = measure(
        fake,
        leaves=leaves,
        leaves_later=leaves_later,
        leaves_in_its_call=leaves_in_its_call,
        honest=honest,
    )
    assert found["leaves"].reason == "SystemExit: 0"
    assert found["leaves_later"].reason == "while timed: SystemExit: 0"
    assert {found[name].status for name in ("leaves", "leaves_later")} == {"failed"}
    assert found["leaves_in_its_call"].reason == "call: SystemExit: "
    assert found["leaves_in_its_call"].status == "ok"
    assert found["honest"].status == found["dense"].status == "ok"


def test_an_honest_contender_has_time_error_and_facts(fake):
    found = measure(fake, honest=honest)["honest"]
    assert found.status == "ok"
    assert found.reason is None
    assert found.timing.samples_s == pytest.approx((78e-9,) * 3)
    assert found.error < 1e-7
    assert found.bytes == 77
    assert found.nnz == round(0.2 * 64 * 96)
    assert found.achieved_rate == pytest.approx(0.8, abs=1e-3)
    assert found.prepare_s > 0
    assert found.roofline_s > 0


def test_a_contender_that_states_no_work_has_no_prediction(fake):
    found = measure(fake, honest=honest)
    assert (found["honest"].predicted_s, found["honest"].bound) == (None, None)
    # The fake device moves a gigabyte a second, and is called in a nanosecond.
    assert found["dense"].predicted_s == pytest.approx((64 * 96 + (64 + 96) * 7) * 4e-9 + 1e-9)
    assert found["dense"].bound == "memory"


def test_a_contender_that_declines_is_skipped_with_its_reason(fake):
    def declines(problem, backend):
        raise NotApplicable("it has no such format")

    found = measure(fake, declines=declines)["declines"]
    assert (found.status, found.reason, found.timing) == ("skipped", "it has no such format", None)


@pytest.mark.parametrize("failure", [NotApplicable("no"), ValueError("no")], ids=repr)
def test_who_changes_the_weights_and_then_declines_or_breaks_spoils_nobody(fake, failure):
    def spoils(problem, backend):
        problem.weights[...] = 1
        raise failure

    found = measure(fake, spoils=spoils, honest=honest)
    assert found["dense"].status == found["honest"].status == "ok"


def test_who_changes_the_weights_and_breaks_after_timing_spoils_nobody(fake):
    def spoils(problem, backend):
        calls = []

        def multiply():
            calls.append(1)
            if len(calls) > 5:  # a check, a warm-up and three samples
                problem.weights[...] = 1
                raise RuntimeError("no more")
            return problem.weights @ problem.activations

        return [Prepared(multiply=multiply)]

    found = measure(fake, spoils=spoils, honest=honest)
    assert found["spoils"].reason == "after timing: RuntimeError: no more"
    assert found["dense"].status == found["honest"].status == "ok"


def test_a_contender_that_breaks_is_failed_and_the_others_go_on(fake):
    def breaks(problem, backend):
        raise MemoryError("no room")

    def breaks_later(problem, backend):
        calls = []

        def multiply():
            calls.append(1)
            if len(calls) > 3:
                raise RuntimeError("it worked before")
            return problem.weights @ problem.activations

        return [Prepared(multiply=multiply)]

    found = measure(fake, breaks=breaks, breaks_later=breaks_later)
    assert (found["breaks"].status, found["breaks"].reason) == ("failed", "MemoryError: no room")
    assert found["breaks_later"].status == "failed"
    assert "it worked before" in found["breaks_later"].reason
    assert found["dense"].status == "ok"


def test_the_fastest_right_variant_is_kept_and_the_wrong_one_told(fake):
    def three(problem, backend):
        def right():
            return problem.weights @ problem.activations

        return [
            Prepared(multiply=right, variant="slow", bytes=500),
            Prepared(multiply=lambda: right() * 2, variant="wrong", bytes=1),
            Prepared(multiply=right, variant="fast", bytes=100),
        ]

    found = measure(fake, three=three)["three"]
    assert (found.status, found.variant, found.bytes) == ("ok", "fast", 100)
    assert found.reason.startswith("wrong: its error is")


def test_a_wrong_product_without_a_variant_has_a_plain_reason(fake):
    def double(problem, backend):
        return [Prepared(multiply=lambda: 2 * (problem.weights @ problem.activations))]

    assert measure(fake, double=double)["double"].reason.startswith("its error is")


@pytest.mark.parametrize("value", [3e38, 1e-44])
def test_products_out_of_range_are_not_made(fake, tmp_path, value):
    path = tmp_path / "w.npy"
    np.save(path, np.full((16, 24), value, np.float32))
    case = Case(rows=16, cols=24, batch=5, rate=0.0, group=1, weights=str(path), as_is=True)
    found = measure(fake, case=case, honest=honest)
    for one in found.values():
        assert (one.status, one.timing) == ("skipped", None)
        assert one.reason.startswith(f"{path} gives products near float32's")


def test_the_call_of_a_library_is_timed_apart(fake):
    def library(problem, backend):
        def right():
            return problem.weights @ problem.activations

        return [Prepared(multiply=right, call=right)]

    timing = measure(fake, library=library)["library"].timing
    assert len(timing.call_samples_s) == Contract().call_samples


def test_a_call_that_breaks_takes_no_time_from_the_product(fake):
    def library(problem, backend):
        def breaks():
            raise RuntimeError("no such kernel")

        right, wrong = (
            Prepared(multiply=lambda f=f: f * (problem.weights @ problem.activations), call=breaks)
            for f in (1, 2)
        )
        return [right, wrong]

    found = measure(fake, library=library)["library"]
    assert found.status == "ok"
    assert len(found.timing.samples_s) == 3
    assert found.timing.call_samples_s == ()
    assert re.fullmatch("its error is .*; call: RuntimeError: no such kernel", found.reason)


def test_the_time_of_packing_has_no_compilation_in_it(fake):
    compiled = set()

    def compiles(problem, backend):
        if problem.case.rate not in compiled:  # as a kernel for one more type of index is
            compiled.add(problem.case.rate)
            time.sleep(0.3)
        return honest(problem, backend)

    for rate in (0.8, 0.9):
        found = measure(fake, case=replace(CASE, rate=rate), compiles=compiles)["compiles"]
        assert 0 < found.prepare_s < 0.2


def test_a_format_is_dropped_before_it_is_packed_again(fake):
    alive = weakref.WeakSet()

    class Format:
        pass

    def packs(problem, backend):
        assert not alive
        held = Format()
        alive.add(held)
        return [
            Prepared(multiply=lambda held=held: problem.weights @ problem.activations, bytes=1)
        ]

    assert measure(fake, packs=packs)["packs"].status == "ok"


def test_a_device_that_others_use_makes_a_result_disturbed():
    class Shared(FakeBackend):
        def neighbours(self):
            return "python (pid 7) computes on this device, too"

    found = measure(Shared(), cheat=call_that_gives_zeros)
    for one in found.values():
        assert one.status == "disturbed"
        assert len(one.timing.samples_s) == 3
    assert found["dense"].reason == "python (pid 7) computes on this device, too"
    assert found["cheat"].reason.startswith(f"{found['dense'].reason}; call: its error is ")


def test_a_device_that_waits_for_the_host_has_no_time():
    backend = FakeBackend(lambda work: Sample(seconds=1.0, host_bound=True))
    assert measure(backend)["dense"].status == "host_bound"


def test_a_dtype_the_device_cannot_do_is_skipped(fake):
    found = measure(fake, case=Case(rows=8, cols=8, batch=2, rate=0.5, group=1, dtype="float16"))
    assert found["dense"].status == "skipped"
    assert "float16" in found["dense"].reason


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_nothing_pruned_and_everything_pruned_are_cases_like_others(cpu, rate):
    case = Case(rows=24, cols=40, batch=5, rate=rate, group=4)
    found = measure(cpu, case=case, csr=contenders.load("csr"))
    assert [result.status for result in found.values()] == ["ok", "ok"]


def test_a_contender_that_breaks_while_warming_up_breaks_nothing(fake):
    def breaks(problem, backend):
        raise ValueError

    warm_up({"dense": DENSE, "breaks": breaks}, CASE, fake)
