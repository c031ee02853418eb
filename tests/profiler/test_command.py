"""How profilers are found and started; nothing here needs a GPU."""

import os
import sys
from pathlib import Path

import pytest

from gpuprune.errors import GpupruneError
from gpuprune.profiler.command import (
    Profiler,
    choose_metrics,
    environment,
    find_profiler,
    import_command,
    profile_command,
    require_permission,
)

NCU = Profiler(tool="ncu", path=Path("/opt/ncu"))
NVPROF = Profiler(tool="nvprof", path=Path("/opt/nvprof"))

LDG = "smsp__sass_data_bytes_mem_global_op_ld.sum"
LDGSTS = "smsp__sass_data_bytes_mem_global_op_ldgsts.sum"
TMA = "smsp__inst_executed_op_tma_ld.sum"


def program_at(path, text="exit 0"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_profiler_is_asked_for_by_its_name_on_path(monkeypatch, tmp_path):
    program = program_at(tmp_path / "bin" / "ncu")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert find_profiler((8, 0), Path("ncu")) == Profiler(tool="ncu", path=program)


@pytest.fixture
def nothing_installed(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "glob", lambda *_: [])  # the machine's own CUDA
    return tmp_path


@pytest.mark.parametrize(
    ("capability", "tool"),
    [((5, 0), "nvprof"), ((6, 1), "nvprof"), ((7, 0), "ncu"), ((9, 0), "ncu")],
)
def test_gpu_decides_between_nvprof_and_ncu(nothing_installed, capability, tool):
    path = program_at(nothing_installed / "bin" / tool)
    assert find_profiler(capability) == Profiler(tool=tool, path=path)


def test_cuda_home_is_looked_at(nothing_installed, monkeypatch):
    path = program_at(nothing_installed / "cuda" / "bin" / "ncu")
    monkeypatch.setenv("CUDA_HOME", str(nothing_installed / "cuda"))
    assert find_profiler((8, 0)).path == path


def test_profiler_asked_for_is_taken_by_its_absolute_path(tmp_path, monkeypatch):
    program_at(tmp_path / "nvprof-12")
    monkeypatch.chdir(tmp_path)
    found = find_profiler((8, 0), Path("nvprof-12"))
    assert found == Profiler(tool="nvprof", path=tmp_path / "nvprof-12")


@pytest.mark.parametrize("what", ["missing", "folder", "text"])
def test_profiler_that_cannot_run_is_refused(tmp_path, what):
    path = tmp_path / what
    if what == "folder":
        path.mkdir()
    if what == "text":
        path.write_text("no program")
    with pytest.raises(GpupruneError, match=what) as raised:
        find_profiler((8, 0), path)
    assert "/usr/local/cuda/bin/ncu" in raised.value.hint


@pytest.mark.parametrize(
    ("capability", "tool", "advice"),
    [((8, 0), "ncu", "apt install nsight-compute"), ((5, 0), "nvprof", "CUDA 12.9 or earlier")],
)
def test_missing_profiler_names_the_package_and_the_way_without(
    nothing_installed, capability, tool, advice
):
    with pytest.raises(GpupruneError, match=f"there is no {tool} on PATH") as raised:
        find_profiler(capability)
    for words in (advice, "--profiler PATH", "--predict"):
        assert words in raised.value.hint


@pytest.mark.parametrize(
    ("capability", "has_ldgsts"),
    [((7, 0), False), ((7, 5), False), ((8, 0), True), ((8, 9), True)],
)
def test_metrics_follow_the_compute_capability(capability, has_ldgsts):
    metrics = choose_metrics(NCU, capability)
    assert LDG in metrics
    assert (LDGSTS in metrics) is has_ldgsts
    assert TMA not in metrics
    assert "gpu__time_duration.sum" not in metrics  # no time comes from a profiled run


def test_ncu_is_asked_what_it_knows_of_new_chips(tmp_path):
    lines = ["Device NVIDIA B200 (gb100)", "dram__bytes_op_read  Counter byte  # of bytes"]
    lines += [f"{name.partition('.')[0]}   Counter" for name in (LDGSTS, TMA)]
    ncu = program_at(
        tmp_path / "ncu", f'[ "$*" = --query-metrics ] && echo "{chr(10).join(lines)}"'
    )
    metrics = choose_metrics(Profiler(tool="ncu", path=ncu), (10, 0))
    assert {LDG, LDGSTS, TMA, "dram__bytes_op_read.sum"} <= set(metrics)
    assert "dram__bytes_read.sum" not in metrics


def test_ncu_that_does_not_answer_is_asked_for_what_all_chips_have(tmp_path):
    ncu = program_at(tmp_path / "ncu", "echo '==ERROR== Driver could not be loaded.'; exit 255")
    assert set(choose_metrics(Profiler(tool="ncu", path=ncu), (12, 0))) == {
        *choose_metrics(NCU, (7, 0))
    } - {"dram__bytes_read.sum"}


def test_ncu_profiles_marked_ranges_and_leaves_clocks_and_caches_alone():
    argv = profile_command(NCU, ("a.sum", "b.pct"), ["python", "-m", "x"], Path("/t/log"))
    assert argv == [
        *("/opt/ncu", "--target-processes", "all", "--profile-from-start", "off"),
        *("--replay-mode", "kernel", "--cache-control", "none", "--clock-control", "none"),
        *("--nvtx", "--metrics", "a.sum,b.pct", "--log-file", "/t/log"),
        *("--csv", "--page", "raw", "--print-units", "base", "python", "-m", "x"),
    ]


def test_ncu_empties_the_caches_before_each_kernel_where_cold_ones_are_asked_for():
    common = (NCU, ("a.sum",), ["python"], Path("/t/log"))
    warm, cold = (profile_command(*common, flush=flush) for flush in (False, True))
    at = warm.index("--cache-control") + 1
    assert [cold[at], *cold[:at], *cold[at + 1 :]] == ["all", *warm[:at], *warm[at + 1 :]]


def test_ncu_writes_its_own_report_where_that_is_kept():
    argv = profile_command(NCU, ("a.sum",), ["python"], Path("/t/log"), Path("/t/r.ncu-rep"))
    assert argv[-4:] == ["--force-overwrite", "--export", "/t/r.ncu-rep", "python"]
    assert "--csv" not in argv
    assert import_command(NCU, Path("/t/r.ncu-rep"), Path("/t/log")) == [
        *("/opt/ncu", "--import", "/t/r.ncu-rep"),
        *("--csv", "--page", "raw", "--print-units", "base", "--log-file", "/t/log"),
    ]


def test_nvprof_traces_launch_by_launch():
    assert profile_command(NVPROF, ("gld_efficiency",), ["python"], Path("/t/log")) == [
        *("/opt/nvprof", "--profile-from-start", "off", "--unified-memory-profiling", "off"),
        *("--print-gpu-trace", "--csv", "--metrics", "gld_efficiency"),
        *("--log-file", "/t/log", "python"),
    ]


def test_numbers_are_written_plainly_in_any_locale():
    german = {"LC_ALL": "de_DE.UTF-8", "LC_NUMERIC": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"}
    assert environment(german) == {
        "LANG": "de_DE.UTF-8",
        "LC_CTYPE": "de_DE.UTF-8",
        "LC_NUMERIC": "C",
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
    }


@pytest.fixture
def driver(tmp_path):
    """Files that stand for what the driver and the kernel say."""

    def files(admin_only, capabilities):
        params, status = tmp_path / "params", tmp_path / "status"
        params.write_text(f"ResmanDebugLevel: 4294967295\nRmProfilingAdminOnly: {admin_only}\n")
        status.write_text(f"Name:\tpython\nCapEff:\t{capabilities:016x}\n")
        return params, status

    return files


@pytest.mark.parametrize(
    ("admin_only", "capabilities"), [(0, 0), (1, 1 << 21), (1, 1 << 38), (1, (1 << 41) - 1)]
)
def test_permission_is_seen_before_anything_runs(driver, admin_only, capabilities):
    require_permission(["/opt/ncu"], *driver(admin_only, capabilities))


def test_missing_permission_is_told_with_every_way_to_get_it(driver):
    with pytest.raises(GpupruneError, match="RmProfilingAdminOnly is 1") as raised:
        require_permission(["/opt/ncu", "--metrics", "a b"], *driver(1, 0xA80425FB))
    for words in (
        "/opt/ncu --metrics 'a b'",
        "NVreg_RestrictProfilingToAdminUsers=0",
        "--cap-add=SYS_ADMIN",
    ):
        assert words in raised.value.hint


def test_machine_that_does_not_say_is_given_the_chance(tmp_path):
    require_permission(["/opt/ncu"], tmp_path / "params", tmp_path / "status")


def test_command_holds_nothing_that_raises_privileges():
    for profiler in (NCU, NVPROF):
        argv = profile_command(
            profiler, choose_metrics(profiler, (8, 0)), ["python"], Path("/t/log")
        )
        assert "sudo" not in " ".join(argv)
        assert Path(argv[0]).is_absolute()
