"""NumPy with a `RawModule`: kernels in CUDA C are compiled by a C++ compiler and run on the CPU.

What it shows: wrong arithmetic of indices, missing barriers, reads of what nobody wrote. What it
cannot show: the order of memory between blocks, instructions of the device, and any time.
"""

import ctypes
import hashlib
import mmap
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from gpuprune.kernels import Gpu

HERE = Path(__file__).parent
COMPILER = shutil.which("g++") or shutil.which("clang++")
NO_COMPILER = "no C++ compiler (g++ or clang++) to run CUDA C with"
SANITIZE = os.environ.get("CUDA_ON_CPU_SANITIZE", "")
DEFAULT_SHARED_BYTES = 48 << 10
_HUGE = 1 << 24

_SHARED = re.compile(r"extern __shared__ (\w+) (\w+)\[\];")
_KERNEL = re.compile(r'extern "C" __global__ void(?:\s+__launch_bounds__\([^)]+\))?\s+(\w+)\(')


class LaunchError(Exception):
    """What a kernel did that no kernel may."""


class Machine:
    """NumPy as an array module that also has kernels.

    `seed` orders the warps of a block: 0 as they are, 1 backwards, others at random. `only` names
    the one block to run where a grid is too large to walk. `defect` is a text of the kernels and
    what stands there instead.
    """

    def __init__(self, seed=0, only=None, defect=None):
        self.seed = seed
        self.only = only
        self.defect = defect
        self.defects = 0  # planted
        self.shared_limits = {}  # bytes, by kernel: CuPy, too, has each compiled kernel once

    def __getattr__(self, name):
        return getattr(np, name)

    def empty(self, shape, dtype):
        """Make an array of which whatever is not written shows, unless it is huge."""
        if np.prod(shape) <= _HUGE:
            return np.full(shape, np.nan, dtype)
        memory = mmap.mmap(-1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        if hasattr(mmap, "MADV_NOHUGEPAGE"):  # of which few are written, and each is zeroed first
            memory.madvise(mmap.MADV_NOHUGEPAGE)
        return np.frombuffer(memory, dtype).reshape(shape)

    def RawModule(self, code, options=()):  # noqa: N802 - CuPy's name
        if self.defect and self.defect[0] in code:
            assert code.count(self.defect[0]) == 1
            code = code.replace(*self.defect)
            self.defects += 1
        return _Module(self, code, options)


def gpu(seed=0, only=None, defect=None, **changes):
    """Describe a small GPU that runs its kernels here."""
    values = {
        "xp": Machine(seed, only, defect),
        "multiprocessors": 5,
        "shared_bytes": 99 << 10,
        "free_bytes": 1 << 30,
        "capability": (9, 0),
    }
    return Gpu(**values | changes)


class _Module:
    def __init__(self, machine, code, options):
        self._machine = machine
        names = _KERNEL.findall(code)
        assert names
        text = _SHARED.sub(r"\1* const \2 = static_cast<\1*>(dynamic_shared());", code)
        assert "__shared__" not in text
        entries = "".join(f"\nENTRY({name})" for name in names)
        source = f'#include "machine.h"\n#line 1 "kernel.cu"\n{text}{entries}'
        sanitize = [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=all"] if SANITIZE else []
        flags = [*options, *sanitize, "-Wno-unknown-pragmas", "-Wall", "-Wextra", "-Werror"]
        flags += ["-Wno-unused-parameter", "-Wno-unknown-warning-option"]
        machine_object = _build((HERE / "machine.cpp").read_text(), ".o", "-c")
        library = _build(source, ".so", "-shared", *flags, last=["-xnone", machine_object])
        self._path = library
        self.binary = ctypes.CDLL(str(library))

    def get_function(self, name):
        return _Kernel(self._machine, self.binary, name, key=(self._path, name))


class _Kernel:
    def __init__(self, machine, library, name, key):
        self._machine = machine
        self._name = name
        self._key = key
        self._run = getattr(library, f"run_{name}")
        self._run.restype = ctypes.c_char_p
        kinds = ctypes.create_string_buffer(256)
        getattr(library, f"describe_{name}")(kinds)
        self._kinds = re.findall("..", kinds.value.decode())

    @property
    def max_dynamic_shared_size_bytes(self):
        return self._machine.shared_limits.get(self._key, DEFAULT_SHARED_BYTES)

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size):
        self._machine.shared_limits[self._key] = size

    def __call__(self, grid, block, args, shared_mem=0):
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise LaunchError(f"{self._name}: asks for {shared_mem} bytes of shared memory")
        kinds = [_kind(argument) for argument in args]
        if kinds != self._kinds:
            raise LaunchError(f"{self._name}: takes {self._kinds}, not {kinds}")
        cells = [
            np.array([one.ctypes.data]) if isinstance(one, np.ndarray) else np.array([one])
            for one in args
        ]
        pointers = (ctypes.c_void_p * len(cells))(*(cell.ctypes.data for cell in cells))
        only = self._machine.only
        error = self._run(
            pointers,
            _three(grid),
            _three(block),
            _three(only) if only else None,
            ctypes.c_size_t(shared_mem),
            ctypes.c_uint(self._machine.seed),
        )
        if error:
            raise LaunchError(f"{self._name}: {error.decode()}")


def _kind(argument):
    if isinstance(argument, np.ndarray):
        return "P8"
    return f"{argument.dtype.kind}{argument.itemsize}"  # CuPy, too, wants NumPy's scalars


def _three(numbers):
    return (ctypes.c_uint * 3)(*(*numbers, 1, 1, 1)[:3])


def _build(source, suffix, *flags, last=()):
    """Compile, unless that has been done before; other processes may be at it, too."""
    key = repr((COMPILER, source, flags, (HERE / "machine.h").read_text()))
    digest = hashlib.sha256(key.encode()).hexdigest()[:20]
    folder = Path(tempfile.gettempdir(), f"cuda-on-cpu-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    built = folder / f"{digest}{suffix}"
    if not built.exists():
        partial = folder / f"{os.getpid()}-{built.name}"
        command = [COMPILER, "-std=c++20", "-O1", "-g", "-fPIC", "-fno-strict-aliasing"]
        command += [f"-I{HERE}", *flags, "-xc++", "-", *map(str, last), "-o", str(partial)]
        done = subprocess.run(command, input=source, text=True, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        partial.rename(built)
    return built
