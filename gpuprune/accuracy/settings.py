"""What an accuracy experiment covers, checked before anything is trained."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from gpuprune.accuracy.model import WIDTHS
from gpuprune.config import PAPER_GROUPS
from gpuprune.errors import GpupruneError
from gpuprune.records import Orientation, Score

_MOST_EPOCHS = 1_000_000

# For the 5,000 images that come with a package: what is pruned needs some thousand steps before it
# learns again, which takes smaller batches, and all the group sizes would take too long.
FEW_IMAGES: dict[str, Any] = {"epochs": 10, "batch": 32, "groups": (1, 8, 64)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Which networks are trained, pruned and retrained; by default the paper's, for fewer epochs.

    Raises GpupruneError where a value makes no experiment.
    """

    epochs: int = 20
    retrain_epochs: int = 40
    rate: float = 0.9
    groups: tuple[int, ...] = PAPER_GROUPS
    score: Score = "rms"
    orientation: Orientation = "row"
    min_groups_per_row: int = 0
    skip_last: bool = False  # the output matrix stays dense
    seeds: int = 1  # 0, 1, ...
    layers: int = 8
    learning_rate: float = 0.1
    batch: int = 128

    def __post_init__(self) -> None:
        for option in ("epochs", "retrain_epochs", "seeds", "batch"):
            _require(option, getattr(self, option), 1, _MOST_EPOCHS)
        _require("min_groups_per_row", self.min_groups_per_row, 0, _MOST_EPOCHS)
        # Written so that NaN fails.
        if not 0 < self.rate < 1:
            raise GpupruneError(
                f"rate {self.rate:g} is not between 0 and 1",
                hint="take a share that leaves weights and removes some, such as --rate 0.9",
            )
        if not 0 < self.learning_rate <= 100:
            raise GpupruneError(
                f"learning rate {self.learning_rate:g} is not above 0 and at most 100",
                hint="such as --learning-rate 0.1",
            )
        if self.layers not in WIDTHS:
            raise GpupruneError(
                f"there is no network of {self.layers} layers",
                hint="the paper's Table 2 reads as 8 weight matrices or as 7",
            )
        for group in self.groups:
            _require("group", group, 1, self.longest_group)

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Outputs and inputs of each matrix."""
        return tuple((outputs, inputs) for inputs, outputs in pairwise(WIDTHS[self.layers]))

    @property
    def pruned(self) -> tuple[bool, ...]:
        """Whether each matrix is pruned."""
        return (*(True for _ in self.shapes[:-1]), not self.skip_last)

    @property
    def longest_group(self) -> int:
        """The length of the longest line that groups lie in."""
        return max(self._lines)

    def shortened(self) -> list[str]:
        """Say which groups are longer than the lines of a matrix, where they are the line."""
        shortest = min(self._lines)
        line = "row" if self.orientation == "row" else "column"
        return [
            f"Groups of {group}: some matrices have {line}s of {shortest}, and there a group is "
            f"the whole {line}."
            for group in self.groups
            if group > shortest
        ]

    def to_json(self) -> dict[str, Any]:
        """Return what a run file keeps of it."""
        return {**asdict(self), "groups": list(self.groups)}

    @property
    def _lines(self) -> Sequence[int]:
        axis = 1 if self.orientation == "row" else 0
        return [
            shape[axis] for shape, pruned in zip(self.shapes, self.pruned, strict=True) if pruned
        ]


def _require(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise GpupruneError(
            f"{name.replace('_', '-')} {value} is not in {least} to {most}",
            hint=f"take a whole number from {least} to {most}",
        )
