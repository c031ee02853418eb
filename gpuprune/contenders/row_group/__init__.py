"""Groups inside a row (1 x g): one index a group, and its weights side by side."""

from gpuprune.backends import Backend
from gpuprune.contenders import NotApplicable, Prepared
from gpuprune.problem import Problem


def prepare(problem: Problem, backend: Backend) -> list[Prepared]:
    """Pack the groups of every row and return the kernel that suits how many there are."""
    if problem.case.orientation != "row":
        raise NotApplicable(
            "--orientation column asks for groups down columns, and row_group multiplies groups "
            "inside rows"
        )
    if reason := backend.unsupported(problem.case.dtype):
        raise NotApplicable(reason)
    if backend.name == "cuda":
        from gpuprune.contenders.row_group import device
        from gpuprune.kernels import Gpu

        return [device.prepare(problem, Gpu.of(backend))]
    from gpuprune.contenders.row_group import host

    return [host.prepare(problem, backend)]
