"""Kernels in CUDA C that run on the CPU and write down every load from global memory."""

import ctypes
import re
from itertools import pairwise

import numpy as np

from tests.cuda.on_cpu import HERE, Machine

_POINTER = re.compile(r"\bconst ([\w ]+?)\*(?: __restrict__)?")
_AS_ANOTHER = re.compile(r"\*reinterpret_cast<const (\w+)\*>\((\w+)\)")
_CAST = re.compile(r"\breinterpret_cast<const ([\w ]+?)\*>")
_ADDRESS = re.compile(r"(reinterpret_cast<size_t>\(\w+)\)")
_BRANCH = re.compile(r"\b(if|while) \(|\bfor \([^;]*;")


class WatchedMachine(Machine):
    """A machine that knows of each kernel what it loaded."""

    def __init__(self):
        super().__init__()
        self.loaded = {}  # by kernel: distinct bytes, bytes of all lanes, sectors

    def RawModule(self, code, options=()):  # noqa: N802 - CuPy's name
        code = _ADDRESS.sub(r"\1.at)", _AS_ANOTHER.sub(r"load_as<\1>(\2)", code))
        code = _CAST.sub(r"pointer_as<\1>", code)
        watched = _BRANCH.sub(r"\g<0>tick(), ", _POINTER.sub(r"Watched<\1>", code))
        module = super().RawModule((HERE / "watched.h").read_text() + watched, options)
        return _WatchedModule(self, module)


class _WatchedModule:
    def __init__(self, machine, module):
        self._machine = machine
        self._module = module

    def get_function(self, name):
        kernel = self._module.get_function(name)
        return _WatchedKernel(self._machine, self._module.binary, kernel, name)


class _WatchedKernel:
    def __init__(self, machine, library, kernel, name):
        self._machine = machine
        self._take = library.take_loads
        self._take.restype = ctypes.c_int64
        self._kernel = kernel
        self._name = name

    @property
    def max_dynamic_shared_size_bytes(self):
        return self._kernel.max_dynamic_shared_size_bytes

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size):
        self._kernel.max_dynamic_shared_size_bytes = size

    def __call__(self, grid, block, args, shared_mem=0):
        self._kernel(grid, block, args, shared_mem)
        first = ctypes.POINTER(ctypes.c_int64)()
        size = self._take(ctypes.byref(first))
        assert size >= 0
        assert self._name not in self._machine.loaded
        loads = np.ctypeslib.as_array(first, (size, 4)).copy() if size else np.empty((0, 4), int)
        self._machine.loaded[self._name] = _count(loads, args)


def _count(loads, args):
    """Count as sets of bytes and sectors, array by array as if each began with a sector."""
    distinct = lanes = sectors = 0
    arrays = [array for array in args if isinstance(array, np.ndarray)]
    for array in arrays:
        begin = array.ctypes.data
        inside = loads[(loads[:, 2] >= begin) & (loads[:, 2] < begin + array.nbytes)]
        ordered = inside[np.lexsort((inside[:, 1], inside[:, 0]))]
        new = np.any(ordered[1:, :2] != ordered[:-1, :2], axis=1)
        edges = [0, *(np.flatnonzero(new) + 1).tolist(), len(ordered)]
        for start, end in pairwise(edges if len(ordered) else [0]):
            _, _, addresses, widths = ordered[start:end].T.tolist()
            touched = {
                address - begin + i
                for address, width in zip(addresses, widths, strict=True)
                for i in range(width)
            }
            distinct += len(touched)
            lanes += sum(widths)
            sectors += len({byte // 32 for byte in touched})
    return [distinct, lanes, sectors]
