"""What a GPU reaches: the floor of a sample, its bandwidths, its arithmetic."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import cupy
import numpy as np

from gpuprune.backends import Array
from gpuprune.backends.cuda import cublas
from gpuprune.backends.cuda.sampling import Sampler, load_kernels, smallest_step
from gpuprune.records import Calibration

_REPEATS = 3  # of which the fastest counts: it is what the device can reach
_EMPTY_SAMPLES = 100
_EVENT_RESOLUTION_S = 0.5e-6  # as CUDA documents it, where the samples show no step
_COPY_FACTOR = 4  # L2 caches in the buffer that is copied
_PASSES = 64  # over what is read from the L2 cache
_SHARED_READS = 8192  # of a thread, from shared memory
_STARTS = 16  # kernels in a row, whose starts show beside one
_BLOCK = 512  # threads
_VECTOR_BYTES = 16
_SQUARE = {"float64": 2048}  # rows of a product that fills the device; many have little float64
_LARGE_SQUARE = 4096


@dataclass(frozen=True, eq=False)
class _Work:
    multiply: Callable[[], Any]
    bytes: int = 0


def calibrate(
    sampler: Sampler, properties: dict[str, Any], dtypes: tuple[str, ...]
) -> Calibration:
    """Measure with samples like those that contenders get; about half a second.

    `properties` are those that CUDA tells of the device.
    """
    empty_s, resolution_s = _floor(sampler)
    l2_bytes = int(properties["l2CacheSize"])
    precisions = (*dtypes, "tf32") if "float32" in dtypes else dtypes
    return Calibration(
        empty_s=empty_s,
        resolution_s=resolution_s,
        memory_bytes_per_s=_copy_bytes_per_s(sampler, _COPY_FACTOR * l2_bytes),
        cache_bytes_per_s=_l2_bytes_per_s(sampler, properties),
        cache_bytes=l2_bytes,
        evict_bytes=sampler.evict_bytes,
        flops_per_s={
            name: _flops_per_s(sampler, name) for name in precisions if not cublas.lacking(name)
        },
        core_cache_bytes_per_s=_shared_bytes_per_s(sampler, properties),
        core_cache_bytes=int(properties["sharedMemPerMultiprocessor"]),
        start_s=_start_s(sampler),
    )


def _floor(sampler: Sampler) -> tuple[float, float]:
    kernel = load_kernels().get_function("empty")
    work = _Work(lambda: kernel((1,), (1,), ()))
    work.multiply()
    samples = [sampler.sample(work, cold=False).seconds for _ in range(_EMPTY_SAMPLES)]
    return median(samples), smallest_step(samples) or _EVENT_RESOLUTION_S


def _start_s(sampler: Sampler) -> float:
    """Measure what each kernel behind another one adds."""
    kernel = load_kernels().get_function("empty")

    def start(count: int) -> float:
        work = _Work(lambda: [kernel((1,), (1,), ()) for _ in range(count)])
        return median(sampler.sample(work, cold=False).seconds for _ in range(_EMPTY_SAMPLES))

    return max(0.0, start(1 + _STARTS) - start(1)) / _STARTS


def _copy_bytes_per_s(sampler: Sampler, size: int) -> float:
    free, _ = cupy.cuda.runtime.memGetInfo()
    size = min(size, free // 4)
    source = _random(size // 4, "float32")
    target = cupy.empty_like(source)
    copy = _Work(lambda: target.data.copy_from_device_async(source.data, source.nbytes))
    return 2 * int(source.nbytes) / _fastest_s(sampler, copy)


def _shared_bytes_per_s(sampler: Sampler, properties: dict[str, Any]) -> float:
    blocks = _resident_blocks(properties)
    sink = cupy.empty(1, cupy.uint32)
    kernel = load_kernels().get_function("read_shared_repeatedly")
    read = _Work(lambda: kernel((blocks,), (_BLOCK,), (np.int32(_SHARED_READS), sink)))
    return blocks * _BLOCK * _SHARED_READS * _VECTOR_BYTES / _fastest_s(sampler, read)


def _resident_blocks(properties: dict[str, Any]) -> int:
    """Return how many blocks fill the device."""
    resident = properties["maxThreadsPerMultiProcessor"] // _BLOCK
    return int(properties["multiProcessorCount"] * resident)


def _l2_bytes_per_s(sampler: Sampler, properties: dict[str, Any]) -> float:
    blocks = _resident_blocks(properties)
    # A quarter: where the cache has two halves, each keeps its own copy of what it serves.
    quarter = properties["l2CacheSize"] // 4
    vectors = max(1, quarter // (blocks * _BLOCK * _VECTOR_BYTES))  # a thread
    values = _random(blocks * vectors * _BLOCK * _VECTOR_BYTES // 4, "float32")
    sink = cupy.empty(1, cupy.uint32)
    kernel = load_kernels().get_function("read_repeatedly")
    arguments = (values, np.int32(vectors), np.int32(_PASSES), sink)
    read = _Work(lambda: kernel((blocks,), (_BLOCK,), arguments))
    return _PASSES * int(values.nbytes) / _fastest_s(sampler, read)


def _flops_per_s(sampler: Sampler, precision: str) -> float:
    n = _SQUARE.get(precision, _LARGE_SQUARE)
    square = _random(n * n, "float32" if precision == "tf32" else precision).reshape(n, n)
    multiply = cublas.multiply_by_layout(square, square, square.T, precision)["column-major"]
    return 2 * n**3 / _fastest_s(sampler, _Work(multiply))


def _fastest_s(sampler: Sampler, work: _Work) -> float:
    return min(sampler.sample(work, cold=False).seconds for _ in range(_REPEATS))


def _random(size: int, dtype: str) -> Array:
    """Return values that repeat but are not zeros: those run faster than any real ones."""
    if dtype == "bfloat16":
        from ml_dtypes import bfloat16 as kind
    else:
        kind = np.dtype(dtype)
    some = np.random.default_rng(0).standard_normal(1 << 18, np.float32)
    return cupy.resize(cupy.asarray(some), size).astype(kind, copy=False)
