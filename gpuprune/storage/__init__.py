"""The run file: a journal of JSON Lines that loses no finished result.

The first line is a `run` record, then comes one `result` record a line, and an `end` record last
when the run was completed. Each line of ours ends in `,"crc":"89abcdef"}`: the CRC-32 (zlib) of
the line's bytes up to that comma, which can be checked without serialising anything anew. A file
whose lines carry no `crc` at all, written by hand or by another tool, is read as well; one where
some do and others do not is damaged.

A write that was interrupted can only spoil the last line. Such a line is left out when reading
and cut off when a run is resumed; anything else that is wrong is refused, never repaired.
"""

from gpuprune.storage.files import (
    making_folder,
    replacing,
    require_replaceable,
    twice,
    write_whole,
)
from gpuprune.storage.journal import Journal
from gpuprune.storage.reading import RunFile, read

__all__ = [
    "Journal",
    "RunFile",
    "making_folder",
    "read",
    "replacing",
    "require_replaceable",
    "twice",
    "write_whole",
]
