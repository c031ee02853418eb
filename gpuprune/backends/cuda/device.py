"""CuPy on one GPU and one stream of its own."""

from collections.abc import Callable
from typing import Any

import cupy
from cupy.cuda import runtime
from cupy_backends.cuda.libs import cusparse

from gpuprune.backends import Array, Sample, Timeable, unchanged
from gpuprune.backends.cuda import calibration, cublas
from gpuprune.backends.cuda.nvml import NvmlDevice
from gpuprune.backends.cuda.requirements import cuda_version
from gpuprune.backends.cuda.sampling import SHORTEST_SPIN_S, Sampler
from gpuprune.records import Calibration


class CudaBackend:
    """A GPU, timed by events.

    Its stream is the current one while it is open, for CuPy hands the current stream to every
    kernel and library. The stream does not wait for the default one: what a contender queues
    there by mistake is neither timed nor seen by `numpy`, and its product is found wrong.
    """

    name = "cuda"
    xp: Any = cupy
    threads: int | None = None

    def __init__(self, index: int) -> None:
        self._device = cupy.cuda.Device(index)
        self._device_before = cupy.cuda.Device()
        self._stream_before = cupy.cuda.get_current_stream(index)
        self._device.use()
        self._stream = cupy.cuda.Stream(non_blocking=True).use()
        try:
            self._properties = runtime.getDeviceProperties(index)
            _try_libraries()
            self._sampler = Sampler(
                self._stream,
                self._properties["multiProcessorCount"],
                2 * self._properties["l2CacheSize"],
            )
            self.delay()
            self.synchronize()
        except BaseException:
            self._restore()
            raise
        self._nvml = NvmlDevice.open(self._device.pci_bus_id, _uuid(self._properties))

    def facts(self) -> dict[str, Any]:
        """Describe the GPU and what multiplies on it."""
        properties = self._properties
        return {
            "device_name": properties["name"].decode(),
            "compute_capability": f"{properties['major']}.{properties['minor']}",
            "multiprocessors": properties["multiProcessorCount"],
            "cache_bytes": properties["l2CacheSize"],
            "memory_bytes": properties["totalGlobalMem"],
            "cuda_driver": cuda_version(runtime.driverGetVersion()),
            "cuda_runtime": cuda_version(runtime.runtimeGetVersion()),
            "cublas": cublas.version(),
            "cusparse": _cusparse_version(),
            **self._nvml.facts(),
        }

    def free_bytes(self) -> int:
        """Memory that the device still gives, and that CuPy holds for later."""
        free, _ = runtime.memGetInfo()
        return int(free) + int(cupy.get_default_memory_pool().free_bytes())

    def unsupported(self, dtype: str) -> str | None:
        """Decline bfloat16 where the GPU or NumPy is too old for it."""
        return cublas.lacking(dtype)

    def numpy(self, values: Array) -> Any:
        """Copy to the host behind what is queued on our stream, and wait for that alone."""
        return values.get(stream=self._stream, order="A")

    def delay(self) -> None:
        """Keep our stream busy for a millisecond."""
        self._sampler.spin(SHORTEST_SPIN_S)

    def synchronize(self) -> None:
        """Wait for all streams."""
        runtime.deviceSynchronize()

    def sample(
        self, work: Timeable, *, cold: bool, renew: Callable[[], object] = unchanged
    ) -> Sample:
        """Time one call between two events, queued while the device is held up."""
        return self._sampler.sample(work, cold=cold, renew=renew)

    def sample_call(
        self, work: Timeable, *, cold: bool, renew: Callable[[], object] = unchanged
    ) -> Sample:
        """Time one call by the host's clock, until the device has done everything."""
        return self._sampler.sample_call(work, cold=cold, renew=renew)

    def neighbours(self) -> str | None:
        """Name other processes that compute on this GPU, as far as NVML shows them."""
        return self._nvml.neighbours()

    def calibrate(self, dtypes: tuple[str, ...]) -> Calibration:
        """Measure the floor of a sample, memory, L2 cache and cuBLAS."""
        return calibration.calibrate(self._sampler, self._properties, dtypes)

    def close(self) -> None:
        """Make current again the device and the stream that were."""
        self._nvml.close()
        self._restore()

    def _restore(self) -> None:
        self._device.use()  # a stream is made current for the device that is
        self._stream_before.use()
        self._device_before.use()


def _try_libraries() -> None:
    """Run something of NVRTC, cuBLAS and cuSPARSE: what is missing shows on first use."""
    ones = cupy.ones((2, 2), cupy.float16)
    for multiply in cublas.multiply_by_layout(ones, ones, ones.T, "float16").values():
        multiply()
    _cusparse_version()


def _cusparse_version() -> str:
    number = cusparse.getVersion(cupy.cuda.device.get_cusparse_handle())
    return f"{number // 1000}.{number // 100 % 10}.{number % 100}"


def _uuid(properties: dict[str, Any]) -> str | None:
    """Return the UUID in hexadecimal, None where CuPy cut it off at a zero byte."""
    raw: bytes = properties["uuid"]
    if len(raw) != 16:
        return None
    digits = raw.hex()
    return "-".join(
        (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    )  # as NVML writes it


def identify(index: int) -> str:
    """Name a GPU by its UUID, or by its place on the bus; makes no context on it."""
    properties = runtime.getDeviceProperties(index)
    place = "{pciDomainID:04x}:{pciBusID:02x}:{pciDeviceID:02x}".format(**properties)
    return f"GPU-{_uuid(properties) or place}"
