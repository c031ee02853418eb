"""ncu's binary reports, through the ncu-report package and through an ncu on the machine."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpuprune.errors import GpupruneError
from gpuprune.profiler.parse import as_json, read_report
from tests.profiler.reports import report

CAPTURES = Path(__file__).parent / "captures"
LOAD = "smsp__sass_average_data_bytes_per_sector_mem_global_op_ld"
KERNELS = [
    (
        "csrmm(const float *, int)",
        {
            "gpu__time_duration.sum": 7328.0,
            f"{LOAD}.pct": 62.5,
            "launch__grid_size": 64,
            "launch__device_id": 1,
            "launch__func_cache_config": "CachePreferNone",
            "device__attribute_display_name": "NVIDIA GeForce RTX 3090",
            "device__attribute_clock_rate": 1695000,
        },
    ),
    ("group_csr(const float *, int)", {"gpu__time_duration.sum": 1024.0, f"{LOAD}.ratio": 32.0}),
]


def write(path, content=None):
    path.write_bytes(report(KERNELS) if content is None else content)
    return path


def a_machine_with(monkeypatch, folder, *, package, ncu=None):
    """Hide what is installed, and put a program named ncu on PATH."""
    if not package:
        monkeypatch.setitem(sys.modules, "ncu_report", None)
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    if ncu is not None:
        program = bin_folder / "ncu"
        program.write_text(f"#!/bin/sh\n{ncu}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_HOME", raising=False)
    monkeypatch.delenv("CUDA_PATH", raising=False)


def test_a_report_is_read_with_the_package(tmp_path):
    pytest.importorskip("ncu_report")
    found = read_report(write(tmp_path / "any.name"))
    assert [
        {name: value for name, value in as_json(profile).items() if value is not None}
        for profile in found.kernels
    ] == [
        {
            "kernel": "csrmm(const float *, int)",
            "tool": "ncu",
            "device": "NVIDIA GeForce RTX 3090 (1)",
            "launch": 0,
            "gld_efficiency_pct": 62.5,
            "gld_definition": "ncu",
            "metrics": {
                "gpu__time_duration.sum": 7328.0,
                f"{LOAD}.pct": 62.5,
                "launch__grid_size": 64.0,
                "launch__device_id": 1.0,
            },
        },
        {
            "kernel": "group_csr(const float *, int)",
            "tool": "ncu",
            "launch": 1,
            "gld_efficiency_pct": 100.0,
            "gld_definition": "ncu",
            "metrics": {"gpu__time_duration.sum": 1024.0, f"{LOAD}.ratio": 32.0},
        },
    ]
    assert found.warnings == ()


def test_a_report_that_is_cut_off_yields_whole_kernels_and_a_warning(tmp_path):
    pytest.importorskip("ncu_report")
    content, whole = report(KERNELS), read_report(write(tmp_path / "whole")).kernels
    found = []
    for size in (*range(4, len(content), 61), len(content) - 1):
        try:
            cut = read_report(write(tmp_path / "cut", content[:size]))
        except GpupruneError:
            continue
        assert list(cut.kernels) == list(whole)[:1]
        assert cut.warnings == ("the report is cut off: its last, unfinished part was dropped",)
        found.append(size)
    assert found[-1] == len(content) - 1
    assert len(found) > 2


def test_a_report_is_read_with_the_ncu_of_the_machine(tmp_path, monkeypatch):
    page = shlex.quote(str(CAPTURES / "ncu_raw_blank_units.csv"))
    ncu = f'[ "$LC_NUMERIC$LC_ALL" = C ] && echo "$@" > {tmp_path}/seen && cat {page}'
    a_machine_with(monkeypatch, tmp_path, package=False, ncu=ncu)
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    path = write(tmp_path / "run.ncu-rep")
    assert read_report(path) == read_report(CAPTURES / "ncu_raw_blank_units.csv")
    seen = (tmp_path / "seen").read_text()
    assert seen == f"--import {path} --csv --page raw --print-units base\n"


def test_a_report_that_is_too_new_for_the_machines_ncu_says_so(tmp_path, monkeypatch):
    ncu = "echo \"==ERROR== Failed to load report file '$2'.\"; exit 1"
    a_machine_with(monkeypatch, tmp_path, package=False, ncu=ncu)
    path = write(tmp_path / "run.ncu-rep")
    with pytest.raises(GpupruneError, match=f"ncu could not read the report {path}") as caught:
        read_report(path)
    assert "pip install 'gpuprune[profiler]'" in caught.value.hint
    (log,) = re.findall(r"\S+\.log", str(caught.value))
    assert Path(log).read_text().startswith("==ERROR== Failed to load report file")


@pytest.mark.parametrize(
    ("ncu", "message"),
    [
        ("kill -9 $$", "was ended by SIGKILL while it read"),
        ("exit 0", "and printed nothing"),
        ("echo Segmentation fault; exit 139", "it ended with exit code 139"),
    ],
)
def test_an_ncu_that_fails_over_a_report_is_told_with_its_own_words(
    tmp_path, monkeypatch, ncu, message
):
    a_machine_with(monkeypatch, tmp_path, package=False, ncu=ncu)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = write(tmp_path / "run.ncu-rep")
    with pytest.raises(GpupruneError, match=message) as caught:
        read_report(path)
    kept = [Path(log).read_text() for log in re.findall(r"\S+\.log", str(caught.value))]
    assert kept == (["Segmentation fault\n"] if "echo" in ncu else [])
    assert "--upgrade" not in caught.value.hint


def test_an_ncu_that_hangs_is_ended(tmp_path, monkeypatch):
    a_machine_with(monkeypatch, tmp_path, package=False, ncu="sleep 60")
    monkeypatch.setattr("gpuprune.profiler.parse.ncu_rep.READ_TIMEOUT_S", 0.2)
    with pytest.raises(GpupruneError, match="did not read the report within"):
        read_report(write(tmp_path / "run.ncu-rep"))


def test_a_signal_while_an_ncu_starts_ends_it(tmp_path, monkeypatch, interrupted_start):
    a_machine_with(monkeypatch, tmp_path, package=False, ncu="exec sleep 600")
    with pytest.raises(KeyboardInterrupt):
        read_report(write(tmp_path / "run.ncu-rep"))
    assert [process.poll() for process in interrupted_start] == [-signal.SIGTERM]


def test_what_ends_the_reading_of_a_report_ends_its_ncu_too(tmp_path, monkeypatch):
    pipe, folder = tmp_path / "pipe", tmp_path / "work"
    os.mkfifo(pipe)
    folder.mkdir()
    a_machine_with(monkeypatch, tmp_path, package=True, ncu=f"exec sleep 60 > {pipe}")
    path = write(tmp_path / "run.ncu-rep")
    script = (
        "import sys; sys.modules['ncu_report'] = None\n"
        "from pathlib import Path; from gpuprune.profiler.parse import read_report\n"
        f"read_report(Path({str(path)!r}))"
    )
    environment = os.environ | {"TMPDIR": str(folder)}
    with subprocess.Popen([sys.executable, "-c", script], env=environment) as reading:
        held = pipe.open("rb")  # which waits for the ncu
        reading.terminate()
        assert reading.wait(30) == 128 + signal.SIGTERM
    with held:
        assert held.read() == b""  # nobody holds the other end any more
    assert list(folder.iterdir()) == []


def test_what_an_ncu_leaves_behind_is_ended(tmp_path, monkeypatch):
    page, pipe = shlex.quote(str(CAPTURES / "ncu_raw_blank_units.csv")), tmp_path / "pipe"
    os.mkfifo(pipe)
    ncu = f"sleep 60 > {pipe} & cat {page}"
    a_machine_with(monkeypatch, tmp_path, package=False, ncu=ncu)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    begun = time.monotonic()
    assert read_report(write(tmp_path / "run.ncu-rep")).kernels
    os.set_blocking(reading, True)
    assert os.read(reading, 1) == b""  # nobody holds the other end any more
    assert time.monotonic() - begun < 30
    os.close(reading)


def test_a_module_of_the_current_folder_does_not_stand_in_for_one_of_pythons(
    tmp_path, monkeypatch
):
    pytest.importorskip("ncu_report")
    (tmp_path / "json.py").write_text("raise SystemExit('of the user')\n")
    monkeypatch.chdir(tmp_path)
    found = read_report(write(tmp_path / "run.ncu-rep"))
    assert [one.kernel for one in found.kernels] == [name for name, _ in KERNELS]
    assert found.warnings == ()


def test_a_report_that_nothing_here_can_read_names_what_could(tmp_path, monkeypatch):
    a_machine_with(monkeypatch, tmp_path, package=False)
    monkeypatch.setattr("gpuprune.profiler.tools._PLACES", {"ncu": ()})
    path = write(tmp_path / "run.ncu-rep")
    with pytest.raises(GpupruneError) as caught:
        read_report(path)
    assert str(caught.value) == f"{path} is a report of ncu, and nothing here can read it"
    assert caught.value.hint == (
        "pip install 'gpuprune[profiler]', or install Nsight Compute, or give what "
        f"`ncu --import {path} --csv --page raw --print-units base` prints where one is"
    )


def test_a_report_over_which_the_package_ends_its_process_is_an_error(tmp_path, capfd):
    pytest.importorskip("ncu_report")
    content = bytearray(report(KERNELS))
    result = content.index(b"\x08\x01\x10\x01\x18\x01\x20\x01")  # behind its size
    content[result - 1] = 79  # the highest byte of the size
    with pytest.raises(GpupruneError, match="without a kernel that can be read here"):
        read_report(write(tmp_path / "run.ncu-rep", bytes(content)))
    assert capfd.readouterr() == ("", "")


def test_a_report_without_a_kernel_is_an_error(tmp_path):
    pytest.importorskip("ncu_report")
    path = write(tmp_path / "run.ncu-rep", report([]))
    with pytest.raises(GpupruneError, match="without a kernel that can be read here"):
        read_report(path)
