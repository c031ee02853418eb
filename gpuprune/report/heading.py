"""What a run stands on, in a line: version, device, the packages that did the arithmetic."""

from collections.abc import Iterable

from gpuprune.records import Result, Run
from gpuprune.report.layout import escape
from gpuprune.units import format_count

_CUPY = ("cupy-cuda12x", "cupy-cuda13x")
_ARITHMETIC = {  # the packages whose versions a contender's time hangs on, on a CPU and on a GPU
    "dense": (("numpy",), _CUPY),
    "dense_tf32": ((), _CUPY),
    "csr": (("scipy", "numba"), _CUPY),
    "row_group": (("numba",), _CUPY),
    "column_group": (("numba",), _CUPY),
    "mkl": (("sparse-dot-mkl", "mkl"), ()),
    "torch_csr": (("torch",), ("torch",)),
    "scipy_bsr": (("scipy",), ()),
    "nvmath": ((), (*_CUPY, "nvmath-python")),
}


def heading(run: Run, results: Iterable[Result], markdown: bool) -> str:
    """Name the device, and the packages whose contenders have a time, with their versions."""
    environment, contract = run.environment, run.contract
    threads, known = environment["threads"], environment["packages"]
    on_gpu = environment["device"] == "cuda"
    timed = {one.contender for one in results if one.timing}
    used = {package for name in timed for package in _ARITHMETIC.get(name, ((), ()))[on_gpu]}
    facts = [
        f"gpuprune {run.version}",
        environment["device_name"] + (f", {format_count(threads, 'thread')}" if threads else ""),
        *(f"{name} {version}" for name, version in known.items() if name in used),
        f"{contract.cache} caches",
    ]
    line = " · ".join(facts)
    return f"*{escape(line)}*" if markdown else line
