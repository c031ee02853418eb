"""How a matrix falls into groups of adjacent weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

BLOCK = 1 << 16
"""Weights worked on at a time: half a megabyte as float64, which stays in the cache."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of `size` inside the lines of a matrix: its rows (axis 1) or its columns (axis 0)."""

    rows: int
    cols: int
    size: int  # at most the length of a line
    axis: int

    @property
    def lines(self) -> int:
        return self.rows if self.axis == 1 else self.cols

    @property
    def length(self) -> int:
        return self.cols if self.axis == 1 else self.rows

    @property
    def per_line(self) -> int:
        return -(-self.length // self.size)

    @property
    def count(self) -> int:
        return self.lines * self.per_line

    @property
    def missing(self) -> int:
        """How many weights the last group of a line is short of the others."""
        return self.per_line * self.size - self.length

    @property
    def shape(self) -> tuple[int, int]:
        """Of an array with one value a group, in the memory order of the matrix."""
        return (self.lines, self.per_line) if self.axis == 1 else (self.per_line, self.lines)

    def position(self, row: int, col: int) -> tuple[int, int]:
        """Turn a place in an array of this shape into (line, number in the line), and back."""
        return (row, col) if self.axis == 1 else (col, row)

    def by_line(self, per_group: Array) -> Array:
        """View values as (lines, groups of a line): position counts along the rows of this."""
        return per_group if self.axis == 1 else per_group.T

    def parts(self, matrix: Array, per_group: Array) -> Iterator[tuple[Array, Array]]:
        """View weights (..., ..., size) beside the values of their groups (..., ...).

        First all the whole groups, then the shorter ones that end the lines.
        """
        whole, tail = divmod(self.length, self.size)
        split = whole * self.size
        if self.axis == 1:
            full = matrix[:, :split].reshape(self.rows, whole, self.size)
            yield full, per_group[:, :whole]
            if tail:
                yield matrix[:, None, split:], per_group[:, whole:]
        else:
            full = matrix[:split].reshape(whole, self.size, self.cols)
            yield full.transpose(0, 2, 1), per_group[:whole]
            if tail:
                yield matrix[None, split:].transpose(0, 2, 1), per_group[whole:]


def tiles(shape: tuple[int, ...], cells: int) -> Iterator[tuple[slice, slice]]:
    """Cut (rows, cols) into tiles of about `cells` cells, in an order that goes row by row."""
    rows, cols = shape
    height, width = max(1, cells // cols), max(1, cells)
    for row in range(0, rows, height):
        for col in range(0, cols, width):
            yield slice(row, row + height), slice(col, col + width)
