"""When a run began and where, and what has to agree so that another process may go on with it."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from gpuprune.errors import GpupruneError

# What makes two machines one, as far as times and bits are concerned.
MACHINE = ("node", "device", "device_name", "threads", "packages")


def now() -> str:
    """Return the time as files keep it: ISO 8601 in seconds, with the offset."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def require_output(output: Path | None, *, resume: bool) -> None:
    """Raise GpupruneError where a run is to go on that no file holds."""
    if resume and output is None:
        raise GpupruneError("--resume needs the run to go on with", hint="add --output RUN.jsonl")


def require_agreement(
    kept: Mapping[str, Any], wanted: Mapping[str, Any], keys: Iterable[str], told: str, hint: str
) -> None:
    """Raise GpupruneError where a file and what is asked now differ in one of some facts.

    `told` begins the sentence, such as `run.jsonl was asked for`.
    """
    for key in keys:
        if kept.get(key) != wanted.get(key):
            raise GpupruneError(
                f"{told} {key.replace('_', '-')} {kept.get(key)!r}, "
                f"and now it is {wanted.get(key)!r}",
                hint=hint,
            )
