"""Numbers as the profilers print them: nvprof in the C locale, ncu in the user's."""

import re
from collections.abc import Sequence
from contextlib import suppress
from math import isfinite, nan

from gpuprune.profiler.parse.lines import picker

MAX_REMEMBERED = 100_000  # cells; a raw page repeats few texts often
NCU_DECIMALS = (2, 6)  # as every version seen prints them
MAX_DIGITS = 18  # of a count: 64 bits

_GROUP_MARKS = "'\u2019 \u00a0\u202f"  # de_CH and fr_FR, as libc and libstdc++ spell them
_PLAIN = re.compile(r"-?[0-9]{1,300}\.[0-9]+")  # none of these is infinite
_PATTERNS = {
    decimal: re.compile(
        rf"-?(?:[0-9]+|[1-9][0-9]{{0,2}}(?:([{group}{_GROUP_MARKS}])[0-9]{{3}}(?:\1[0-9]{{3}})*))"
        rf"(?:[{decimal}][0-9]+)?(?:[eE][-+]?[0-9]+)?"
    )
    for decimal, group in ((".", ","), (",", "."))
}
_WITHOUT_GROUPS = {
    decimal: str.maketrans(dict.fromkeys(group + _GROUP_MARKS) | {decimal: "."})
    for decimal, group in ((".", ","), (",", "."))
}


class Numerals(dict[str, float]):
    """The values of ncu's cells, NaN for what is no number; learns the locale as it reads.

    `12.587` is 12587 in Germany. One cell that ncu can have printed in one locale only
    (`12.587.520`, `87,60`) settles the decimal mark of the file. Until then a comma is taken to
    group, as ncu never prints three decimals behind one, and `12.587` is not taken at all.
    """

    def __init__(self, decimal: str | None = None) -> None:
        """Start with a decimal mark, "." or ",", or without one."""
        super().__init__()
        self.decimal = decimal
        self.outdated = False  # the mark was settled after a cell that had to be guessed
        self._guessed = False
        self.unread: set[str] = set()  # cells that hold a number, but nobody knows which

    def __missing__(self, cell: str) -> float:
        if (cell.isdecimal() and len(cell) <= MAX_DIGITS and cell.isascii()) or (
            self.decimal == "." and _PLAIN.fullmatch(cell)
        ):
            value = float(cell)
        else:
            value = self._read(cell)
        if len(self) >= MAX_REMEMBERED:
            self.clear()
        self[cell] = value
        return value

    def _read(self, cell: str) -> float:
        cell = cell.strip()
        point, comma = _value(cell, "."), _value(cell, ",")
        if point == comma:
            return nan if point is None else point
        if self.decimal is None:
            self._settle(cell, point, comma)
        if self.decimal is None:
            self._guessed = True
            read = point if comma is None or "," in cell else None
        else:
            read = point if self.decimal == "." else comma
        if read is None:
            self.unread.add(cell)
            return nan
        return read

    def _settle(self, cell: str, point: float | None, comma: float | None) -> None:
        """Take the mark from a cell with two marks, or with as many decimals as ncu prints."""
        if point is None or comma is None:
            mark = "." if comma is None else ","
            decimals = len(cell) - 1 - cell.rfind(mark)
            if decimals in NCU_DECIMALS or cell.count(".") + cell.count(",") > 1:
                self.decimal = mark
                self.outdated = self._guessed


class Columns:
    """Reads the same columns of row after row: those of bare numbers, such as 12.5, at once."""

    def __init__(self, count: int, numerals: Numerals) -> None:
        """Take all of them to be bare until a row shows otherwise."""
        self._count = count
        self._numerals = numerals
        self._others: list[int] = []
        self._bare = picker(range(count))

    def read(self, cells: Sequence[str]) -> list[float]:
        """Read a row's cells, NaN for what is no number."""
        bare = self._bare(cells)
        digits = "".join(bare)
        if self._numerals.decimal == ".":
            digits = digits.replace(".", "")
        if digits.isdecimal() and digits.isascii():
            with suppress(ValueError):  # a cell that is blank, or has two points
                values = list(map(float, bare))
                if isfinite(sum(values)):
                    for at in self._others:
                        values.insert(at, self._numerals[cells[at]])
                    return values
        return self._read_apart(cells)

    def _read_apart(self, cells: Sequence[str]) -> list[float]:
        values = [self._numerals[cell] for cell in cells]
        others = {at for at, cell in enumerate(cells) if not self._is_bare(cell)}
        self._others = sorted(others.union(self._others))
        self._bare = picker([at for at in range(self._count) if at not in self._others])
        return values

    def _is_bare(self, cell: str) -> bool:
        return cell.isdecimal() or (
            self._numerals.decimal == "." and _PLAIN.fullmatch(cell) is not None
        )


def counted(text: str) -> int | None:
    """Read a count or an identifier, None where it is none."""
    is_count = text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS
    return int(text) if is_count else None


def _value(cell: str, decimal: str) -> float | None:
    if not _PATTERNS[decimal].fullmatch(cell):
        return None
    value = float(cell.translate(_WITHOUT_GROUPS[decimal]))
    return value if isfinite(value) else None
