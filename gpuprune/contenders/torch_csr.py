"""Compressed sparse rows through PyTorch, on the CPU (package torch)."""

import warnings

import numpy as np

from gpuprune.backends import Array, Backend
from gpuprune.contenders import NotApplicable, Prepared
from gpuprune.problem import Problem
from gpuprune.roofline import Phase, Work, operations


def prepare(problem: Problem, backend: Backend) -> list[Prepared]:
    """Make a sparse tensor of the kept weights, with as many threads as everyone."""
    case, mask = problem.case, problem.mask
    if backend.name == "cuda":
        raise NotApplicable("torch is timed on the CPU only")
    if reason := backend.unsupported(case.dtype):
        raise NotApplicable(reason)
    try:
        import torch
    except ImportError:
        raise NotApplicable("needs a package: pip install torch") from None
    torch.set_num_threads(backend.threads or 1)
    starts = np.zeros(case.rows + 1, np.int64)
    np.cumsum(np.count_nonzero(mask, axis=1), out=starts[1:])
    columns = np.nonzero(mask)[1].copy()  # contiguous also for torch, which wants stride 1
    values = problem.weights[mask]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")
        matrix = torch.sparse_csr_tensor(
            torch.from_numpy(starts),
            torch.from_numpy(columns),
            torch.from_numpy(values),
            size=mask.shape,
            check_invariants=True,
        )
    activations = torch.from_numpy(problem.activations)  # the same memory
    out = torch.empty((case.rows, case.batch), dtype=activations.dtype)

    def by_torch() -> Array:
        return (matrix @ activations).numpy()

    def into_output() -> Array:
        return torch.mm(matrix, activations, out=out).numpy()

    size = sum(one.nbytes for one in (starts, columns, values, problem.activations, out))
    phase = Phase(
        moved=size,
        flops=operations(case, problem.nnz),
        gathered=problem.nnz * case.batch * values.itemsize,
        gathered_from=problem.activations.nbytes,
    )
    return [
        Prepared(
            multiply=into_output,
            bytes=size,
            call=by_torch,
            work=Work(phases=(phase,), starts=backend.threads != 1),
        )
    ]
