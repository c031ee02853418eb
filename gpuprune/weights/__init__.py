"""Weight files: which matrices one holds, their values, a changed copy of it.

Every file is taken for hostile: sizes are checked before anything is allocated, indices before
anything is addressed, and nothing is ever unpickled.
"""

from gpuprune.weights.reading import digest, find_structure, paths, read, read_pattern, select
from gpuprune.weights.rewriting import rewrite
from gpuprune.weights.structure import Structure
from gpuprune.weights.tensor import Tensor

__all__ = [
    "Structure",
    "Tensor",
    "digest",
    "find_structure",
    "paths",
    "read",
    "read_pattern",
    "rewrite",
    "select",
]
