"""Dense product in TF32, the tensor cores' answer to float32: ten bits of mantissa (cuBLAS)."""

from gpuprune.backends import Backend
from gpuprune.contenders import NotApplicable, Prepared
from gpuprune.problem import Problem
from gpuprune.roofline import Phase, Work, operations


def prepare(problem: Problem, backend: Backend) -> list[Prepared]:
    """Multiply float32 matrices whose products are rounded to TF32 and summed in float32."""
    if backend.name != "cuda":
        raise NotApplicable("TF32 is arithmetic of NVIDIA GPUs")
    if problem.case.dtype != "float32":
        raise NotApplicable(f"TF32 multiplies float32, and the weights are {problem.case.dtype}")
    from gpuprune.backends.cuda import cublas

    if reason := cublas.lacking("tf32"):
        raise NotApplicable(reason)
    multiplies = cublas.multiply_by_layout(
        problem.weights, problem.activations, problem.activations_fortran, "tf32"
    )
    out_bytes = problem.case.rows * problem.case.batch * problem.weights.itemsize
    size = problem.weights.nbytes + problem.activations.nbytes + out_bytes
    flops = operations(problem.case, problem.weights.size)
    return [
        Prepared(
            multiply=multiply,
            variant=layout,
            bytes=size,
            precision="tf32",
            multiplied=problem.weights.size,
            work=Work(phases=(Phase(moved=size, flops=flops),)),
        )
        for layout, multiply in multiplies.items()
    ]
