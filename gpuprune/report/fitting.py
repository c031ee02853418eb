"""Text and tables for people made as narrow as the terminal that shows them."""

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from textwrap import TextWrapper

from rich.cells import cell_len

_RULE = re.compile(r"-+(?:  -+)*")  # beneath the headers of a table, a run of it a column
_GAP = "  "  # between columns
_SECOND = "\ufdd0"  # cell of a wide character; what Unicode promises never to be one itself
_LEAST = 16  # characters that a column of text keeps, or it would be unreadable


class _Wrapper(TextWrapper):
    """Breaks lines at blanks and beside wide characters, as East Asian text is broken."""

    wordsep_simple_re = re.compile(rf"(\s+|.{_SECOND})")


def fit(text: str, width: int) -> str:
    """Break what is wider than a terminal: lines at blanks, tables inside their cells.

    Numbers stay whole, so a table of very many columns stays wider.
    """
    return "\n".join(_fitted(_in_cells(text).split("\n"), width)).replace(_SECOND, "")


def _in_cells(text: str) -> str:
    """Let each character that takes two cells of a terminal count as two."""
    return "".join(f"{one}{_SECOND}" if cell_len(one) == 2 else one for one in text)


def _fitted(lines: Sequence[str], width: int) -> Iterator[str]:
    at = 0
    while at < len(lines):
        if _RULE.fullmatch("".join(lines[at + 1 : at + 2])):
            end = next((i for i in range(at, len(lines)) if not lines[i]), len(lines))
            yield from _table(lines[at:end], width)
            at = end
        else:
            yield from _line(lines[at], width)
            at += 1


def _line(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    wrapper = _Wrapper(
        width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return wrapper.wrap(line)


def _table(lines: Sequence[str], width: int) -> Sequence[str]:
    """Break the headers and the text of a table whose second line is its rule."""
    if len(lines[1]) <= width:
        return lines
    spans = [found.span() for found in re.finditer("-+", lines[1])]
    rows = [[line[start:end] for start, end in spans] for line in (lines[0], *lines[2:])]
    is_text = [not any(row[i].startswith(" ") for row in rows) for i in range(len(spans))]
    rows = [[cell.strip() for cell in row] for row in rows]
    widths = _narrowed(rows, is_text, width)
    rule = _GAP.join("-" * one for one in widths)
    header, *body = (_row(row, widths, is_text) for row in rows)
    return [*header, rule, *(line for row in body for line in row)]


def _narrowed(rows: Sequence[Sequence[str]], is_text: Sequence[bool], width: int) -> Sequence[int]:
    """Choose widths: headers are broken before text, and the widest text first."""
    header, *body = rows
    whole = [max(map(len, column)) for column in zip(*body, strict=True)] or [0] * len(header)
    words = [max(map(len, cell.split() or [""])) for cell in header]
    widths = [max(own, len(cell)) for own, cell in zip(whole, header, strict=True)]
    for i in sorted(range(len(widths)), key=lambda i: whole[i] - widths[i]):
        widths[i] -= min(max(0, _excess(widths, width)), widths[i] - max(whole[i], words[i]))
    for i in sorted((i for i, text in enumerate(is_text) if text), key=lambda i: -widths[i]):
        least = min(widths[i], max(_LEAST, words[i]))
        widths[i] = max(least, widths[i] - max(0, _excess(widths, width)))
    return widths


def _excess(widths: Sequence[int], width: int) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1) - width


def _row(cells: Sequence[str], widths: Sequence[int], is_text: Sequence[bool]) -> list[str]:
    """Lay out a row in as many lines as its longest cell takes."""
    broken = [
        _Wrapper(width, break_on_hyphens=False).wrap(cell)
        for cell, width in zip(cells, widths, strict=True)
    ]
    return [
        _GAP.join(
            part.ljust(width) if left else part.rjust(width)
            for part, width, left in zip(parts, widths, is_text, strict=True)
        ).rstrip()
        for parts in zip_longest(*broken, fillvalue="")
    ] or [""]
