"""Reading a run file, which another process may be writing to."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from gpuprune.errors import GpupruneError
from gpuprune.records import SCHEMA
from gpuprune.storage.files import open_file, refusing
from gpuprune.storage.lines import LONGEST_LINE, parse, unseal
from gpuprune.units import format_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFile:
    """What a run file holds; its records are as they were written, `record` included."""

    path: Path
    header: dict[str, Any]
    results: tuple[dict[str, Any], ...]
    end: dict[str, Any] | None  # None while the run goes on, and where it was stopped
    torn: bytes  # the last line, where it is incomplete or damaged
    sealed: bool  # whether the lines carry checksums

    @property
    def warning(self) -> str | None:
        """What to tell the user about the end of the file, if anything."""
        if self.torn:
            size = format_bytes(len(self.torn))
            return f"{self.path}: the last line is incomplete or damaged and is left out ({size})"
        if self.end and (told := self.end.get("results")) != (count := len(self.results)):
            return f"{self.path}: its end tells of {told!r} results, and {count} are there"
        return None


def read(path: Path) -> RunFile:
    """Read a run file, which another process may be writing to.

    A last line that is damaged or has no line feed is left out, see `RunFile.warning`.
    Raises GpupruneError where the file cannot be read, is no run file, has another schema, or is
    damaged before its last line.
    """
    with os.fdopen(open_file(path, os.O_RDONLY, "read"), "rb") as file:
        return scan(file, path)


def scan(file: BinaryIO, path: Path) -> RunFile:
    with refusing("read", path):
        lines = _lines(file)
        first, _ = next(lines, (b"", True))
        _refuse_baseline(first, lines, path)
        header, sealed = _header(first, path)
        results, end, torn = _body(lines, path, sealed)
    return RunFile(
        path=path, header=header, results=tuple(results), end=end, torn=torn, sealed=sealed
    )


def _lines(file: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Yield each line, and whether it is the last."""
    # Up to the end as it is now: what a writer adds meanwhile could follow half a line.
    left = os.fstat(file.fileno()).st_size
    while line := file.readline(min(left, LONGEST_LINE)):
        left -= len(line)
        yield line, left == 0


def _refuse_baseline(first: bytes, following: Iterator[tuple[bytes, bool]], path: Path) -> None:
    """Name what the other file of gpuprune is, which is laid out for people to compare."""
    if first.strip() == b"{" and b'"record": "baseline"' in next(following, (b"", True))[0]:
        raise GpupruneError(
            f"{path} is a baseline, and no run", hint=f"gpuprune baseline show {path} reads it"
        )


def _header(line: bytes, path: Path) -> tuple[dict[str, Any], bool]:
    """Return the `run` record, and whether the lines carry checksums."""
    try:
        header = parse(line)
        if header.get("record") != "run":
            raise ValueError("is not a `run` record")
        # Another schema may seal its lines in another way: it is judged before the checksum.
        _require_known(header.get("schema"), path)
    except ValueError as error:
        reason = f"line 1 {error}" if line else "it is empty"
        raise GpupruneError(
            f"{path} is not a run file: {reason}",
            hint="give a file that `gpuprune bench --output` wrote; without its first line a run "
            "cannot go on, so remove this one or take another name",
        ) from None
    sealed = "crc" in header
    try:
        unseal(header, line, sealed)
    except ValueError as error:
        raise _damaged(path, 1, str(error)) from None
    return header, sealed


def _body(
    lines: Iterator[tuple[bytes, bool]], path: Path, sealed: bool
) -> tuple[list[dict[str, Any]], dict[str, Any] | None, bytes]:
    """Return the results, the `end` record if there is one, and a torn last line."""
    results: list[dict[str, Any]] = []
    end: dict[str, Any] | None = None
    for number, (line, is_last) in enumerate(lines, start=2):
        try:
            record = parse(line)
            unseal(record, line, sealed)
        except ValueError as error:
            if is_last:
                return results, end, line
            raise _damaged(path, number, str(error)) from None
        # A readable line in the wrong place was never torn: to drop it would hide a result.
        if end is not None:
            raise _damaged(path, number, "follows the `end` record")
        if record.get("record") == "result":
            results.append(record)
        elif record.get("record") == "end":
            end = record
        else:
            raise _damaged(path, number, "is neither a `result` nor the `end` record")
    return results, end, b""


def _require_known(schema: object, path: Path) -> None:
    if type(schema) is not int or schema < 1:
        raise ValueError("has an unknown schema")
    if schema > SCHEMA:
        raise GpupruneError(
            f"{path} has schema {schema}, and this gpuprune reads schema {SCHEMA}",
            hint="read it with a newer gpuprune: pip install --upgrade gpuprune",
        )


def _damaged(path: Path, number: int, reason: str) -> GpupruneError:
    rescue = f"head -n {number - 1} keeps the lines before it; " if number > 1 else ""
    return GpupruneError(
        f"{path} is damaged: line {number} {reason}",
        hint=f"{rescue}jq -c 'del(.crc)' takes the checksums off a file edited on purpose",
    )
