"""Where NVIDIA's command-line profilers and its sanitizer are installed."""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

_NAMES = {
    "ncu": ("ncu", "nv-nsight-cu-cli"),
    "nvprof": ("nvprof",),
    "compute-sanitizer": ("compute-sanitizer",),
}
_PLACES = {
    "ncu": (
        "usr/local/cuda*/bin/ncu",
        "usr/local/cuda-*/nsight-compute-*/ncu",
        "opt/nvidia/nsight-compute/*/ncu",
        "usr/local/NVIDIA-Nsight-Compute/ncu",
        "opt/cuda/nsight_compute/ncu",  # Arch
        "usr/lib/nsight-compute/ncu",  # Debian
    ),
    "nvprof": ("usr/local/cuda*/bin/nvprof", "opt/cuda/bin/nvprof"),
    "compute-sanitizer": (
        "usr/local/cuda*/bin/compute-sanitizer",
        "usr/local/cuda*/compute-sanitizer/compute-sanitizer",
        "opt/cuda/extras/compute-sanitizer/compute-sanitizer",  # Arch
    ),
}


def find_tool(
    tool: str, environ: Mapping[str, str] = os.environ, root: Path = Path("/")
) -> Path | None:
    """Find a tool of NVIDIA's: on PATH, in CUDA_HOME or CUDA_PATH, else the newest installed.

    Those known are "ncu", "nvprof" and "compute-sanitizer"; any other is a KeyError.
    """
    cuda_bins = (
        Path(environ[name], "bin") for name in ("CUDA_HOME", "CUDA_PATH") if environ.get(name)
    )
    for folders in (environ.get("PATH", ""), *map(str, cuda_bins)):
        for name in _NAMES[tool]:
            if folders and (found := shutil.which(name, path=folders)):
                return Path(found).absolute()
    installed = (path for place in _PLACES[tool] for path in root.glob(place))
    executable = (path for path in installed if os.access(path, os.X_OK) and path.is_file())
    return max(executable, key=_version, default=None)


def _version(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(path))]
