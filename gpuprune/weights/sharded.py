"""Models in several .safetensors files, and the index that says which tensor is in which.

Format: https://huggingface.co/docs/transformers/big_models#sharded-checkpoints
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gpuprune.errors import GpupruneError
from gpuprune.storage import replacing
from gpuprune.weights import safetensors
from gpuprune.weights.files import damaged, parsing, quote
from gpuprune.weights.tensor import Changes, Entry

_INDEX = "model.safetensors.index.json"
_ENDING = ".safetensors.index.json"
_INDEX_LIMIT = 2**23  # bytes, as of the header of one file
_LISTED = 3
_LONGEST_NAME = 255  # bytes, of a file on any system


def stands_for(path: Path) -> bool:
    """Whether a path is such an index, or a folder that has one."""
    return path.name.endswith(_ENDING) or (path.is_dir() and (path / _INDEX).is_file())


def files(path: Path) -> list[Path]:
    """List the index and the files it names."""
    index = _index(path)
    return [index, *dict.fromkeys(_weight_map(index).values())]


def entries(path: Path) -> list[Entry]:
    """List the tensors in the order of the index, as the headers of the files describe them."""
    index = _index(path)
    weight_map = _weight_map(index)
    missing = [file.name for file in dict.fromkeys(weight_map.values()) if not file.is_file()]
    if missing:
        more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
        raise GpupruneError(
            f"{quote(index)} names files that are not there: "
            f"{', '.join(map(quote, missing[:_LISTED]))}{more}",
            hint=f"put them into {quote(index.parent)}: each holds a part of the model",
        )
    held = {
        file: {entry.name: entry for entry in safetensors.entries(file)}
        for file in dict.fromkeys(weight_map.values())
    }
    for name, file in weight_map.items():
        if name not in held[file]:
            raise damaged(index, f"{quote(name)} is not in {quote(file.name)}, as it says")
    return [held[file][name] for name, file in weight_map.items()]


def load(path: Path, name: str | None) -> NDArray[Any]:
    """Read one tensor out of the file that has it."""
    return safetensors.load(_weight_map(_index(path))[str(name)], name)


def blocks(path: Path, name: str | None) -> Iterator[NDArray[Any]]:
    """Read one tensor some rows at a time."""
    return safetensors.blocks(_weight_map(_index(path))[str(name)], name)


def rewrite(path: Path, folder: Path, changes: Changes) -> None:
    """Write the index and the files it names into a folder, the chosen tensors changed."""
    index = _index(path)
    weight_map = _weight_map(index)
    for file in dict.fromkeys(weight_map.values()):
        own = {name: change for name, change in changes.items() if weight_map[str(name)] == file}
        with replacing(folder / file.name) as target:
            safetensors.rewrite(file, target, own)
    with replacing(folder / index.name) as target:
        target.write(index.read_bytes())


def _index(path: Path) -> Path:
    return path / _INDEX if path.is_dir() else path


def _weight_map(index: Path) -> dict[str, Path]:
    """Read which file holds which tensor; every file lies beside the index."""
    with parsing(index), index.open("rb") as stream:
        text = stream.read(_INDEX_LIMIT + 1)
        if len(text) > _INDEX_LIMIT:
            raise damaged(index, f"it is longer than {_INDEX_LIMIT} bytes")
        content = json.loads(text)
        weight_map = content.get("weight_map") if isinstance(content, dict) else None
        if not isinstance(weight_map, dict) or not weight_map:
            raise damaged(index, "it has no weight_map that says which file holds which tensor")
        for file in weight_map.values():
            if not isinstance(file, str) or Path(file).name != file:
                raise damaged(index, f"it names {quote(file)}, which is no file beside it")
            if len(os.fsencode(file)) > _LONGEST_NAME:
                raise damaged(index, f"it names {quote(file)}, longer than any file's name")
    return {name: index.parent / file for name, file in weight_map.items()}
