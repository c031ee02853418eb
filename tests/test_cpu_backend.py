"""The CPU's own rates, within what any processor has."""

import os
import subprocess
import sys

from gpuprune import environment
from gpuprune.backends.cpu import _core_cache_rate


def test_calibration_gives_rates_that_a_processor_has(cpu):
    found = cpu.calibrate(("float32", "float16"))
    assert 1e8 < found.memory_bytes_per_s < 1e13
    assert found.core_cache_bytes_per_s > found.memory_bytes_per_s / 2
    assert 64 << 10 <= found.core_cache_bytes <= found.cache_bytes
    assert 0 <= found.start_s < 0.1
    assert list(found.flops_per_s) == ["float32"]


def test_a_core_reads_what_it_has_to_itself_faster_than_main_memory():
    own = environment.core_cache_bytes() or 256 << 10
    rates = {size: max(_core_cache_rate(size, 1) for _ in range(3)) for size in (own, 64 * own)}
    assert rates[own] > rates[64 * own]


def test_a_numba_that_does_not_compile_is_refused_by_its_variable():
    command = [sys.executable, "-m", "gpuprune", "bench", "--device", "cpu", "--quick"]
    ended = subprocess.run(
        command, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "Error: NUMBA_DISABLE_JIT is set, and Numba compiles the products of the CPU\n"
        "Hint: unset NUMBA_DISABLE_JIT\n"
    )
