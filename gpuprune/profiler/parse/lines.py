"""The lines of a captured file, and its comma-separated cells."""

import codecs
import csv
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from operator import itemgetter
from pathlib import Path

MAX_LINE = 1 << 22  # characters; the widest raw page of ncu has 60,000
_BLOCK = 1 << 18  # characters that are read at once

# PowerShell's `>` writes UTF-16.
_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LENIENT_CELL = re.compile(r'(?:^|,)(?:"((?:[^"]|"(?!,|$))*)"(?=,|$)|([^,]*))')

# One reader for all lines: to make one takes twice as long as to split a line.
_waiting: list[str] = []
_reader = csv.reader(map(_waiting.pop, repeat(-1)), strict=True)


def _as_latin(error: UnicodeError) -> tuple[str, int]:
    """Read bytes that are no UTF-8 as Latin 1: its A0 groups the digits of a French number."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


_LATIN = "gpuprune-latin"
codecs.register_error(_LATIN, _as_latin)


class Lines:
    """The complete lines of a text file, without their ends.

    A last line without an end may be cut off, even inside a number, so it is not given out but
    kept in `unfinished`. A carriage return ends a line too: the tools' progress overwrites.
    A line longer than `MAX_LINE` is none of a profiler, and passed over.
    """

    def __init__(self, path: Path) -> None:
        """Remember the file; each iteration opens it again."""
        self.path = path
        self.unfinished = ""

    def __iter__(self) -> Iterator[str]:
        begun, too_long = "", False
        with self.path.open(encoding=_encoding(self.path), errors=_LATIN) as file:
            while block := file.read(_BLOCK):
                lines = (begun + block).split("\n")
                begun = lines.pop()
                if too_long and lines:
                    del lines[0]
                    too_long = False
                yield from lines
                if len(begun) > MAX_LINE:
                    begun, too_long = "", True
        self.unfinished = "" if too_long else begun


def split_cells(line: str) -> list[str]:
    """Split a comma-separated line; an unescaped quote inside a cell belongs to it."""
    if line[:1] == line[-1:] == '"':
        cells = line[1:-1].split('","')
        if line.count('"') == 2 * len(cells):
            return cells  # as nearly all of ncu's, and in a quarter of the time
    _waiting.append(line)
    try:
        return next(_reader)
    except (csv.Error, IndexError):  # it asks for a second line where a quote is left open
        found = _LENIENT_CELL.findall(line)
        return [quoted.replace('""', '"') or bare for quoted, bare in found]


def picker(places: Sequence[int]) -> Callable[[Sequence[str]], Sequence[str]]:
    """Return what picks the cells at some places, of all at once."""
    first, last = (places[0], places[-1]) if places else (0, -1)
    if list(places) == list(range(first, last + 1)):  # as it is for one, too
        return itemgetter(slice(first, last + 1))
    return itemgetter(*places)


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    return next((name for mark, name in _ENCODINGS if start.startswith(mark)), "utf-8")
