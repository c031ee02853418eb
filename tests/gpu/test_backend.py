import os
import subprocess
import sys
import time
from statistics import median

import numpy as np
import pytest

from gpuprune.backends import Unavailable, open_backend
from gpuprune.errors import GpupruneError
from gpuprune.records import Contract
from gpuprune.timing import HostBound, measure

pytestmark = pytest.mark.gpu


class Work:
    """A function that can be timed."""

    bytes = 0

    def __init__(self, multiply):
        self.multiply = multiply


def median_s(gpu, work, *, cold):
    return median(gpu.sample(work, cold=cold).seconds for _ in range(20))


def kernel(gpu, name):
    from gpuprune.backends.cuda.sampling import load_kernels

    return load_kernels().get_function(name)


@pytest.fixture(scope="session")
def calibration(gpu):
    return gpu.calibrate(("float32", "float16", "float64"))


def test_the_device_is_described(gpu):
    facts = gpu.facts()
    assert facts["device_name"]
    assert facts["cache_bytes"] > 1 << 18
    assert facts["memory_bytes"] > 1 << 30
    assert facts["multiprocessors"] > 0
    for name in ("compute_capability", "cuda_driver", "cuda_runtime", "cublas", "cusparse"):
        assert float(".".join(facts[name].split(".")[:2])) >= 5, name
    assert (gpu.name, gpu.threads) == ("cuda", None)
    assert 0 < gpu.free_bytes() <= facts["memory_bytes"]


def test_an_empty_kernel_takes_microseconds(gpu):
    empty = kernel(gpu, "empty")
    seconds = median_s(gpu, Work(lambda: empty((1,), (1,), ())), cold=True)
    assert 0.2e-6 < seconds < 20e-6


@pytest.mark.parametrize("duration", [50e-6, 2e-3])
def test_a_kernel_of_known_length_is_timed_as_such(gpu, duration):
    spin = kernel(gpu, "spin")
    work = Work(lambda: spin((1,), (1,), (np.uint64(duration * 1e9),)))
    assert median_s(gpu, work, cold=False) == pytest.approx(duration, rel=0.05, abs=10e-6)


def test_slow_queueing_does_not_show_in_the_time(gpu):
    empty = kernel(gpu, "empty")

    def queue_slowly():
        time.sleep(0.004)
        empty((1,), (1,), ())

    sample = gpu.sample(Work(queue_slowly), cold=True)
    assert not sample.host_bound
    assert sample.seconds < 20e-6


def test_work_that_waits_for_the_device_is_host_bound(gpu):
    empty = kernel(gpu, "empty")

    def wait():
        empty((1,), (1,), ())
        gpu.synchronize()

    work = Work(wait)
    assert gpu.sample(work, cold=True).host_bound
    begun = time.perf_counter()
    found = measure({"waiting": work}, gpu, Contract(samples=3))
    assert isinstance(found["waiting"], HostBound)
    assert time.perf_counter() - begun < 5


def test_the_clock_is_one_that_a_gpu_has(gpu):
    empty = kernel(gpu, "empty")
    sample = gpu.sample(Work(lambda: empty((1,), (1,), ())), cold=True)
    assert 0.1e9 < sample.clock_hz < 5e9
    most = gpu.facts().get("max_sm_clock_hz")
    assert most is None or sample.clock_hz < 1.05 * most


def test_a_flush_makes_reads_of_the_cache_slower(gpu, calibration):
    read = kernel(gpu, "read_repeatedly")
    blocks, threads = gpu.facts()["multiprocessors"], 1024
    vectors = max(1, calibration.cache_bytes // 4 // (blocks * threads * 16))
    values = gpu.xp.ones((blocks, vectors, threads, 4), gpu.xp.uint32)
    sink = gpu.xp.zeros(1, gpu.xp.uint32)
    arguments = (values, np.int32(vectors), np.int32(1), sink)
    work = Work(lambda: read((blocks,), (threads,), arguments))
    work.multiply()
    warm, cold = (median_s(gpu, work, cold=cold) for cold in (False, True))
    assert cold > 1.1 * warm


def test_calibration_gives_rates_that_a_gpu_has(gpu, calibration):
    assert 0.2e-6 < calibration.empty_s < 20e-6
    assert 0 < calibration.resolution_s <= 2e-6
    assert 50e9 < calibration.memory_bytes_per_s < 20e12
    assert calibration.cache_bytes_per_s > calibration.memory_bytes_per_s
    assert calibration.core_cache_bytes_per_s > calibration.cache_bytes_per_s
    assert 48 << 10 <= calibration.core_cache_bytes < calibration.cache_bytes
    assert 0 <= calibration.start_s < 20e-6
    assert calibration.evict_bytes == 2 * calibration.cache_bytes
    flops = calibration.flops_per_s
    assert set(flops) >= {"float32", "float16", "float64"}
    assert flops["float16"] > flops["float32"] > 0.5e12
    if "tf32" in flops:
        assert flops["tf32"] > flops["float32"]


def test_calibration_takes_about_a_second(gpu, calibration):
    begun = time.perf_counter()
    gpu.calibrate(("float32",))
    assert time.perf_counter() - begun < 1.5


def test_a_call_is_timed_with_its_host_work_until_the_device_is_idle(gpu):
    spin = kernel(gpu, "spin")

    def call():
        time.sleep(0.003)
        spin((1,), (1,), (np.uint64(5e6),))

    assert gpu.sample_call(Work(call), cold=True).seconds == pytest.approx(8e-3, rel=0.2)


@pytest.mark.parametrize("cold", [True, False])
def test_a_call_is_timed_on_new_operands_and_gives_its_product(gpu, cold):
    values = gpu.xp.zeros(1000)

    def renew():
        values[...] += 1

    work = Work(lambda: values * 2)
    for count in (1, 2):
        product = gpu.sample_call(work, cold=cold, renew=renew).product
        assert (gpu.numpy(product) == 2 * count).all()


def test_numpy_waits_for_the_timed_stream_and_no_other(gpu):
    xp = gpu.xp
    values = xp.zeros(1000, xp.float32)
    values += 1  # compiles
    values.fill(0)
    other = xp.cuda.Stream(non_blocking=True)
    spin = kernel(gpu, "spin")
    gpu.synchronize()
    with other:
        spin((1,), (1,), (np.uint64(50e6),))
        values += 1
    gpu.delay()
    assert (gpu.numpy(values) == 0).all()  # the other stream is still at it
    gpu.synchronize()
    assert (gpu.numpy(values) == 1).all()
    spin((1,), (1,), (np.uint64(5e6),))
    values += 1
    assert (gpu.numpy(values) == 2).all()


def test_an_array_keeps_its_values_in_either_order(gpu):
    expected = np.arange(12, dtype=np.float32).reshape(3, 4)
    for order in "CF":
        assert (gpu.numpy(gpu.xp.array(expected, order=order)) == expected).all()


def test_what_storage_the_gpu_lacks_it_says_in_a_sentence(gpu):
    for dtype in ("float16", "float32", "float64"):
        assert gpu.unsupported(dtype) is None
    capability = float(gpu.facts()["compute_capability"])
    reason = gpu.unsupported("bfloat16")
    assert (reason is None) == (capability >= 8) or "NumPy" in reason


def test_a_gpu_that_is_not_there_is_refused_with_those_that_are(gpu):
    with pytest.raises(Unavailable, match=r"there is no cuda:99 here: cuda:0 is .+"):
        open_backend("cuda:99")


def test_threads_are_refused_on_a_gpu(gpu):
    with pytest.raises(GpupruneError, match="2 threads asked for, and cuda:0 does the work"):
        open_backend("cuda", threads=2)


def test_closing_gives_back_device_and_stream(gpu):
    current = gpu.xp.cuda.get_current_stream()
    second, _ = open_backend("cuda")
    assert gpu.xp.cuda.get_current_stream() != current
    second.close()
    assert gpu.xp.cuda.get_current_stream() == current


NEIGHBOUR = """
import sys
import cupy
values = cupy.ones(1000)
print("ready", flush=True)
sys.stdin.read()
"""


def test_another_process_on_the_gpu_is_seen_where_nvml_shows_processes(gpu):
    import pynvml

    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByPciBusId(gpu.xp.cuda.Device().pci_bus_id)
    if os.getpid() not in {one.pid for one in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)}:
        pytest.skip("NVML does not show this process here")
    before = gpu.neighbours()
    process = subprocess.Popen(
        [sys.executable, "-c", NEIGHBOUR], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout.readline() == b"ready\n"
        assert str(process.pid) in gpu.neighbours()
    finally:
        process.communicate()
    assert gpu.neighbours() == before
