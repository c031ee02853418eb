"""What kernels in CUDA C share: the GPU they run on, their compiler, and groups cut into steps.

The array module that a `Gpu` names does the packing: with NumPy all of it runs without a GPU.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil, prod
from pathlib import Path
from typing import Any, Self

from gpuprune.backends import Array, Backend

LANES = 32  # of a warp
_SHARED_BY_DEFAULT = 48 << 10  # bytes; a kernel must ask for more
_LARGEST_INDEX = 1 << 30  # of 32 bits, with room for what kernels add to one
_LARGEST_BATCH = 65535 * 2 * LANES  # blocks along y, each with as many columns if it is large


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """What packing and launching depend on."""

    xp: Any  # CuPy, or what stands in for it
    multiprocessors: int
    shared_bytes: int  # most that a block may have
    free_bytes: int
    capability: tuple[int, int]

    @classmethod
    def of(cls, backend: Backend) -> Self:
        """Ask CuPy for the current device."""
        device = backend.xp.cuda.Device()
        attributes = device.attributes
        return cls(
            xp=backend.xp,
            multiprocessors=attributes["MultiProcessorCount"],
            shared_bytes=attributes["MaxSharedMemoryPerBlockOptin"],
            free_bytes=backend.free_bytes(),
            capability=(
                attributes["ComputeCapabilityMajor"],
                attributes["ComputeCapabilityMinor"],
            ),
        )

    def compile(
        self, source: Path, name: str, *, shared_bytes: int = 0, **constants: int
    ) -> Callable[..., None]:
        """Compile a kernel of a file, or take it from CuPy's cache on disk.

        `constants` are defined as macros; `shared_bytes` is what its blocks will ask for.
        """
        code = source.read_text(encoding="utf-8")
        options = ("-std=c++17", *(f"-D{key}={value}" for key, value in constants.items()))
        kernel = self.xp.RawModule(code=code, options=options).get_function(name)
        if shared_bytes > _SHARED_BY_DEFAULT:
            # Not just these: CuPy has a compiled kernel once, for launches of any size.
            kernel.max_dynamic_shared_size_bytes = self.shared_bytes

        def launch(grid: tuple[int, ...], block: tuple[int, ...], *arguments: Any) -> None:
            kernel(grid, block, arguments, shared_mem=shared_bytes)

        return launch


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A kernel with what it was launched with."""

    kernel: str
    source: Path
    shared_bytes: int
    constants: dict[str, int]
    grid: tuple[int, ...]
    block: tuple[int, ...]
    arguments: tuple[Any, ...]

    @property
    def slabs(self) -> int:
        """Slabs of the batch, for each of which the weights are loaded again."""
        return self.grid[1]

    @property
    def warps(self) -> int:
        """Warps of a block."""
        return prod(self.block) // LANES


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder(Gpu):
    """A GPU that writes down what is launched on it, instead of running it."""

    launches: list[Launch] = field(default_factory=list)

    def compile(
        self, source: Path, name: str, *, shared_bytes: int = 0, **constants: int
    ) -> Callable[..., None]:
        """Return what writes a launch of the kernel down."""

        def launch(grid: tuple[int, ...], block: tuple[int, ...], *arguments: Any) -> None:
            self.launches.append(
                Launch(
                    kernel=name,
                    source=source,
                    shared_bytes=shared_bytes,
                    constants=constants,
                    grid=grid,
                    block=block,
                    arguments=arguments,
                )
            )

        return launch


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Groups cut into steps of a depth that a kernel is compiled for."""

    group: int  # neighbouring weights
    count: int  # steps of a group
    depth: int  # weights of a step, a power of two; the last may reach beyond the group

    @classmethod
    def of(cls, group: int, length: int, *, shallowest: int, deepest: int) -> Self:
        """Cut a group, or a row or column of `length` if that is shorter, into the fewest.

        `shallowest` and `deepest` are the depths that there are kernels for.
        """
        group = min(group, length)
        count = ceil(group / deepest)
        depth = max(shallowest, 1 << (ceil(group / count) - 1).bit_length())
        return cls(group=group, count=count, depth=depth)

    def cut(self, matrix: Array, xp: Any) -> Array:
        """Cut the rows (n, length) of a matrix into steps: (n, groups * count, depth).

        Zeros fill up what is shorter; where nothing is, the result is a view.
        """
        lines, length = matrix.shape
        groups = ceil(length / self.group)
        whole = _fill_up(matrix, groups * self.group, xp).reshape(lines, groups, self.group)
        steps = _fill_up(whole, self.count * self.depth, xp)
        return steps.reshape(lines, groups * self.count, self.depth)


def too_large(batch: int, **numbers: int) -> str | None:
    """Say why the batch, or one of other numbers, is too large for kernels, None if none is."""
    if batch > _LARGEST_BATCH:
        return f"its kernels cover a batch of at most {_LARGEST_BATCH}, and this one is {batch}"
    for name, number in numbers.items():
        if number > _LARGEST_INDEX:
            return f"its kernels count to {_LARGEST_INDEX}, and there are {number} {name}"
    return None


def by_rows(values: Array, xp: Any) -> tuple[Array, int]:
    """Return a matrix whose rows lie in one piece, and how many bytes apart these are.

    It is the matrix itself, unless its columns lie apart: then a copy of what it holds now.
    """
    apart = values.shape[1] > 1 and values.strides[1] != values.itemsize
    held = xp.ascontiguousarray(values) if apart else values
    return held, held.strides[0]


def _fill_up(values: Array, length: int, xp: Any) -> Array:
    """Append zeros along the last axis, up to a length."""
    *outer, width = values.shape
    if width == length:
        return values
    filled = xp.zeros((*outer, length), values.dtype)
    filled[..., :width] = values
    return filled
