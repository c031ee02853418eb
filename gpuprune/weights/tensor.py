"""What a weight file says about a tensor, before any of its values is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gpuprune.records import ITEM_BYTES

# What makes a matrix out of the one read, and the tensors of a file to which that is done.
Change = Callable[[NDArray[Any]], NDArray[Any]]
Changes = Mapping[str | None, Change]

PATTERN = "pattern"  # the dtype of a matrix without values
STORED_BYTES = {**ITEM_BYTES, PATTERN: 1}  # of a value; a matrix of another dtype is not read


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A tensor of any shape and type as its header describes it; no name: the file's only one."""

    name: str | None
    shape: tuple[int, ...]
    dtype: str

    @property
    def summary(self) -> str:
        """Type and shape for people, such as `float32 384x1536`."""
        return f"{self.dtype} {'x'.join(map(str, self.shape)) or 'scalar'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A matrix that can be read: `rows` outputs, `cols` inputs, `dtype` as it is stored."""

    path: Path
    name: str | None
    rows: int
    cols: int
    dtype: str

    @property
    def label(self) -> str:
        """`FILE::TENSOR`, or `FILE` where the file holds one matrix without a name."""
        return str(self.path) if self.name is None else f"{self.path}::{self.name}"

    @property
    def is_pattern(self) -> bool:
        """Whether it says where weights are and not what they are."""
        return self.dtype == PATTERN

    @property
    def nbytes(self) -> int:
        """Bytes of the dense array."""
        return self.rows * self.cols * STORED_BYTES[self.dtype]
