"""The zip file that an `.npz` is, opened so that a zip bomb is refused before it is unpacked."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from numpy.typing import NDArray

from gpuprune.errors import GpupruneError
from gpuprune.units import format_bytes
from gpuprune.weights import npy
from gpuprune.weights.files import CHUNK_BYTES, damaged, parsing, pickled, quote

MAGICS = (b"PK\x03\x04", b"PK\x05\x06")  # a member, or the end of an archive without any
_MEMBER_LIMIT = 10_000
_DIRECTORY_LIMIT = CHUNK_BYTES  # 10,000 members are listed in about 1.2 MB
# Float32 weights with 98 % zeros deflate 10-fold, with 99.5 % 14-fold, zeros alone 1030-fold.
_RATIO_LIMIT = 200
_ALWAYS_ALLOWED = 2**26  # bytes; a small matrix may well be all zeros
_ENCRYPTED = 1


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive whose members have different names, known methods and sane sizes."""
    with _ShortReads(path) as stream:
        with parsing(path):
            archive = zipfile.ZipFile(stream)
        with archive:
            _check(path, archive.infolist())
            yield archive


@contextmanager
def member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[IO[bytes]]:
    """Open a member for reading; its checksum is compared once it is read to the end."""
    with parsing(path):
        stream = archive.open(info)
    with stream:
        yield stream


def arrays(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Find the members that are arrays, by the name that NumPy gives them."""
    return {
        info.filename.removesuffix(".npy"): info
        for info in archive.infolist()
        if info.filename.endswith(".npy")
    }


def read_header(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> npy.Header:
    """Read the header of one array."""
    with member(path, archive, info) as stream:
        return npy.read_header(path, stream, info.file_size)


def read_array(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    """Read one array in C order and native byte order."""
    header = read_header(path, archive, info)
    with member(path, archive, info) as stream:
        with parsing(path):
            stream.read(header.offset)
        return npy.read_values(path, stream, header)


class _ShortReads(io.FileIO):
    """A file that refuses long reads: zipfile reads its whole list of members with one."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _DIRECTORY_LIMIT:
            raise ValueError(f"its list of members takes {size} bytes, of {_DIRECTORY_LIMIT}")
        return super().read(size)


def _check(path: Path, members: list[zipfile.ZipInfo]) -> None:
    names = [info.filename for info in members]
    if any(name.endswith(".pkl") for name in names):
        raise pickled(path)
    if len(names) > _MEMBER_LIMIT:
        raise damaged(path, f"it lists {len(names)} members, the limit is {_MEMBER_LIMIT}")
    if len(set(names)) < len(names):
        raise damaged(path, "two of its members have the same name")
    for info in members:
        if info.flag_bits & _ENCRYPTED:
            raise damaged(path, f"its member {quote(info.filename)} is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise damaged(path, f"its member {quote(info.filename)} is not stored or deflated")
    unpacked = sum(info.file_size for info in members)
    size = path.stat().st_size
    if unpacked > max(_ALWAYS_ALLOWED, _RATIO_LIMIT * size):
        raise GpupruneError(
            f"{quote(path)} unpacks from {format_bytes(size)} to {format_bytes(unpacked)}, "
            "as a zip bomb does",
            hint="if you trust it, load it in Python and write the arrays as .npy",
        )
