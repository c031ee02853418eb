"""A changed copy of a weight file, which appears whole or not at all."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gpuprune.errors import GpupruneError
from gpuprune.storage import making_folder, replacing
from gpuprune.weights import mtx, npy, npz, safetensors, sharded
from gpuprune.weights.files import demand_memory, quote, within_memory
from gpuprune.weights.reading import require_finite, select
from gpuprune.weights.tensor import Tensor

_WRITERS = {
    ".npy": npy.rewrite,
    ".npz": npz.rewrite,
    ".mtx": mtx.rewrite,
    ".safetensors": safetensors.rewrite,
}


def rewrite(
    source: str | Path,
    target: Path,
    change: Callable[[Tensor, NDArray[Any]], NDArray[Any]],
    *,
    pattern: str | None = None,
    force: bool = False,
) -> None:
    """Write `source` to `target` with the matrices that `select` chooses replaced.

    `change` takes a matrix as `read` gives it and returns one of the same shape and type. All
    else is copied: the same format, tensors, order and metadata. One tensor is in memory at a
    time. Of a model in several files `target` becomes a folder with the index and these files.

    An existing `target` is replaced only with `force`, and never a folder, a symbolic link or
    what is the source itself. Raises `GpupruneError`, after which nothing is left behind.
    """
    tensors = select(str(source), pattern)
    path = tensors[0].path
    if any(tensor.is_pattern for tensor in tensors):
        raise GpupruneError(
            f"{quote(path)} is a pattern without values, so that nothing in it can be ranked",
            hint="prune a file with values",
        )
    demand_memory(path, max(tensor.nbytes for tensor in tensors))
    changes = {tensor.name: partial(_apply, change, tensor) for tensor in tensors}
    in_files = sharded.stands_for(path)
    _require_target(path, target, force=force, is_folder=in_files)
    try:
        with within_memory(path):
            if in_files:
                with making_folder(target) as folder:
                    sharded.rewrite(path, folder, changes)
            else:
                with replacing(target) as stream:
                    _WRITERS[path.suffix.lower()](path, stream, changes)
    except OSError as error:
        raise _unwritable(target, error) from error


def _apply(
    change: Callable[[Tensor, NDArray[Any]], NDArray[Any]], tensor: Tensor, array: NDArray[Any]
) -> NDArray[Any]:
    require_finite(tensor, array)
    changed = change(tensor, array)
    if (changed.shape, changed.dtype) != (array.shape, array.dtype):
        raise ValueError(f"{tensor.label}: the change gave {changed.dtype} {changed.shape}")
    return changed


def _require_target(path: Path, target: Path, *, force: bool, is_folder: bool) -> None:
    if not is_folder and target.suffix.lower() != path.suffix.lower():
        raise GpupruneError(
            f"{quote(target)} has another extension than {quote(path)}",
            hint=f"the format stays as it is: end the name in {path.suffix.lower()}",
        )
    try:
        if target.is_symlink():
            raise GpupruneError(
                f"{quote(target)} is a symbolic link", hint="name the file that it points to"
            )
        if not target.parent.is_dir():
            raise GpupruneError(
                f"{quote(target.parent)} is not a directory", hint="create it first"
            )
        if not target.exists():
            return
        if target.samefile(path):
            raise GpupruneError(
                f"{quote(target)} is the input itself", hint="give the output another name"
            )
        if is_folder:
            raise GpupruneError(
                f"{quote(target)} exists, and a model in several files becomes a new folder",
                hint="give another name, or delete it first",
            )
        if not target.is_file():
            raise GpupruneError(
                f"{quote(target)} is not a regular file", hint="give the output another name"
            )
    except (OSError, ValueError) as error:
        raise _unwritable(target, error) from error
    if not force:
        raise GpupruneError(
            f"{quote(target)} exists", hint="replace it with --force, or give another name"
        )


def _unwritable(target: Path, error: Exception) -> GpupruneError:
    reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return GpupruneError(
        f"cannot write {quote(target)}: {reason}",
        hint="choose a directory that is writable and has room",
    )
