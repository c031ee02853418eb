"""What tells load efficiencies apart that are shown together."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePath

from gpuprune.evidence.records import Efficiency

# What a layer's name leaves open, in the order in which a reader looks for it.
_FACTS: tuple[Callable[[Efficiency], str | None], ...] = (
    lambda one: None if one.weights is None else f"batch {one.batch}",
    lambda one: one.dtype,
    lambda one: f"{one.orientation} groups",
    lambda one: f"scored by {one.score}",
    lambda one: f"seed {one.seed}",
    lambda one: one.device,
)


def name_layers(efficiencies: Sequence[Efficiency]) -> list[tuple[str, ...]]:
    """Name the layer of each efficiency, followed by what of its setting others do not share.

    The last is its file, where without it two would be the same point of the same line.
    """
    weights = _short_names(file for one in efficiencies if (file := _weights_file(one)))
    columns: list[list[str | None]] = [
        [weights.get(_weights_file(one)) for one in efficiencies],
        *([fact(one) for one in efficiencies] for fact in _FACTS),
    ]
    layers = [one.name for one in efficiencies]
    told = [column for column in columns if len({*column} - {None}) > 1]
    names = [tuple(filter(None, values)) for values in zip(layers, *told, strict=True)]
    if not _has_one_point_twice(names, efficiencies):
        return names
    files = _short_names(str(one.path) for one in efficiencies)
    return [(*name, files[str(one.path)]) for name, one in zip(names, efficiencies, strict=True)]


def _weights_file(one: Efficiency) -> str:
    """Return the file of a tensor, empty where the layer's name is a file or a shape."""
    file, _, tensor = (one.weights or "").partition("::")
    return file if tensor else ""


def _short_names(paths: Iterable[str]) -> dict[str, str]:
    """Name files without their folders, unless that leaves two with the same name."""
    names = {path: PurePath(path).name for path in paths}
    return names if len({*names.values()}) == len(names) else {path: path for path in names}


def _has_one_point_twice(
    names: Sequence[tuple[str, ...]], efficiencies: Sequence[Efficiency]
) -> bool:
    points = {
        (name, one.product, one.definition, one.rate, one.group)
        for name, one in zip(names, efficiencies, strict=True)
    }
    return len(points) < len(efficiencies)
