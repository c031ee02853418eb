"""Rows laid out in any format: tables, Markdown, CSV and JSON."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from tabulate import tabulate

from gpuprune.records import NAMELESS
from gpuprune.units import format_percent

Format = Literal["table", "markdown", "csv", "json"]
Row = dict[str, Any]

_encode = json.JSONEncoder(allow_nan=False).encode  # json.dumps makes an encoder for each row

NOISE = "~ samples spread over more than 10 %"  # what the mark beside a speedup means


def listing(rows: Sequence[Row], output_format: Format) -> str:
    """Lay out rows with the same keys in any format; shares of one show as percentages."""
    if output_format == "json":
        return json_lines(rows)
    if output_format == "csv":
        return csv_text(rows)
    headers = list(rows[0]) if rows else []
    cells = [[_cell(name, row[name]) for name in headers] for row in rows]
    numbers = [name for name in headers if any(isinstance(row[name], int | float) for row in rows)]
    left = [i for i, name in enumerate(headers) if name not in numbers]
    titles = [name.replace("_", " ") for name in headers]
    return table(titles, cells, output_format == "markdown", left=left)


def json_lines(rows: Iterable[Row]) -> str:
    """Write one JSON object a line."""
    return "\n".join(map(_encode, rows))


def csv_text(rows: Sequence[Row]) -> str:
    """Write rows as CSV with a header; text that a spreadsheet would run is quoted."""
    if not rows:
        return ""
    file = io.StringIO()
    writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _inert(value) for key, value in row.items()} for row in rows)
    return file.getvalue().rstrip("\n")


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], markdown: bool, left: Sequence[int] = ()
) -> str:
    """Lay out cells; columns stand right but for those named in `left`."""
    if markdown:
        headers = [escape(header) for header in headers]
        rows = [[escape(cell) for cell in row] for row in rows]
    align = ["left" if column in left else "right" for column in range(len(headers))]
    return tabulate(
        rows,
        headers=headers,
        tablefmt="pipe" if markdown else "simple",
        disable_numparse=True,
        colalign=align,
    )


def printable(text: str) -> str:
    """Show control characters of a name, which a terminal would obey, as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def escape(text: str) -> str:
    """Escape what Markdown would take for markup."""
    text = printable(text)
    for character in "\\|*_<>`":
        text = text.replace(character, f"\\{character}")
    return text


def _cell(name: str, value: object) -> str:
    if value is None:
        return "-"
    if name in ("rate", "energy_kept") and isinstance(value, float):
        return format_percent(value)
    if name == "tensor" and value == "":
        return NAMELESS
    return printable(str(value))


def _inert(value: object) -> object:
    # A spreadsheet takes text that begins like this for a formula.
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
