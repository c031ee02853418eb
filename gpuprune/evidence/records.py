"""What figures and pages show: runs, trainings and load efficiencies."""

from dataclasses import dataclass
from pathlib import Path

from gpuprune.accuracy.records import Outcome
from gpuprune.records import Header, Result, Run, layer_name


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A run of `gpuprune bench`; its name tells it from the others that are shown with it."""

    name: str
    path: Path
    run: Run
    results: tuple[Result, ...]
    has_ended: bool = True  # or else it was stopped, or goes on


@dataclass(frozen=True, kw_only=True)
class Training:
    """A run of `gpuprune accuracy`."""

    path: Path
    header: Header
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """The load efficiency of one sparse product, by one of the two definitions."""

    weights: str | None
    rows: int
    cols: int
    batch: int
    dtype: str
    orientation: str
    score: str
    seed: int
    device: str | None  # that it was measured on
    path: Path  # of the file that holds it
    product: str  # the contender that was measured, or the mapping that was predicted
    definition: str  # "ncu" counts distinct bytes, "nvprof" those of every lane
    rate: float
    group: int
    percent: float

    @property
    def shape(self) -> str:
        """The layer and its batch as `--shape` takes them."""
        return f"{self.rows}x{self.cols}x{self.batch}"

    @property
    def name(self) -> str:
        """What people call the layer, as cases do."""
        return layer_name(self.weights, self.shape)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that one figure or page is drawn from, never empty."""

    benches: tuple[Bench, ...] = ()
    trainings: tuple[Training, ...] = ()
    efficiencies: tuple[Efficiency, ...] = ()
    warnings: tuple[str, ...] = ()  # what was torn and left out, what has not ended
