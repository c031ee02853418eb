"""What an accuracy run found: a record a network, JSON-ready and free of arrays."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

KIND = "accuracy"  # in the first line, where a run of `bench` has none


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixFacts:
    """What pruning did to one weight matrix."""

    rows: int  # outputs
    cols: int  # inputs
    removed_groups: float  # share
    removed_weights: float  # share; another one where the last group of a row is shorter
    empty_rows: int  # outputs that no weight leads to
    energy_kept: float  # share of the sum of squares, before retraining


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One network of one seed, trained, and pruned and retrained where it has a group."""

    seed: int
    layers: int
    rate: float  # asked; 0 for the unpruned network
    group: int | None  # None for the unpruned network
    score: str
    orientation: str
    min_groups_per_row: int
    skip_last: bool
    epochs: int
    retrain_epochs: int  # 0 for the unpruned network
    accuracy: float  # share of the held-out images
    test_accuracy: float | None  # share of the images that nobody trained on
    one_shot_accuracy: float | None  # on the held-out images, pruned and not yet retrained
    achieved_rate: float  # share of all weights removed
    empty_rows: int  # of all matrices
    dead_classes: int  # classes whose output has no weight left
    matrices: tuple[MatrixFacts, ...]

    def to_record(self) -> dict[str, Any]:
        """Flatten into one line of a run file."""
        return {"record": "result", **asdict(self)}

    @classmethod
    def from_record(cls, line: dict[str, Any]) -> Self:
        """Read a line of a run file; raises KeyError or TypeError where it is none."""
        values = {f.name: line[f.name] for f in fields(cls)}
        values["matrices"] = tuple(MatrixFacts(**facts) for facts in values["matrices"])
        return cls(**values)

    def row(self) -> dict[str, Any]:
        """Return what tables and JSON show: all but the single matrices."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "matrices"}


def by_group(outcomes: Sequence[Outcome]) -> list[list[Outcome]]:
    """Bring the seeds of each group together, the unpruned network first."""
    groups = sorted({one.group for one in outcomes}, key=lambda group: group or 0)
    return [[one for one in outcomes if one.group == group] for group in groups]


def drops(own: Iterable[Outcome], everyone: Iterable[Outcome]) -> list[float]:
    """Return what networks lost in accuracy, each against the unpruned one of its seed, if any."""
    unpruned = {one.seed: one.accuracy for one in everyone if one.group is None}
    return [unpruned[one.seed] - one.accuracy for one in own if one.seed in unpruned]
