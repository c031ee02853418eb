"""NumPy's `.npz`: a zip of named `.npy` arrays, or one sparse matrix that SciPy saved."""

import zipfile
from pathlib import Path
from typing import IO, Any

from numpy.typing import NDArray

from gpuprune.weights import npy, scipy_npz
from gpuprune.weights.archive import MAGICS, arrays, member, opened, read_array, read_header
from gpuprune.weights.files import chunks
from gpuprune.weights.tensor import Change, Changes, Entry


def begins(head: bytes) -> bool:
    """Whether a file that starts with `head` can be of this format."""
    return head.startswith(MAGICS)


def entries(path: Path) -> list[Entry]:
    """List the arrays, or the one sparse matrix."""
    with opened(path) as archive:
        if scipy_npz.is_sparse(archive):
            return [scipy_npz.entry(path, archive)]
        return [
            read_header(path, archive, info).entry(name) for name, info in arrays(archive).items()
        ]


def load(path: Path, name: str | None) -> NDArray[Any]:
    """Read one array in C order and native byte order; a sparse matrix becomes dense."""
    with opened(path) as archive:
        if name is None:
            return scipy_npz.densify(path, scipy_npz.load(path, archive))
        return read_array(path, archive, arrays(archive)[name])


def rewrite(path: Path, target: IO[bytes], changes: Changes) -> None:
    """Write all members, in their order and each compressed or not as it was.

    A sparse matrix stays sparse, in its format, without the zeros of the changed one.
    """
    with opened(path) as archive:
        if None in changes:
            scipy_npz.rewrite(path, archive, target, changes[None])
            return
        members = arrays(archive)
        changed = {members[str(name)].filename: change for name, change in changes.items()}
        with zipfile.ZipFile(target, "w") as copy:
            for info in archive.infolist():
                _rewrite_member(path, archive, info, copy, changed.get(info.filename))


def _rewrite_member(
    path: Path,
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    copy: zipfile.ZipFile,
    change: Change | None,
) -> None:
    fresh = zipfile.ZipInfo(info.filename, info.date_time)
    fresh.compress_type = info.compress_type
    fresh.external_attr = info.external_attr
    if change is not None:
        header = read_header(path, archive, info)
        array = change(read_array(path, archive, info))
        with copy.open(fresh, "w", force_zip64=True) as written:
            npy.write(written, array, header)
        return
    with member(path, archive, info) as stream, copy.open(fresh, "w", force_zip64=True) as written:
        for chunk in chunks(path, stream):
            written.write(chunk)
