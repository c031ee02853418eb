"""The GPU's backend as far as it goes without a GPU; with one, see tests/gpu."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gpuprune import contenders
from gpuprune.backends import Unavailable, open_backend
from gpuprune.backends.cuda import requirements
from gpuprune.backends.cuda.nvml import others
from tests.conftest import problem_of

pytest.importorskip("cupy", exc_type=ImportError)
from gpuprune.backends.cuda.sampling import (
    LONGEST_SPIN_S,
    SHORTEST_SPIN_S,
    clock_hz,
    next_spin_s,
    smallest_step,
)

ROOT = Path(__file__).parents[1]
KERNELS = sorted((ROOT / "gpuprune" / "backends").rglob("*.cu"))
ARCHITECTURES = ("75", "80", "86", "89", "90", "100", "120")

OPEN = """
import json
from gpuprune.backends import Unavailable
from gpuprune.backends.cuda import open_device
try:
    open_device(0, None)
except Unavailable as why:
    print(json.dumps([str(why), why.hint]))
"""

# What the CUDA runtime asks of a driver before anything else.
DRIVER = """
#include <stdlib.h>
int cuInit(unsigned flags) { return atoi(getenv("CUDA_ERROR")); }
int cuDriverGetVersion(int *version) { *version = atoi(getenv("CUDA_VERSION")); return 0; }
"""


def refusal(*options, **environment):
    """Open the GPU in a process of its own; return the error and the hint."""
    done = subprocess.run(
        [sys.executable, *options, "-c", OPEN],
        env={**os.environ, "PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def has_driver():
    from cupy.cuda import runtime

    return runtime.driverGetVersion() != 0


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """A folder with a CUDA driver that starts as CUDA_ERROR and CUDA_VERSION say."""
    if not (compiler := shutil.which("cc")):
        pytest.skip("no C compiler to make a driver with")
    folder = tmp_path_factory.mktemp("driver")
    (folder / "cuda.c").write_text(DRIVER)
    library = str(folder / "libcuda.so.1")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", library, str(folder / "cuda.c")], check=True
    )
    return str(folder)


@pytest.mark.parametrize(
    ("error", "version", "message", "hint"),
    [
        (
            100, 13000,
            "CUDA sees no GPU, and CUDA_VISIBLE_DEVICES is '7'",
            "unset CUDA_VISIBLE_DEVICES, or give it a number that `nvidia-smi -L` lists",
        ),
        (
            34, 13000,
            "the CUDA driver found is a stub, which toolkits bring for linking only",
            "take the folder `stubs` out of LD_LIBRARY_PATH",
        ),
        (
            0, 11000,
            r"the NVIDIA driver goes up to CUDA 11\.0, and this CuPy is built for CUDA 1[23]\.\d",
            "update the driver, or install the CuPy for its CUDA, such as cupy-cuda12x",
        ),
        (
            999, 13000,
            "CUDA does not start: cudaErrorUnknown: unknown error",
            "see whether `nvidia-smi` works",
        ),
    ],
)  # fmt: skip
def test_a_driver_that_does_not_start_is_refused_in_its_own_words(
    driver, error, version, message, hint
):
    found = refusal(
        LD_LIBRARY_PATH=driver,
        CUDA_ERROR=str(error),
        CUDA_VERSION=str(version),
        CUDA_VISIBLE_DEVICES="7",
    )
    assert re.fullmatch(message, found[0])
    assert found[1] == hint


def test_a_driver_without_a_gpu_names_no_variable_that_is_not_set(driver, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = refusal(LD_LIBRARY_PATH=driver, CUDA_ERROR="100", CUDA_VERSION="13000")
    assert found == ["CUDA sees no GPU", "see whether `nvidia-smi -L` lists one"]


def test_a_machine_without_a_driver_is_told_so():
    if has_driver():
        pytest.skip("this machine has a driver")
    with pytest.raises(Unavailable) as why:
        open_backend("cuda")
    assert str(why.value) == "this machine has no NVIDIA driver"
    assert why.value.hint == "install the driver, or take --device cpu"


def test_auto_goes_on_with_the_cpu_and_its_threads_and_says_why():
    if has_driver():
        pytest.skip("this machine has a driver")
    backend, fallback = open_backend("auto", threads=1)
    backend.close()
    assert (backend.name, backend.threads) == ("cpu", 1)
    assert fallback == (
        "No GPU: this machine has no NVIDIA driver (install the driver, or take --device cpu). "
        "Going on with the CPU."
    )


def test_a_missing_cupy_is_refused_with_the_command_that_brings_it():
    found = refusal("-S")  # without site-packages
    assert found == [
        "CuPy is not installed",
        '`pip install "cupy-cuda12x[ctk]"` brings CuPy with the libraries of CUDA',
    ]


def test_a_broken_cupy_is_refused_with_what_broke(tmp_path):
    (tmp_path / "cupy.py").write_text("raise ImportError('libfoo.so.1: cannot open')")
    message, hint = refusal(PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert re.fullmatch(r"cupy-cuda1\dx cannot be imported: libfoo\.so\.1: cannot open", message)
    assert "[ctk]" in hint


def test_a_cupy_that_cannot_make_its_cache_is_refused_with_the_variable_that_moves_it():
    assert refusal(CUPY_CACHE_DIR="/dev/null/x") == [
        "CuPy cannot keep what it compiles: [Errno 20] Not a directory: '/dev/null/x'",
        "set CUPY_CACHE_DIR to a folder that can be written",
    ]


def test_two_builds_of_cupy_are_refused_together(tmp_path):
    for build in ("12x", "13x"):
        folder = tmp_path / f"cupy_cuda{build}-14.2.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: cupy-cuda{build}\nVersion: 14.2.0\n"
        )
    message, hint = refusal(PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert message == (
        "cupy-cuda12x and cupy-cuda13x are installed together, and overwrite each other's files"
    )
    assert hint == (
        "`pip uninstall -y cupy-cuda12x cupy-cuda13x`, then install the one for your driver"
    )


def test_a_missing_part_of_the_toolkit_is_named():
    from cuda import pathfinder

    try:
        pathfinder.load_nvidia_dynamic_lib("cublas")
    except pathfinder.DynamicLibNotFoundError:
        pass
    else:
        pytest.skip("this machine has the toolkit")
    with pytest.raises(Unavailable, match=r"toolkit is missing: .*cublas") as why:
        requirements.require_toolkit()
    assert "[ctk]" in why.value.hint


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError("Out of memory allocating 9 bytes"), "the GPU's memory is taken: Out of"),
        (OSError("libx: bad ELF"), "the GPU does not work: OSError: libx: bad ELF"),
        (RuntimeError("\nfirst\nsecond"), "the GPU does not work: RuntimeError: first"),
        (ImportError("libcusparse.so.12: no"), "a part of the CUDA toolkit is missing: libcus"),
    ],
)
def test_what_fails_while_a_gpu_is_tried_is_a_sentence_with_a_hint(error, message):
    with pytest.raises(Unavailable, match=re.escape(message)) as why, requirements.explained():
        raise error
    assert why.value.hint


def test_a_mistake_of_ours_is_no_missing_gpu():
    with pytest.raises(AttributeError), requirements.explained():
        raise AttributeError("typo")


def test_versions_of_cuda_read_as_people_write_them():
    assert [requirements.cuda_version(n) for n in (12090, 13000, 11080)] == [
        "12.9",
        "13.0",
        "11.8",
    ]


@pytest.mark.parametrize(
    ("spin_s", "enqueue_s", "host_bound", "expected"),
    [
        (1e-3, 20e-6, False, 1e-3),  # never shorter
        (1e-3, 2e-3, False, 6e-3),  # three times what the host took
        (6e-3, 20e-6, False, 1e-3),  # and no longer than that
        (1e-3, 5e-3, True, 2e-3),  # in vain: doubled, whatever the host took
        (0.08, 0.09, True, 0.1),  # to a limit
        (0.1, 0.2, False, 0.1),
    ],
)
def test_the_device_is_held_up_for_as_long_as_the_host_needs(
    spin_s, enqueue_s, host_bound, expected
):
    assert SHORTEST_SPIN_S <= expected <= LONGEST_SPIN_S
    assert next_spin_s(spin_s, enqueue_s, host_bound=host_bound) == pytest.approx(expected)


def stamps(*rows):
    return np.array(rows, np.uint64).reshape(-1, 3)  # multiprocessor, nanoseconds, cycles


def test_the_clock_is_read_from_multiprocessors_met_twice():
    early = stamps((0, 1000, 5_000_000), (1, 1000, 70), (2, 1000, 2**40))
    late = stamps((2, 2000, 2**40 + 1500), (0, 2001, 5_001_980), (7, 2000, 3))
    assert clock_hz(early, late) == pytest.approx((1500 / 1000 + 1980 / 1001) / 2 * 1e9)


@pytest.mark.parametrize(
    "late",
    [stamps((1, 2000, 10)), stamps(), stamps((0, 1000, 10)), stamps((0, 2000, 4))],
    ids=["another one", "none", "a timer that stands still", "a counter that was reset"],
)
def test_a_clock_that_cannot_be_read_is_none(late):
    assert clock_hz(stamps((0, 1000, 5)), late) is None


def test_the_resolution_is_the_smallest_step_between_samples():
    assert smallest_step([5e-6, 4.488e-6, 5.512e-6, 5e-6]) == pytest.approx(0.512e-6)
    assert smallest_step([5e-6, 5e-6 + 1e-13, 6e-6]) == pytest.approx(1e-6)  # rounding is no step
    assert smallest_step([5e-6, 5e-6]) is None


@pytest.mark.parametrize(
    ("running", "expected"),
    [
        ({}, None),  # NVML shows none, as in many containers
        ({7: "python"}, None),
        ({4711: "python"}, None),  # ourselves, as the host numbers us
        ({7: "python", 8: "train"}, "also computing on this GPU: train (8)"),
        ({9: "b", 7: "python", 8: "a"}, "also computing on this GPU: a (8), b (9)"),
        (
            {4711: "python", 4712: "train"},
            "computing on this GPU, one of them gpuprune: python (4711), train (4712)",
        ),
    ],
)
def test_other_processes_are_named_and_this_one_is_not_among_them(running, expected):
    assert others(running, own_pid=7) == expected


def test_tf32_is_declined_on_the_cpu(cpu):
    with pytest.raises(contenders.NotApplicable, match="TF32 is arithmetic of NVIDIA GPUs"):
        contenders.load("dense_tf32")(problem_of(cpu), cpu)


@pytest.mark.parametrize("kernels", KERNELS, ids=lambda path: path.name)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kernels_compile_for_every_gpu_without_spilling(kernels, architecture):
    from cupy_backends.cuda.libs import nvrtc

    program = nvrtc.createProgram(kernels.read_text(), kernels.name, (), ())
    try:
        nvrtc.compileProgram(
            program, (f"-arch=sm_{architecture}", "-std=c++17", "--ptxas-options=-v")
        )
    finally:
        log = nvrtc.getProgramLog(program)
        nvrtc.destroyProgram(program)
    assert "error" not in log, log
    spills = re.findall(r"(\d+) bytes spill", log)
    assert spills
    assert set(spills) == {"0"}, log
