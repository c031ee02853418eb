"""Where the profilers and the sanitizer are looked for."""

from gpuprune.profiler.tools import find_tool


def install(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o755)
    return path


def test_a_tool_on_path_comes_first(tmp_path):
    found = install(tmp_path / "bin/ncu")
    install(tmp_path / "cuda/bin/ncu")
    install(tmp_path / "usr/lib/nsight-compute/ncu")
    environ = {"PATH": f"/nowhere:{found.parent}", "CUDA_HOME": str(tmp_path / "cuda")}
    assert find_tool("ncu", environ, tmp_path) == found


def test_a_tool_of_cuda_home_comes_before_the_installed_ones(tmp_path):
    found = install(tmp_path / "cuda/bin/nvprof")
    install(tmp_path / "usr/local/cuda-11.8/bin/nvprof")
    environ = {"PATH": "", "CUDA_HOME": str(tmp_path / "cuda")}
    assert find_tool("nvprof", environ, tmp_path) == found


def test_the_old_name_of_ncu_is_known(tmp_path):
    found = install(tmp_path / "bin/nv-nsight-cu-cli")
    assert find_tool("ncu", {"PATH": str(found.parent)}, tmp_path) == found


def test_the_newest_installed_tool_is_taken(tmp_path):
    for version in ("2024.1.1", "2023.3.0", "2024.10.0"):
        install(tmp_path / f"opt/nvidia/nsight-compute/{version}/ncu")
    (tmp_path / "opt/nvidia/nsight-compute/2024.10.0/ncu").chmod(0o644)
    found = find_tool("ncu", {}, tmp_path)
    assert found == tmp_path / "opt/nvidia/nsight-compute/2024.1.1/ncu"


def test_the_sanitizer_is_found_in_a_toolkit(tmp_path):
    found = install(tmp_path / "usr/local/cuda-13.0/bin/compute-sanitizer")
    assert find_tool("compute-sanitizer", {}, tmp_path) == found


def test_no_tool_is_no_error(tmp_path):
    assert find_tool("nvprof", {"PATH": str(tmp_path)}, tmp_path) is None
