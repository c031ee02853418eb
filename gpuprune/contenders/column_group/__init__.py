"""Groups down a column (g x 1): one index a group, and its rows share what they load."""

from gpuprune.backends import Backend
from gpuprune.contenders import NotApplicable, Prepared
from gpuprune.problem import Problem


def prepare(problem: Problem, backend: Backend) -> list[Prepared]:
    """Pack the groups of every column and return the kernel that multiplies them."""
    if problem.case.orientation != "column":
        raise NotApplicable(
            "--orientation row asks for groups inside rows, and column_group multiplies groups "
            "down columns"
        )
    if reason := backend.unsupported(problem.case.dtype):
        raise NotApplicable(reason)
    if backend.name == "cuda":
        from gpuprune.contenders.column_group import device
        from gpuprune.kernels import Gpu

        return [device.prepare(problem, Gpu.of(backend))]
    from gpuprune.contenders.column_group import host

    return [host.prepare(problem, backend)]
