"""Captured kernels as a table that fits its reader's width; names are cut so that they tell."""

from collections.abc import Collection, Mapping, Sequence

from gpuprune.report.layout import Row, listing, printable

ELLIPSIS = "…"

_ALWAYS = {"kernel", "source", "launch", "invocations", "launches", "load %", "mean load %"}
_LEAST_NAME = 28  # characters of a kernel's name, for which other columns give way
_LONGEST_NAME = 60  # where nothing says how wide the reader's page is
_LONGEST_SOURCE = 20
_GAP = 2  # between columns, and beside a heading


def kernel_table(rows: Sequence[Row], *, width: int | None) -> tuple[str, list[str]]:
    """Lay out rows of kernels within a width, in characters; None where there is no limit.

    Returns the table, and the columns that were left out for want of width, the last first.
    """
    rows = [{name: _shown(name, value) for name, value in row.items()} for row in rows]
    left_out = []
    columns = list(rows[0])
    names = {row["kernel"] for row in rows}
    longest = max(map(len, names))
    room = _LONGEST_NAME
    if width is not None:
        widths = {
            name: max(len(name) + _GAP, *(len(_text(row[name])) for row in rows))
            for name in columns
        }
        while True:
            room = width - sum(widths[name] + _GAP for name in columns if name != "kernel")
            optional = [name for name in columns if name not in _ALWAYS]
            if room >= min(longest, _LEAST_NAME) or not optional:
                break
            left_out.append(optional[-1])
            columns.remove(optional[-1])
    room = max(room, len("kernel"))
    short = shorten(names, room)
    while len({*short.values()}) < len(names) and room < longest:
        room += room // 4  # too wide a table is better than two names that read the same
        short = shorten(names, room)
    fitting = [
        {**{name: row[name] for name in columns}, "kernel": short[row["kernel"]]} for row in rows
    ]
    return listing(fitting, "table"), left_out


def shorten(names: Collection[str], room: int) -> Mapping[str, str]:
    """Cut names to some characters, such that different names stay different where they can.

    First go the parameters, which follow from the rest for most kernels, then the middle: names
    differ in their template arguments and in their end.
    """
    short = {name: _cut(name if len(name) <= room else _bare(name), room) for name in names}
    alike: dict[str, list[str]] = {}
    for name, text in short.items():
        alike.setdefault(text, []).append(name)
    for group in alike.values():
        if len(group) > 1:
            short |= _cut_apart(group, room)
    return short


def _bare(name: str) -> str:
    """Take the parameters out of a name: what stands in the last parentheses."""
    whole, depth = name.removesuffix(" const"), 0
    for at in reversed(range(len(whole) if whole.endswith(")") else 0)):
        depth += (whole[at] == ")") - (whole[at] == "(")
        if depth == 0:
            return f"{whole[:at]}({ELLIPSIS})"
    return name


def _cut(text: str, room: int) -> str:
    """Cut the middle out of a text."""
    if len(text) <= room:
        return text
    end = (room - 1) // 2
    return f"{text[: room - 1 - end]}{ELLIPSIS}{text[len(text) - end :]}"


def _cut_apart(names: Sequence[str], room: int) -> dict[str, str]:
    """Cut names around the place from which on they differ."""
    letters = enumerate(zip(*names, strict=False))
    same = next((at for at, some in letters if len(set(some)) > 1), min(map(len, names)))
    head = min(same, room // 3)
    return {
        name: _cut(name[:head] + ELLIPSIS + name[max(head, same - 3) :], room)
        if same - 3 > head
        else _cut(name, room)
        for name in names
    }


def _shown(name: str, value: object) -> object:
    if name == "source":
        return _cut(printable(str(value)), _LONGEST_SOURCE)
    return printable(value) if name == "kernel" and isinstance(value, str) else value


def _text(value: object) -> str:
    return "-" if value is None else printable(str(value))
