"""What figures and pages show, read from files: runs, trainings and load efficiencies."""

from gpuprune.evidence.naming import name_layers
from gpuprune.evidence.reading import only_layers, read
from gpuprune.evidence.records import Bench, Efficiency, Evidence, Training

__all__ = [
    "Bench",
    "Efficiency",
    "Evidence",
    "Training",
    "name_layers",
    "only_layers",
    "read",
]
