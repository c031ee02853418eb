"""Compressed sparse rows through PyTorch (package torch; on a GPU one built for CUDA)."""

import warnings
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any

from gpuprune.backends import Array, Backend
from gpuprune.contenders import NotApplicable, Prepared
from gpuprune.problem import Problem
from gpuprune.ragged import starts_of
from gpuprune.roofline import Phase, Work, operations


def prepare(problem: Problem, backend: Backend) -> list[Prepared]:
    """Make a sparse tensor of the kept weights, on the device and with as many threads as all."""
    case, mask, xp = problem.case, problem.mask, backend.xp
    if reason := backend.unsupported(case.dtype):
        raise NotApplicable(reason)
    if backend.name == "cuda" and case.dtype == "bfloat16":
        raise NotApplicable("CuPy's bfloat16 arrays have no way into torch")
    try:
        import torch
    except ImportError:
        raise NotApplicable("needs a package: pip install torch") from None
    if backend.name == "cuda" and not torch.cuda.is_available():
        raise NotApplicable(f"torch {torch.__version__} finds no GPU: install one built for CUDA")
    if backend.threads:
        torch.set_num_threads(backend.threads)
    starts = starts_of(xp.count_nonzero(mask, axis=1), xp)
    columns = xp.nonzero(mask)[1].copy()  # contiguous also for torch, which wants stride 1
    values = problem.weights[mask]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")
        matrix = torch.sparse_csr_tensor(
            torch.from_dlpack(starts),
            torch.from_dlpack(columns),
            torch.from_dlpack(values),
            size=mask.shape,
            check_invariants=True,
        )
    result = xp.empty((case.rows, case.batch), problem.weights.dtype)
    activations, out = torch.from_dlpack(problem.activations), torch.from_dlpack(result)

    def by_torch() -> Array:
        with _stream(torch, activations.device, backend):
            return xp.from_dlpack(matrix @ activations)

    def into_output() -> Array:
        with _stream(torch, activations.device, backend):
            torch.mm(matrix, activations, out=out)
        return result

    size = sum(int(one.nbytes) for one in (starts, columns, values, problem.activations, result))
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
            work=Work(phases=(phase,), starts=backend.threads not in (None, 1)),
        )
    ]


def _stream(torch: ModuleType, device: Any, backend: Backend) -> AbstractContextManager[Any]:
    """Let torch queue its work where everybody's is."""
    if backend.name != "cuda":
        return nullcontext()
    stream: AbstractContextManager[Any] = torch.cuda.stream(
        torch.cuda.ExternalStream(backend.xp.cuda.get_current_stream().ptr, device)
    )
    return stream
