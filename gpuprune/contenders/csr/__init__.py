"""Compressed sparse rows: the fastest of cuSPARSE's kernels, or of SciPy's and Numba's."""

from gpuprune.backends import Backend
from gpuprune.contenders import Prepared
from gpuprune.problem import Problem


def prepare(problem: Problem, backend: Backend) -> list[Prepared]:
    """Pack the kept weights as CSR and return every way to multiply them on this device."""
    if backend.name == "cuda":
        from gpuprune.contenders.csr import cusparse

        return cusparse.prepare(problem, backend)
    from gpuprune.contenders.csr import host

    return host.prepare(problem, backend)
