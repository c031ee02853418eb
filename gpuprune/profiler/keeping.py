"""The file that --keep names: checked before a run, written after it, and never over another."""

import shutil
from pathlib import Path

from gpuprune.errors import GpupruneError
from gpuprune.storage import require_replaceable
from gpuprune.storage.files import cause

REPORT = ".ncu-rep"


def require_new(keep: Path, tool: str) -> None:
    """Refuse a file that could not be written, or that is there, before anything runs for it.

    Raises GpupruneError.
    """
    if keep.suffix == REPORT and tool == "nvprof":
        raise GpupruneError(
            f"nvprof writes no {REPORT} file", hint="take --keep FILE.csv, which --from reads"
        )
    require_replaceable(keep, b"", "profile")
    if keep.exists():
        raise GpupruneError(f"{str(keep)!r} is there already", hint="give --keep a new name")


def keep_file(written: Path, keep: Path) -> GpupruneError | None:
    """Copy what a profiler wrote to a new file, or put it where the error says."""
    made = False
    try:
        with written.open("rb") as source, keep.open("xb") as target:
            made = True
            shutil.copyfileobj(source, target)
    except OSError as error:
        if made:
            keep.unlink(missing_ok=True)
        saved = _move_out(written, keep.suffix)
        return GpupruneError(
            f"cannot write {keep}: {cause(error)}; the profiler's file is {saved}",
            hint=f"move it to where there is room: mv {saved} FILE{keep.suffix}",
        )
    return None


def _move_out(written: Path, suffix: str) -> Path:
    """Take a file out of its temporary folder by its name alone, which takes no room on a disk."""
    folder = written.parent
    saved = folder.with_name(f"{folder.name}{suffix}")  # as hard to guess as the folder's own
    written.chmod(0o600)
    return written.rename(saved)
