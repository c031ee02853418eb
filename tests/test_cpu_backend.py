"""The CPU's own rates, within what any processor has."""

import os
import subprocess
import sys
import tracemalloc

import pytest

from gpuprune import environment
from gpuprune.backends.cpu.device import _core_cache_rate


def test_calibration_gives_rates_that_a_processor_has(cpu):
    found = cpu.calibrate(("float32", "float16"))
    assert 1e8 < found.memory_bytes_per_s < 1e13
    assert found.core_cache_bytes_per_s > found.memory_bytes_per_s / 2
    assert 64 << 10 <= found.core_cache_bytes <= found.cache_bytes
    assert 0 <= found.start_s < 0.1
    assert found.empty_s < found.cold_call_s < 0.1
    assert list(found.flops_per_s) == ["float32"]


def test_calibration_holds_no_more_memory_than_it_evicts_with(cpu):
    tracemalloc.start()
    try:
        found = cpu.calibrate(())
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < found.evict_bytes + 16 * 2**20


def test_a_core_reads_what_it_has_to_itself_faster_than_main_memory():
    own = environment.core_cache_bytes() or 256 << 10
    rates = {size: max(_core_cache_rate(size, 1) for _ in range(3)) for size in (own, 64 * own)}
    assert rates[own] > rates[64 * own]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"NUMBA_DISABLE_JIT": "1"},
            "Error: NUMBA_DISABLE_JIT is set, and Numba compiles the products of the CPU\n"
            "Hint: unset NUMBA_DISABLE_JIT\n",
        ),
        (
            {"NUMBA_THREADING_LAYER": "bogus"},
            "Error: Numba does not start with NUMBA_THREADING_LAYER=bogus: The threading layer "
            "requested 'bogus' is unknown to Numba\n"
            "Hint: unset NUMBA_THREADING_LAYER\n",
        ),
        (
            {"NUMBA_NUM_THREADS": "abc", "NUMBA_COLOR_SCHEME": "no_color"},
            "Error: Numba does not start with NUMBA_NUM_THREADS=abc: Environment variable "
            "'NUMBA_NUM_THREADS' is defined but its associated value 'abc' could not be parsed\n"
            "Hint: unset NUMBA_NUM_THREADS\n",
        ),
        (
            {"NUMBA_NUM_THREADS": "0", "NUMBA_COLOR_SCHEME": "no_color"},
            "Error: Numba does not start with NUMBA_COLOR_SCHEME=no_color NUMBA_NUM_THREADS=0: "
            "Number of threads specified must be > 0\n"
            "Hint: unset NUMBA_COLOR_SCHEME or NUMBA_NUM_THREADS\n",
        ),
        (
            {"NUMBA_CACHE_LOCATOR_CLASSES": "Foo"},
            "Error: Numba does not start with NUMBA_CACHE_LOCATOR_CLASSES=Foo: Unknown cache "
            "locator class: 'Foo' specified via NUMBA_CACHE_LOCATOR_CLASSES env variable\n"
            "Hint: unset NUMBA_CACHE_LOCATOR_CLASSES\n",
        ),
        (
            # As where the package cannot be written, and the home directory neither.
            {"NUMBA_CACHE_LOCATOR_CLASSES": "UserWideCacheLocator", "HOME": "/dev/null"},
            "Error: Numba can keep what it compiles neither beside gpuprune nor in the home "
            "directory: none can be written\n"
            "Hint: set NUMBA_CACHE_DIR to a folder that can\n",
        ),
    ],
)
def test_what_keeps_numba_from_compiling_is_refused_by_its_variable(settings, said):
    command = [sys.executable, "-m", "gpuprune", "bench", "--device", "cpu", "--quick"]
    others = {name: value for name, value in os.environ.items() if name[:6] != "NUMBA_"}
    ended = subprocess.run(command, env=others | settings, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", said)
