"""Dense product of the pruned matrix with its zeros stored: the baseline (BLAS, cuBLAS)."""

from gpuprune.backends import Array, Backend
from gpuprune.contenders import NotApplicable, Prepared
from gpuprune.problem import Problem
from gpuprune.roofline import Phase, Work, operations


def prepare(problem: Problem, backend: Backend) -> list[Prepared]:
    """Multiply by the device's BLAS, into an output made beforehand; on a GPU in each layout."""
    if reason := backend.unsupported(problem.case.dtype):
        raise NotApplicable(reason)
    return _on_gpu(problem) if backend.name == "cuda" else [_on_host(problem, backend)]


def _on_host(problem: Problem, backend: Backend) -> Prepared:
    xp, case = backend.xp, problem.case
    out = xp.empty((case.rows, case.batch), problem.weights.dtype)  # (rows, batch)
    return Prepared(
        multiply=lambda: xp.matmul(problem.weights, problem.activations, out=out),
        bytes=_operand_bytes(problem),
        multiplied=problem.weights.size,
        work=_copying_work(problem),
    )


def _on_gpu(problem: Problem) -> list[Prepared]:
    # Not CuPy's matmul, except as what its user writes: it takes TF32 where the process is so set.
    from gpuprune.backends.cuda import cublas

    def by_cupy() -> Array:
        return problem.weights @ problem.activations

    multiplies = cublas.multiply_by_layout(
        problem.weights, problem.activations, problem.activations_fortran, problem.case.dtype
    )
    return [
        Prepared(
            multiply=multiply,
            variant=layout,
            bytes=_operand_bytes(problem),
            call=by_cupy,
            multiplied=problem.weights.size,
            work=Work(phases=(Phase(moved=_operand_bytes(problem), flops=_flops(problem)),)),
        )
        for layout, multiply in multiplies.items()
    ]


def _copying_work(problem: Problem) -> Work:
    """Account for a BLAS on a CPU, which copies the weights, block by block, as its kernel reads.

    After Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008): no
    core multiplies while it copies.
    """
    size = problem.weights.nbytes
    others = _operand_bytes(problem) - size
    copying = Phase(moved=size, kept=size)
    multiplying = Phase(moved=others, kept=size, flops=_flops(problem))
    return Work(phases=(copying, multiplying))


def _flops(problem: Problem) -> int:
    return operations(problem.case, problem.weights.size)


def _operand_bytes(problem: Problem) -> int:
    out_bytes = problem.case.rows * problem.case.batch * problem.weights.itemsize
    return int(problem.weights.nbytes + problem.activations.nbytes + out_bytes)
