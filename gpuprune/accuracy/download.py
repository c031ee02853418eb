"""MNIST from its mirrors, taken only when its checksum is right."""

import hashlib
import os
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

from gpuprune.accuracy.data import FILES
from gpuprune.errors import GpupruneError
from gpuprune.storage import replacing

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
)
_COMPRESSED = {  # bytes and sha256
    FILES[0]: (9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
    FILES[1]: (28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    FILES[2]: (1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
    FILES[3]: (4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
}
_TIMEOUT_S = 30


def default_folder() -> Path:
    """Return where downloads go if nobody says: the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "gpuprune" / "mnist"


def fetch(folder: Path, mirrors: Sequence[str] = MIRRORS) -> None:
    """Put those of MNIST's four files into a folder that are not there yet (11 MB together).

    A file has its name only when it is whole and right. Raises GpupruneError when no mirror gives
    it, and where the folder cannot be written to.
    """
    if folder.exists() and not folder.is_dir():
        raise GpupruneError(
            f"{folder} is a file, and --download needs a folder", hint="give --data FOLDER"
        )
    was_there = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            if not any((folder / there).exists() for there in (name, f"{name}.gz")):
                _fetch(folder / f"{name}.gz", mirrors)
    except OSError as error:
        raise GpupruneError(
            f"cannot write to {folder}: {error.strerror or error}",
            hint="name another folder with --data FOLDER --download",
        ) from None
    finally:
        if not was_there:
            with suppress(OSError):  # unless there is something in it
                folder.rmdir()


def _fetch(path: Path, mirrors: Sequence[str]) -> None:
    reasons = []
    for mirror in mirrors:
        try:
            content = _content(f"{mirror}/{path.name}", *_COMPRESSED[path.stem])
        except (OSError, HTTPException, ValueError) as error:
            reasons.append(f"{mirror}: {error}")
        else:
            with replacing(path) as stream:
                stream.write(content)
            return
    raise GpupruneError(
        f"cannot download {path.name} ({'; '.join(reasons)})",
        hint="get MNIST's four files elsewhere, and name their folder with --data FOLDER",
    )


def _content(url: str, size: int, sha256: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:  # noqa: S310 - a mirror's
        content: bytes = response.read(size + 1)
    if len(content) != size:
        more = "more than " if len(content) > size else f"{len(content)} of "
        raise ValueError(f"sent {more}{size} bytes")
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError("sent something else: the checksum is wrong")
    return content
