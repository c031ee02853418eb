"""What checks the kernels finds what is wrong with one: defects are planted, one at a time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cuda import defects, on_cpu

pytestmark = pytest.mark.skipif(not on_cpu.COMPILER, reason=on_cpu.NO_COMPILER)

ROOT = Path(__file__).parents[2]
QUICK = {"splits write over each other", "sums are added before they are there",
         "windows are read before they are there", "the halves of a pair are not swapped",
         "a strip writes rows of the next group"}  # fmt: skip
RUNTIMES = {"address,undefined": ("libasan.so", "libubsan.so"), "thread": ("libtsan.so",)}


def ids(defect):
    return defect.name


def run(name, **environment):
    """Run the cases with a defect, or with none, in a process that may break."""
    return subprocess.run(
        [sys.executable, "-m", "tests.cuda.defects", name],
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def sanitized(kind, name):
    """Run them with a sanitizer, which Python itself does not have."""
    libraries = []
    for library in RUNTIMES[kind]:
        asked = subprocess.run(
            [on_cpu.COMPILER, f"-print-file-name={library}"],
            capture_output=True,
            text=True,
            check=True,
        )
        path = Path(asked.stdout.strip())
        if not path.is_absolute():
            pytest.skip(f"{on_cpu.COMPILER} has no {library}")
        libraries.append(str(path.resolve()))
    return run(
        name,
        CUDA_ON_CPU_SANITIZE=kind,
        LD_PRELOAD=" ".join(libraries),
        ASAN_OPTIONS="detect_leaks=0:detect_stack_use_after_return=0",
        TSAN_OPTIONS="halt_on_error=1:exitcode=66:report_signal_unsafe=0",
        PYTHONMALLOC="malloc",
    )


def assert_shows(defect):
    done = run(defect.name)
    assert done.returncode == defects.WRONG or done.returncode < 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "defect", [one for one in defects.IN_RESULTS if one.name in QUICK], ids=ids
)
def test_a_defect_shows_in_the_product(defect):
    assert_shows(defect)


@pytest.mark.slow
@pytest.mark.parametrize(
    "defect", [one for one in defects.IN_RESULTS if one.name not in QUICK], ids=ids
)
def test_each_other_defect_shows_in_the_product(defect):
    assert_shows(defect)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", RUNTIMES)
def test_sanitizers_find_nothing_in_the_kernels_as_they_are(kind):
    done = sanitized(kind, defects.CLEAN)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("defect", defects.IN_ADDRESSES, ids=ids)
def test_a_wrong_address_is_found(defect):
    done = sanitized("address,undefined", defect.name)
    assert "kernel.cu:" in done.stderr, done.stdout + done.stderr
    assert done.returncode not in (0, defects.WRONG)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("defect", defects.IN_ORDER, ids=ids)
def test_a_missing_barrier_is_found(defect):
    done = sanitized("thread", defect.name)
    assert "data race" in done.stderr, done.stdout + done.stderr
    assert done.returncode == 66
