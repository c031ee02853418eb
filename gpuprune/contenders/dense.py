"""Dense product of the pruned matrix with its zeros stored: the baseline (BLAS, cuBLAS)."""

from gpuprune.backends import Array, Backend
from gpuprune.contenders import NotApplicable, Prepared
from gpuprune.problem import Problem


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
        )
        for layout, multiply in multiplies.items()
    ]


def _operand_bytes(problem: Problem) -> int:
    out_bytes = problem.case.rows * problem.case.batch * problem.weights.itemsize
    return int(problem.weights.nbytes + problem.activations.nbytes + out_bytes)
