"""Compressed sparse rows through PyTorch (package torch; on a GPU one built for CUDA)."""

import warnings
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any

from gpuprune import csr
from gpuprune.backends import Array, Backend
from gpuprune.contenders import NotApplicable, Prepared
from gpuprune.problem import Problem
from gpuprune.roofline import Work


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
    packed = csr.compress(problem.weights, mask, xp, index=xp.int64)  # torch's own
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")
        matrix = torch.sparse_csr_tensor(
            torch.from_dlpack(packed.offsets),
            torch.from_dlpack(packed.columns),
            torch.from_dlpack(packed.values),
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

    size = packed.nbytes + int(problem.activations.nbytes + result.nbytes)
    phase = csr.multiplying(case, problem.nnz, moved=size)
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
