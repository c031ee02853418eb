"""What NVML knows of a GPU beyond CUDA: who else computes on it, its clocks and its power."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import PurePath
from typing import Any, Self

import pynvml


class NvmlDevice:
    """A GPU as NVML sees it, or nothing where NVML is absent."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    @classmethod
    def open(cls, bus_id: str, uuid: str | None) -> Self:
        """Find the GPU by what CUDA says of it: NVML counts devices in another order.

        A slice of a GPU (MIG) has a UUID of its own, and the bus id of the whole.
        """
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError:
            return cls(None)
        with suppress(pynvml.NVMLError):
            return cls(pynvml.nvmlDeviceGetHandleByUUID(f"MIG-{uuid}"))
        with suppress(pynvml.NVMLError):
            return cls(pynvml.nvmlDeviceGetHandleByPciBusId(bus_id))
        pynvml.nvmlShutdown()
        return cls(None)

    def close(self) -> None:
        """Let go of NVML."""
        if self._handle is not None:
            self._handle = None
            pynvml.nvmlShutdown()

    def facts(self) -> dict[str, Any]:
        """Describe the GPU; what NVML does not tell is left out."""
        told = {
            "uuid": self._ask(pynvml.nvmlDeviceGetUUID),
            "driver": self._ask(lambda _: pynvml.nvmlSystemGetDriverVersion()),
            "power_limit_w": self._ask(pynvml.nvmlDeviceGetEnforcedPowerLimit, unit=1e-3),
            "max_sm_clock_hz": self._ask(_max_clock(pynvml.NVML_CLOCK_SM), unit=1e6),
            "max_memory_clock_hz": self._ask(_max_clock(pynvml.NVML_CLOCK_MEM), unit=1e6),
        }
        return {name: value for name, value in told.items() if value is not None}

    def neighbours(self) -> str | None:
        """Name the other processes that compute on this GPU, None if none is seen."""
        running = self._ask(pynvml.nvmlDeviceGetComputeRunningProcesses) or []
        return others({one.pid: _process_name(one.pid) for one in running}, os.getpid())

    def _ask(self, question: Callable[[Any], Any], unit: float | None = None) -> Any:
        if self._handle is None:
            return None
        try:
            answer = question(self._handle)
        except pynvml.NVMLError:
            return None
        return answer if unit is None else answer * unit


def others(running: Mapping[int, str], own_pid: int) -> str | None:
    """Name the processes on a GPU, by id and name, that are not this one.

    This process has a context, so it is among them. In a container NVML may number it as the host
    does; then none can be told apart as ours, and there are others where there are several.
    """
    strangers = {pid: name for pid, name in running.items() if pid != own_pid}
    if not strangers or (len(running) == 1 and own_pid not in running):
        return None
    listed = ", ".join(f"{name} ({pid})" for pid, name in sorted(strangers.items()))
    if own_pid in running:
        return f"also computing on this GPU: {listed}"
    return f"computing on this GPU, one of them gpuprune: {listed}"


def _max_clock(kind: int) -> Callable[[Any], Any]:
    return lambda handle: pynvml.nvmlDeviceGetMaxClockInfo(handle, kind)


def _process_name(pid: int) -> str:
    try:
        return PurePath(pynvml.nvmlSystemGetProcessName(pid)).name or "unnamed"
    except pynvml.NVMLError:
        return "unnamed"
