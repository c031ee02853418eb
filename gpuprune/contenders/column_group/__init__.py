"""Groups down a column (g x 1): one index a group, and its rows share what they load."""

from gpuprune.backends import Backend
from gpuprune.contenders import NotApplicable, Prepared
from gpuprune.problem import Problem


def prepare(problem: Problem, backend: Backend) -> list[Prepared]:
    """Pack the groups of every column and return the kernel that multiplies them."""
    if problem.case.orientation != "column":
        raise NotApplicable("the groups lie inside rows: row_group is made for them")
    if reason := backend.unsupported(problem.case.dtype):
        raise NotApplicable(reason)
    if backend.name == "cuda":
        from gpuprune.contenders.column_group import device
        from gpuprune.kernels import Gpu

        return [device.prepare(problem, Gpu.of(backend))]
    from gpuprune.contenders.column_group import host

    return [host.prepare(problem, backend)]
