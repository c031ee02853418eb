"""What the kernels for groups say of their work, from which a GPU's rates make a time."""

from dataclasses import replace

import pytest

from gpuprune.backends.fake import FakeBackend
from gpuprune.roofline import predict, roofline
from tests.conftest import problem_of
from tests.cuda import on_cpu
from tests.cuda.cases import DEVICES
from tests.cuda.on_cpu import gpu
from tests.test_roofline import CALIBRATION

pytestmark = pytest.mark.skipif(not on_cpu.COMPILER, reason=on_cpu.NO_COMPILER)

# An H200 as its data sheet has it, three quarters of the arithmetic: to compare formats with.
H200 = replace(
    CALIBRATION,
    empty_s=2.5e-6,
    start_s=1e-6,
    memory_bytes_per_s=4.3e12,
    cache_bytes_per_s=6.5e12,
    cache_bytes=50 << 20,
    core_cache_bytes_per_s=33e12,
    core_cache_bytes=228 << 10,
    flops_per_s={"float32": 50e12, "float16": 700e12},
)


def prepared_for(orientation, dtype="float32", **changes):
    layer = {"rows": 512, "cols": 512, "batch": 50, "rate": 0.9, "dtype": dtype}
    trial = problem_of(FakeBackend(), orientation=orientation, **layer | changes)
    device = gpu(multiprocessors=132, shared_bytes=227 << 10)
    return trial, DEVICES[orientation].prepare(trial.problem, device)


@pytest.mark.parametrize("group", [1, 8])
@pytest.mark.parametrize(
    ("orientation", "dtype"), [("row", "float32"), ("column", "float32"), ("column", "float16")]
)
def test_more_weights_are_not_faster_and_nothing_passes_the_roofline(orientation, dtype, group):
    before = 0.0
    for rate in (1.0, 0.95, 0.8, 0.5):
        trial, prepared = prepared_for(orientation, dtype, group=group, rate=rate)
        found = predict(prepared.work, H200, cache="cold", precision=dtype)
        least = roofline(trial.case, trial.nnz, H200, cache="cold")
        assert found.seconds >= max(before, least.seconds)
        before = found.seconds


def test_single_weights_are_bound_by_gathering_and_groups_gather_less():
    _, single = prepared_for("column", group=1)
    _, group = prepared_for("column", group=8)
    phase, grouped = single.work.phases[0], group.work.phases[0]
    assert phase.gathered == pytest.approx(8 * grouped.gathered, rel=0.1)
    assert phase.gathered_from == grouped.gathered_from == 512 * 50 * 4


def test_parts_that_are_added_by_another_kernel_are_a_phase_and_a_start():
    _, prepared = prepared_for("row", group=8)
    assert [len(prepared.work.phases), prepared.work.starts] == [2, 1]
    assert prepared.work.phases[1].moved == 512 * 50 * 4
    _, alone = prepared_for("column", group=8)
    assert [len(alone.work.phases), alone.work.starts] == [1, 0]
