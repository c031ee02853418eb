"""One line of a run file: a JSON object in ASCII, sealed with its checksum."""

import json
from math import isfinite
from typing import Any
from zlib import crc32

from gpuprune.units import format_bytes

# Far above a million samples: what is longer is no run file, and must not fill the memory.
LONGEST_LINE = 64 << 20

_CRC_MARK = b',"crc":"'


def parse(line: bytes) -> dict[str, Any]:
    """Parse one line strictly; raises ValueError with the rest of a sentence on the line."""
    if not line.endswith(b"\n"):
        raise ValueError("is incomplete" if len(line) < LONGEST_LINE else "is too long")
    try:
        record = json.loads(
            line.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")
        raise ValueError(f"is not JSON: {what} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(record, dict):
        raise ValueError("is not a JSON object")
    return record


def unseal(record: dict[str, Any], line: bytes, sealed: bool) -> None:
    """Take the checksum off a record; raises ValueError where it does not match the line."""
    if ("crc" in record) != sealed:
        raise ValueError(f"has {'no' if sealed else 'a'} checksum, unlike line 1")
    if sealed:
        if line != _seal(line.rpartition(_CRC_MARK)[0]):
            raise ValueError("does not match its checksum")
        del record["crc"]


def encode(record: dict[str, Any], *, sealed: bool) -> bytes:
    if "crc" in record:
        raise ValueError("`crc` is the name of the checksum")
    # ASCII only: U+2028 and its like end a line for some readers.
    body = json.dumps(record, allow_nan=False, separators=(",", ":"))[:-1].encode("ascii")
    line = _seal(body) if sealed else body + b"}\n"
    if len(line) > LONGEST_LINE:
        raise ValueError(f"a record of {format_bytes(len(line))} is too long to be read again")
    return line


def _seal(body: bytes) -> bytes:
    """Close the line of a JSON object that lacks its brace."""
    return b'%b%b%08x"}\n' % (body, _CRC_MARK, crc32(body))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("repeats a key")
    return record


def _finite(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"holds {text}, which is no finite number")
    return value
