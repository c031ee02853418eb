"""Training under way on disk: one file beside the run, whole or not there at all.

A safetensors file: no code runs when it is read. Its metadata say which run and which stage it
belongs to; a checksum over the values tells a damaged one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from gpuprune.accuracy.model import Parameters
from gpuprune.accuracy.train import State
from gpuprune.errors import GpupruneError
from gpuprune.storage import replacing

_MOST_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The networks of some seeds when trained, if they are, and those now in training."""

    stage: str  # what `state` is in the middle of
    state: State | None  # None between two stages
    trained: Parameters | None  # of `seeds`
    seeds: tuple[int, ...]


def path_beside(run: Path) -> Path:
    """Name the checkpoint of a run file; it is removed when the run has ended."""
    return run.with_name(f"{run.name}.checkpoint")


def write(path: Path, checkpoint: Checkpoint, configuration: Mapping[str, Any]) -> None:
    """Replace the file by a newer one, which survives a crash from then on.

    All arrays are the host's.
    """
    values = {
        **(_named("state", checkpoint.state.parameters) if checkpoint.state else {}),
        **(_named("trained", checkpoint.trained) if checkpoint.trained else {}),
    }
    if checkpoint.state:
        values["loss_sum"] = checkpoint.state.loss_sum
    metadata = {
        "configuration": _canonical(configuration),
        "stage": checkpoint.stage,
        "step": str(checkpoint.state.step if checkpoint.state else 0),
        "seeds": json.dumps(checkpoint.seeds),
        "crc": str(_checksum(values)),
    }
    try:
        _part(path).unlink(missing_ok=True)  # of a process that was killed
        with replacing(path, _part(path)) as stream:
            stream.write(save(values, metadata))
    except OSError as error:
        raise GpupruneError(
            f"cannot write {path}: {error.strerror or error}",
            hint="free some space, then give the same command with --resume",
        ) from error


def read(path: Path, configuration: Mapping[str, Any]) -> Checkpoint | None:
    """Read the checkpoint of a run, None where there is none.

    Raises GpupruneError where it is damaged or belongs to another run.
    """
    _part(path).unlink(missing_ok=True)
    if not path.exists():
        return None
    hint = f"delete {path} to train that network again from its start"
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        raise GpupruneError(f"{path} is no checkpoint", hint=hint)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata, names = file.metadata() or {}, file.keys()
            values = {name: file.get_tensor(name) for name in names}
        kept = Checkpoint(
            stage=metadata["stage"],
            state=_state(values, int(metadata["step"])),
            trained=_parameters("trained", values),
            seeds=tuple(json.loads(metadata["seeds"])),
        )
        sound = int(metadata["crc"]) == _checksum(values)
        same = metadata["configuration"] == _canonical(configuration)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise GpupruneError(f"cannot read {path}: {error}", hint=hint) from None
    if not sound:
        raise GpupruneError(f"{path} is damaged: its checksum is wrong", hint=hint)
    if not same:
        raise GpupruneError(
            f"{path} belongs to a run with another configuration",
            hint=f"delete {path} if that run is not to go on, or take another --output",
        )
    return kept


def remove(path: Path) -> None:
    """Remove the checkpoint of a run that has ended."""
    _part(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _named(prefix: str, parameters: Parameters) -> dict[str, NDArray[Any]]:
    return {
        f"{prefix}.{i}.{kind}": np.ascontiguousarray(values)
        for kind, arrays in (("weight", parameters.weights), ("bias", parameters.biases))
        for i, values in enumerate(arrays)
    }


def _parameters(prefix: str, values: Mapping[str, NDArray[Any]]) -> Parameters | None:
    layers = sum(name.startswith(f"{prefix}.") for name in values) // 2
    if not layers:
        return None
    return Parameters(
        tuple(values[f"{prefix}.{i}.weight"] for i in range(layers)),
        tuple(values[f"{prefix}.{i}.bias"] for i in range(layers)),
    )


def _state(values: Mapping[str, NDArray[Any]], step: int) -> State | None:
    parameters = _parameters("state", values)
    return State(parameters, step, values["loss_sum"]) if parameters else None


def _checksum(values: Mapping[str, NDArray[Any]]) -> int:
    crc = 0
    for name in sorted(values):
        crc = crc32(np.ascontiguousarray(values[name]).data.cast("B"), crc32(name.encode(), crc))
    return crc


def _canonical(configuration: Mapping[str, Any]) -> str:
    return json.dumps(configuration, sort_keys=True)
