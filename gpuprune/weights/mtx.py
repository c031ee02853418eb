"""Matrix Market `.mtx`: coordinates or a dense array as text; read as float64 or as a pattern.

Format: https://math.nist.gov/MatrixMarket/formats.html. It is parsed here because
`scipy.io.mmread` (1.17) ends in a segmentation fault on a NUL byte and on a last line that
is cut off.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gpuprune.errors import GpupruneError
from gpuprune.weights.files import damaged, demand_memory, quote
from gpuprune.weights.tensor import PATTERN, Changes, Entry
from gpuprune.weights.text import LINE_LIMIT, counts, numbers

_BANNER = b"%%matrixmarket"
_FIELDS = ("real", "double", "pattern")
_SIGNS = {"general": 0, "symmetric": 1, "skew-symmetric": -1}  # of the mirrored values


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    dense: bool
    pattern: bool
    sign: int
    rows: int
    cols: int
    stored: int  # values that follow; the mirrored half of a symmetric matrix is left out
    offset: int

    @property
    def width(self) -> int:
        """Numbers a line."""
        return 1 if self.dense else 2 if self.pattern else 3


def begins(head: bytes) -> bool:
    """Whether a file that starts with `head` can be of this format."""
    return head.lower().startswith(_BANNER)


def entries(path: Path) -> list[Entry]:
    """List the one matrix."""
    header = _read_header(path)
    dtype = PATTERN if header.pattern else "float64"
    return [Entry(name=None, shape=(header.rows, header.cols), dtype=dtype)]


def load(path: Path, name: str | None) -> NDArray[Any]:
    """Read the one matrix, which has no name, as a dense array: float64, or bool for a pattern.

    Values that stand twice are added, as SciPy does.
    """
    return _load(path, _read_header(path))


def rewrite(path: Path, target: IO[bytes], changes: Changes) -> None:
    """Write the changed matrix, coordinates as coordinates; symmetry and comments are lost."""
    from scipy.io import mmwrite  # 0.15 s that reading does not need
    from scipy.sparse import coo_array

    header = _read_header(path)
    changed = changes[None](_load(path, header))
    mmwrite(target, changed if header.dense else coo_array(changed), symmetry="general")


def _load(path: Path, header: _Header) -> NDArray[Any]:
    promised = header.stored * header.width
    demand_memory(path, 8 * (header.rows * header.cols + promised) + path.stat().st_size)
    with path.open("rb") as stream:
        stream.seek(header.offset)
        text = stream.read()
    values = numbers(path, text, np.float64)
    if values.size != promised:
        raise damaged(path, f"it promises {promised} numbers and has {values.size}")
    if header.dense:
        return _fill_array(values, header)
    return _fill_coordinates(path, values.reshape(-1, header.width), header)


def _fill_array(values: NDArray[Any], header: _Header) -> NDArray[Any]:
    """Put values that go down the columns in their places."""
    if not header.sign:
        return np.ascontiguousarray(values.reshape(header.cols, header.rows).T)
    column, row = np.triu_indices(header.rows, k=1 if header.sign < 0 else 0)
    result = np.zeros((header.rows, header.cols))
    result[column, row] = header.sign * values
    result[row, column] = values
    return result


def _fill_coordinates(path: Path, lines: NDArray[Any], header: _Header) -> NDArray[Any]:
    """Put lines of row, column and value (none for a pattern) in their places."""
    shape = (header.rows, header.cols)
    row = _places(path, lines[:, 0], header.rows, "row")
    column = _places(path, lines[:, 1], header.cols, "column")
    values = lines[:, 2] if header.width == 3 else np.ones(len(lines))
    if header.sign:
        mirrored = row != column
        row, column = np.append(row, column[mirrored]), np.append(column, row[mirrored])
        values = np.append(values, header.sign * values[mirrored])
    flat = np.bincount(row * header.cols + column, values, minlength=header.rows * header.cols)
    dense = flat.reshape(shape).astype(np.float64, copy=False)  # without entries it is int
    return dense != 0 if header.pattern else dense


def _places(path: Path, places: NDArray[Any], length: int, axis: str) -> NDArray[np.int64]:
    inside = (places >= 1) & (places <= length) & (places == np.floor(places))
    if not inside.all():
        wrong = places[np.argmin(inside)]
        raise damaged(path, f"{axis} {wrong:g} is not one of 1..{length}")
    return places.astype(np.int64) - 1


def _read_header(path: Path) -> _Header:
    with path.open("rb") as stream:
        words = stream.readline(LINE_LIMIT).decode("latin-1").lower().split()
        line = stream.readline(LINE_LIMIT)
        while line.startswith(b"%") or line.isspace():
            line = stream.readline(LINE_LIMIT)
        offset = stream.tell()
    if len(words) != 5 or words[1] != "matrix" or words[2] not in ("coordinate", "array"):
        raise damaged(path, f"its first line is {quote(' '.join(words))}")
    layout, field, symmetry = words[2:]
    if field not in _FIELDS or symmetry not in _SIGNS:
        raise GpupruneError(
            f"{quote(path)} holds a matrix that is {quote(f'{field} {symmetry}')}",
            hint="write it as `real general`, or as `pattern general`",
        )
    dense, sign = layout == "array", _SIGNS[symmetry]
    rows, cols, *rest = counts(path, line, 2 if dense else 3)
    if dense:
        rest = [rows * (cols + sign) // 2 if sign else rows * cols]
    header = _Header(
        dense=dense,
        pattern=field == "pattern",
        sign=sign,
        rows=rows,
        cols=cols,
        stored=rest[0],
        offset=offset,
    )
    _check(path, header)
    return header


def _check(path: Path, header: _Header) -> None:
    if header.sign and header.rows != header.cols:
        raise damaged(path, f"it is symmetric with {header.rows} rows and {header.cols} columns")
    if header.pattern and (header.dense or header.sign < 0):
        raise damaged(path, "a pattern has neither an array of values nor their signs")
    room = (path.stat().st_size - header.offset + 1) // 2  # a digit and a separator each
    promised = header.stored * header.width
    if promised > room:
        raise damaged(path, f"it promises {promised} numbers and has room for {room}")
