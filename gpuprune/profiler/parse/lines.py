"""The lines of a captured file, and its comma-separated cells."""

import codecs
import csv
import re
from collections.abc import Iterator
from pathlib import Path

MAX_LINE = 1 << 22  # characters; the widest raw page of ncu has 60,000

# PowerShell's `>` writes UTF-16.
_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LENIENT_CELL = re.compile(r'(?:^|,)(?:"((?:[^"]|"(?!,|$))*)"(?=,|$)|([^,]*))')


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
        too_long = False
        with self.path.open(encoding=_encoding(self.path), errors=_LATIN) as file:
            while line := file.readline(MAX_LINE):
                if line.endswith("\n"):
                    if not too_long:
                        yield line[:-1]
                    too_long = False
                elif len(line) < MAX_LINE:
                    self.unfinished = line
                else:
                    too_long = True


def split_cells(line: str) -> list[str]:
    """Split a comma-separated line; an unescaped quote inside a cell belongs to it."""
    if line[:1] == line[-1:] == '"':
        cells = line[1:-1].split('","')
        if line.count('"') == 2 * len(cells):
            return cells  # as nearly all of ncu's, and in a quarter of the time
    try:
        return next(csv.reader((line,), strict=True), [])
    except csv.Error:
        found = _LENIENT_CELL.findall(line)
        return [quoted.replace('""', '"') or bare for quoted, bare in found]


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    return next((name for mark, name in _ENCODINGS if start.startswith(mark)), "utf-8")
