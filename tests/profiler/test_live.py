"""A sweep under a profiler: a small program plays ncu, the watched process is the real one."""

import json
import os
import re
import resource
import signal
import stat
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from gpuprune import contenders
from gpuprune.backends.fake import FakeBackend
from gpuprune.cli.profile import profile
from gpuprune.errors import GpupruneError
from gpuprune.profiler.command import Profiler
from gpuprune.profiler.keeping import keep_file
from gpuprune.profiler.live import estimate_s, profile_live
from gpuprune.profiler.parse import read_report
from gpuprune.profiler.target import Job, run
from gpuprune.records import Case

METRICS = (
    "smsp__sass_average_data_bytes_per_sector_mem_global_op_ld.pct",
    "smsp__sass_data_bytes_mem_global_op_ld.sum",
    "smsp__sass_l1tex_t_sectors_pipe_lsu_mem_global_op_ld.sum",
    "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum",
)
CASES = tuple(
    Case(rows=16, cols=24, batch=3, rate=rate, group=group)
    for group in (1, 8)
    for rate in (0.5, 0.9)
)
JOB = Job(tool="ncu", device="fake", contenders=("dense", "csr"), cases=CASES, cold=False)

# Plays ncu: "runs" the program, then writes a raw page as ncu 2024 does, one kernel a range, of
# which range n loads 4 (n + 1) of the 32 bytes of each sector.
NCU = """
    import json, os, pathlib, subprocess, sys
    arguments = sys.argv[1:]
    def after(option):
        return pathlib.Path(arguments[arguments.index(option) + 1])
    assert os.environ["LC_NUMERIC"] == "C" and "LC_ALL" not in os.environ
    log = after("--log-file")
    job_file = pathlib.Path(arguments[-1])
    if "--import" in arguments:
        job_file = pathlib.Path(after("--import").read_bytes()[4:].decode())
    job = json.loads(job_file.read_text())
    products = [(case, name) for case in job["cases"] for name in job["contenders"]]
    if "--import" not in arguments:
        if RUNS_PROGRAM:
            subprocess.run(arguments[arguments.index("base") + 1 :])
        else:
            told = ({"number": n, "variant": None, "reason": None} for n in range(len(products)))
            job_file.with_name("progress.jsonl").write_text(
                "".join(json.dumps(line) + chr(10) for line in told)
            )
    if "--export" in arguments:
        after("--export").write_bytes(b"NVR" + bytes(1) + str(job_file).encode())
        sys.exit(0)
    units = ["%" if metric.endswith("pct") else "byte" for metric in METRICS]
    page = [
        "==PROF== Connected to process 7 (python3)",
        '==PROF== Profiling "csrmm": 0%....100% - 1 pass',
        ",".join(f'"{cell}"' for cell in (
            "ID", "Process ID", "Process Name", "Host Name",
            "thread Domain:Push/Pop_Range:PL_Type:PL_Value:CLR_Type:Color:Msg_Type:Msg",
            "Id:Domain:Start/Stop_Range:PL_Type:PL_Value:CLR_Type:Color:Msg_Type:Msg",
            "Kernel Name", "Context", "Stream", "Block Size", "Grid Size", "Device", "CC",
            *METRICS)),
        ",".join(f'"{cell}"' for cell in (*[""] * 13, *units)),
    ]
    def row(launch, number, kernel, *more):
        case, contender = products[number]
        name = f"gpuprune {number} rate={case['rate']:g} group={case['group']} {contender}"
        nvtx = f'7  ""<default domain>:{name}:none:none:none:none:ASCII:{name}"" '
        values = (12.5 * (number + 1), 400 * (number + 1), 100, 125, *more)
        cells = [launch, 7, "python3", "127.0.0.1", nvtx, "", kernel, 1, 13, "(256, 1, 1)",
                 "(64, 1, 1)", 0, "8.0", *values]
        page.append(",".join(f'"{cell}"' for cell in cells))
    def finish(code=0):
        log.write_text(chr(10).join(page) + chr(10))
        sys.exit(code)
"""
KILLED = (
    "log.write_text(chr(10).join(page) + chr(10)); import signal; "
    "os.kill(os.getpid(), signal.SIGKILL)"
)
EVERY_RANGE = """
    for number in range(len(products)):
        row(number, number, "void cusparse::csrmm<float, (int)8>(a, b)")
    finish()
"""


@pytest.fixture
def play(tmp_path):
    """Make a program that plays a profiler."""

    def write(*parts, tool="ncu", metrics=METRICS, runs_program=False):
        path = tmp_path / tool
        head = f"#!{sys.executable}\nMETRICS = {metrics!r}\nRUNS_PROGRAM = {runs_program}\n"
        path.write_text(head + "".join(textwrap.dedent(part) for part in parts))
        path.chmod(0o755)
        return Profiler(tool=tool, path=path)

    return write


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where temporary folders and logs go."""
    path = tmp_path / "tmp"
    path.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(path))
    return path


def test_every_kernel_is_told_to_its_case_and_contender(play, folder):
    done = []
    profiler = play(NCU, EVERY_RANGE, runs_program=True)
    capture = profile_live(JOB, profiler, METRICS, advance=done.append)
    assert [
        (
            one.case,
            one.contender,
            one.profile.launch,
            one.profile.gld_efficiency_pct,
            one.coverage_pct,
        )
        for one in capture.launches
    ] == [
        (case, name, number, 12.5 * (number + 1), 80.0)
        for number, (case, name) in enumerate((c, n) for c in CASES for n in JOB.contenders)
    ]
    variants = {one.contender: one.variant for one in capture.launches}
    assert variants["csr"] != variants["dense"]  # what bench would time
    assert capture.warnings == ()
    assert done[-1] == 8
    assert list(folder.iterdir()) == []


def test_several_kernels_of_a_product_belong_to_its_range(play):
    body = """
        row(0, 3, "partition_kernel")
        row(1, 3, "csrmm_alg2_kernel")
        finish()
    """
    capture = profile_live(JOB, play(NCU, body), METRICS)
    assert [(one.profile.kernel, one.contender, one.case.rate) for one in capture.launches] == [
        ("partition_kernel", "csr", 0.9),
        ("csrmm_alg2_kernel", "csr", 0.9),
    ]
    assert capture.warnings == (
        "dense (4 of the cases): launched no profiled kernel",
        "csr (3 of the cases): launched no profiled kernel",
    )


def test_cp_async_counts_into_the_efficiency_where_it_is_counted(play):
    more = (
        "smsp__sass_data_bytes_mem_global_op_ldgsts.sum",
        "smsp__sass_l1tex_t_sectors_pipe_lsu_mem_global_op_ldgsts.sum",
    )
    profiler = play(NCU, "\nrow(0, 0, 'sgemm', 800, 25)\nfinish()\n", metrics=METRICS + more)
    capture = profile_live(JOB, profiler, METRICS + more)
    (one,) = capture.launches
    assert one.profile.gld_efficiency_pct == pytest.approx(100 * 1200 / (32 * 125))
    assert one.coverage_pct == pytest.approx(100.0)


def test_contender_that_declines_is_a_warning(play):
    job = Job(
        tool="ncu", device="fake", contenders=("dense_tf32", "dense"), cases=CASES[:2], cold=False
    )
    capture = profile_live(
        job, play(NCU, EVERY_RANGE.replace("len(products)", "1, 4, 2")), METRICS
    )
    assert [one.contender for one in capture.launches] == ["dense", "dense"]
    (warning,) = capture.warnings
    assert warning.startswith("dense_tf32 (2 of the cases): ")


@pytest.mark.parametrize(
    ("words", "end", "message", "advice"),
    [
        (
            "==ERROR== The application returned an error code (9).",
            "finish(9)",
            "the profiled program failed with exit code 9",
            "then again: gpuprune profile --shape 16x24x3",
        ),
        (
            "==ERROR== ERR_NVGPUCTRPERM - The user does not have permission",
            "finish(0)",
            "ERR_NVGPUCTRPERM",
            "sudo -E gpuprune profile --shape 16x24x3",
        ),
        ("", "finish(7)", "ncu ended with exit code 7", "gpuprune profile --shape 16x24x3"),
        ("", KILLED, "ncu was ended by SIGKILL", "then again: gpuprune profile --shape 16x24x3"),
    ],
)
def test_what_a_run_gave_before_it_broke_off_is_kept_beside_the_failure(
    play, folder, tmp_path, words, end, message, advice
):
    body = f"""
        row(0, 0, "sgemm")
        page.extend({words.splitlines()!r})
        {end}
    """
    keep = tmp_path / "kept.csv"
    asked = ["gpuprune", "profile", "--shape", "16x24x3"]
    capture = profile_live(JOB, play(NCU, body), METRICS, asked=asked, keep=keep)
    assert len(capture.launches) == 1
    assert message in str(capture.failure)
    assert "1 of the products were profiled" in str(capture.failure)
    assert advice in capture.failure.hint
    (log,) = folder.iterdir()
    assert str(log) in str(capture.failure)
    assert words in log.read_text()
    assert len(read_report(keep).kernels) == 1


def test_profiler_that_is_killed_and_said_nothing_names_no_file(play, folder):
    body = "\nimport os, signal; os.kill(os.getpid(), signal.SIGKILL)\n"
    with pytest.raises(GpupruneError, match="ncu was ended by SIGKILL; it printed nothing"):
        profile_live(JOB, play(body), METRICS)
    assert list(folder.iterdir()) == []


def test_kernels_outside_of_all_ranges_are_told_and_kept(play, tmp_path):
    body = """
        row(0, 0, "sgemm")
        page[:] = [line.replace("gpuprune ", "other ") for line in page]
        finish()
    """
    keep = tmp_path / "kept.csv"
    with pytest.raises(GpupruneError, match="profiled 1 kernels, but none of them in the range"):
        profile_live(JOB, play(NCU, body), METRICS, keep=keep)
    assert len(read_report(keep).kernels) == 1


@pytest.mark.parametrize(
    "words",
    [
        "==WARNING== No kernels were profiled.\nAvailable Kernels:\n1. csrmm",
        "==WARNING== Profiling kernels requires the --target-processes all option.",
        "==WARNING== No kernels were profiled.",
        "==7== Warning: One or more events or metrics overflowed.",
    ],
)
def test_advice_of_a_live_run_names_no_option_of_the_profilers(play, words):
    with pytest.raises(GpupruneError) as raised:
        profile_live(JOB, play(NCU, f"\npage[:] = {words.splitlines()!r}\nfinish()\n"), METRICS)
    own = {name for option in profile.params for name in option.opts}
    assert set(re.findall(r"--[a-z-]+", raised.value.hint)) <= own


def test_sigterm_ends_the_profiler_and_removes_the_folder(tmp_path):
    pid = tmp_path / "pid"
    ncu = tmp_path / "ncu"
    ncu.write_text(
        f"#!{sys.executable}\nimport os, pathlib, time\n"
        f"pathlib.Path({str(pid)!r}).write_text(str(os.getpid()))\ntime.sleep(600)\n"
    )
    ncu.chmod(0o755)
    folder = tmp_path / "work"
    folder.mkdir()
    script = f"""
        from pathlib import Path
        from gpuprune.profiler.command import Profiler
        from gpuprune.profiler.live import profile_live
        from gpuprune.profiler.target import Job
        job = Job(tool="ncu", device="fake", contenders=(), cases=(), cold=False)
        profile_live(job, Profiler(tool="ncu", path=Path({str(ncu)!r})), ("a",))
    """
    environment = os.environ | {"TMPDIR": str(folder)}
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], env=environment
    ) as program:
        _wait_for(lambda: pid.exists() and pid.read_text())
        program.terminate()
        assert program.wait(30) == 128 + signal.SIGTERM
    _wait_for(lambda: not _runs(int(pid.read_text())))
    assert list(folder.iterdir()) == []


def test_nvprof_knows_ranges_by_the_kernels_that_mark_them(play):
    header = [
        *("Device", "Context", "Stream", "Kernel"),
        "gld_efficiency (Global Memory Load Efficiency)",
    ]
    body = f"""
        import pathlib, sys
        log = pathlib.Path(sys.argv[sys.argv.index("--log-file") + 1])
        rows = [("gpuprune_range_0 [1]", 0.0), ("sgemm [2]", 80.0),
                ("gpuprune_range_3 [3]", 0.0), ("csrmm [4]", 67.5), ("csrmm_end [5]", 200.0)]
        lines = ["==7== NVPROF is profiling process 7", "==7== Profiling result:",
                 ",".join(f'"{{cell}}"' for cell in {header!r}), ",,,,%"]
        lines += [f'"GTX 950M (0)","1","7","{{name}}",{{value:f}}' for name, value in rows]
        log.write_text("\\n".join(lines) + "\\n")
    """
    job = Job(tool="nvprof", device="fake", contenders=("dense", "csr"), cases=CASES, cold=False)
    capture = profile_live(job, play(body, tool="nvprof"), ("gld_efficiency",))
    assert [
        (one.profile.kernel, one.contender, one.case.rate, one.profile.gld_efficiency_pct)
        for one in capture.launches
    ] == [
        ("sgemm", "dense", 0.5, 80.0),
        ("csrmm", "csr", 0.9, 67.5),
        ("csrmm_end", "csr", 0.9, 200.0),
    ]
    assert {one.profile.gld_definition for one in capture.launches} == {"nvprof"}


@pytest.mark.parametrize(
    ("words", "code", "message", "advice"),
    [
        (
            "==ERROR== ERR_NVGPUCTRPERM - The user does not have permission to access NVIDIA GPU "
            "Performance Counters on the target device 0.\n==WARNING== No kernels were profiled.",
            0,
            "ERR_NVGPUCTRPERM",
            "NVreg_RestrictProfilingToAdminUsers=0",
        ),
        (
            "==WARNING== No kernels were profiled.\nAvailable Kernels:\n1. sgemm\n2. csrmm",
            0,
            "1. sgemm 2. csrmm",
            "another version of it: gpuprune profile --profiler PATH",
        ),
        (
            "==ERROR== Profiling failed because a driver resource was unavailable. Ensure that no "
            "other tool (like DCGM) is concurrently collecting profiling data.",
            1,
            "another tool",
            "dcgmi profile --pause",
        ),
        ("==ERROR== Failed to find metric regex:^bad$", 1, "no metric", "--query-metrics"),
        ("==ERROR== Cuda driver is not compatible with Nsight Compute.", 1, "too old", "driver"),
        ("==ERROR== LibraryNotLoaded", 1, "LibraryNotLoaded", "older than the driver"),
        ("nothing that anybody knows", 3, "gave no kernel", "--predict"),
    ],
)
def test_errors_become_advice_and_name_the_profilers_words(
    play, folder, words, code, message, advice
):
    body = f"""
        page[:] = {words.splitlines()!r}
        finish({code})
    """
    profiler = play(NCU, body)
    with pytest.raises(GpupruneError) as raised:
        profile_live(JOB, profiler, METRICS)
    assert message in str(raised.value)
    assert advice in raised.value.hint
    (log,) = folder.iterdir()
    assert str(log) in str(raised.value)
    assert log.read_text().startswith(words)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_advice_repeats_the_command_of_the_user(play):
    profiler = play(NCU, "\npage[:] = ['==ERROR== ERR_NVGPUCTRPERM - The user']\nfinish()\n")
    asked = ["/usr/bin/python", "-m", "gpuprune", "profile", "--shape", "8x8x8"]
    with pytest.raises(GpupruneError) as raised:
        profile_live(JOB, profiler, METRICS, asked=asked)
    assert "/usr/bin/python -m gpuprune profile --shape 8x8x8" in raised.value.hint


def test_what_the_watched_process_says_comes_before_guesses(play):
    job = Job(tool="ncu", device="cuda:7", contenders=("dense",), cases=CASES, cold=False)
    with pytest.raises(GpupruneError, match="no NVIDIA driver"):
        profile_live(job, play(NCU, "\npage[:] = []\nfinish(1)\n", runs_program=True), METRICS)


def test_profiler_that_hangs_is_ended_with_its_children(play, tmp_path):
    children = tmp_path / "children"
    body = f"""
        import os, pathlib, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        pathlib.Path({str(children)!r}).write_text(f"{{os.getpid()}} {{child.pid}}")
        time.sleep(600)
    """
    start = time.monotonic()
    with pytest.raises(GpupruneError, match="made no progress and was ended"):
        profile_live(JOB, play(body), METRICS, stall_s=1.0)
    assert time.monotonic() - start < 20
    for pid in children.read_text().split():
        _wait_for(lambda pid=pid: not _runs(int(pid)))  # who is killed still has to die


def test_profiler_that_cannot_start_is_an_error(tmp_path):
    path = tmp_path / "ncu"
    path.write_bytes(b"\x7fELF no program")
    path.chmod(0o755)
    with pytest.raises(GpupruneError, match="cannot start"):
        profile_live(JOB, Profiler(tool="ncu", path=path), METRICS)


def test_kept_table_reads_again(play, tmp_path):
    keep = tmp_path / "kept.csv"
    capture = profile_live(JOB, play(NCU, EVERY_RANGE), METRICS, keep=keep)
    assert len(read_report(keep).kernels) == len(capture.launches)


def test_kept_report_is_ncus_own_and_imported_once(play, tmp_path):
    keep = tmp_path / "kept.ncu-rep"
    capture = profile_live(JOB, play(NCU, EVERY_RANGE), METRICS, keep=keep)
    assert len(capture.launches) == 8
    assert keep.read_bytes().startswith(b"NVR\0")


@pytest.mark.parametrize(
    ("name", "tool", "words"),
    [
        ("there.csv", "ncu", "is there already"),
        ("missing/kept.csv", "ncu", "there is no directory"),
        ("there.csv/kept.csv", "ncu", "there is no directory"),
        ("dangling.csv", "ncu", "is no regular file"),
        ("tmp", "ncu", "is no regular file"),
        ("k" * 300, "ncu", "File name too long"),
        ("kept.ncu-rep", "nvprof", "nvprof writes no .ncu-rep"),
    ],
)
def test_file_that_cannot_be_kept_is_refused_before_anything_runs(
    play, tmp_path, name, tool, words
):
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "dangling.csv").symlink_to("nowhere")
    with pytest.raises(GpupruneError, match=words):
        profile_live(JOB, play("raise SystemExit(9)", tool=tool), METRICS, keep=tmp_path / name)
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_file_that_appears_during_the_run_is_not_written_over(play, folder, tmp_path):
    keep = tmp_path / "kept.csv"
    body = f"""
        pathlib.Path({str(keep)!r}).write_text("somebody's")
    """
    capture = profile_live(JOB, play(NCU, body, EVERY_RANGE), METRICS, keep=keep)
    assert keep.read_text() == "somebody's"
    assert len(capture.launches) == 8
    (saved,) = folder.iterdir()
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert len(read_report(saved).kernels) == 8
    assert str(capture.failure) == (
        f"cannot write {keep}: File exists; the profiler's file is {saved}"
    )


def test_disk_that_fills_up_costs_neither_the_results_nor_the_profilers_file(
    play, folder, tmp_path, monkeypatch
):
    keep = tmp_path / "kept.csv"
    profiler = play(NCU, EVERY_RANGE)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr("gpuprune.profiler.live.keep_file", _with_little_room(keep_file))
    capture = profile_live(JOB, profiler, METRICS, keep=keep)
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == before
    assert len(capture.launches) == 8
    assert not keep.exists()
    (saved,) = folder.iterdir()
    assert len(read_report(saved).kernels) == 8
    assert str(capture.failure) == (
        f"cannot write {keep}: the limit on the size of a file is reached; "
        f"the profiler's file is {saved}"
    )


def test_run_that_broke_off_and_cannot_be_kept_says_both(play, tmp_path):
    keep = tmp_path / "kept.csv"
    body = f"""
        pathlib.Path({str(keep)!r}).write_text("somebody's")
        row(0, 0, "csrmm")
        finish(9)
    """
    capture = profile_live(JOB, play(NCU, body), METRICS, keep=keep)
    assert capture.failure is not None
    assert "ncu ended with exit code 9" in str(capture.failure)
    assert f"cannot write {keep}: File exists" in str(capture.failure)


def test_work_lies_in_a_folder_that_only_this_user_enters(play, tmp_path):
    seen = tmp_path / "mode"
    body = f"""
        pathlib.Path({str(seen)!r}).write_text(str(log.parent.stat().st_mode))
    """
    profile_live(JOB, play(NCU, body, EVERY_RANGE), METRICS)
    assert stat.S_IMODE(int(seen.read_text())) == 0o700


def test_one_product_lies_in_each_range_and_everything_else_outside():
    events = []

    @contextmanager
    def watch(product):
        events.append(("start", product.name))
        yield
        events.append(("stop", product.name))

    class Backend(FakeBackend):
        def synchronize(self):
            events.append("synchronize")

    told = []
    job = Job(
        tool="ncu", device="fake", contenders=("dense", "missing"), cases=CASES[:1], cold=True
    )
    run(job, Backend(), watch, told.append)
    name = "gpuprune 0 rate=0.5 group=1 dense"
    assert events == ["synchronize", ("start", name), "synchronize", ("stop", name)]
    assert told == [
        {"number": 0, "variant": None, "reason": None},
        {
            "number": 1,
            "variant": None,
            "reason": "ModuleNotFoundError: No module named 'gpuprune.contenders.missing'",
        },
    ]


@pytest.mark.parametrize(
    "end", ["raise NotApplicable('no')", "raise ValueError('no')", "return []"]
)
def test_who_changes_the_weights_in_its_range_changes_them_for_nobody_else(
    monkeypatch, tmp_path, end
):
    head = "from gpuprune.contenders import NotApplicable\ndef prepare(problem, backend):\n"
    (tmp_path / "spoils.py").write_text(f"{head}    problem.weights[...] = 7\n    {end}")
    looks = "raise NotApplicable(f'{(problem.weights == 7).sum()} changed')"
    (tmp_path / "looks.py").write_text(f"{head}    {looks}")
    monkeypatch.setattr(contenders, "__path__", [*contenders.__path__, str(tmp_path)])
    told = []
    job = Job(
        tool="ncu", device="fake", contenders=("spoils", "looks"), cases=CASES[:1], cold=True
    )
    run(job, FakeBackend(), lambda product: nullcontext(), told.append)
    assert told[1] == {"number": 1, "variant": None, "reason": "0 changed"}
    for name in job.contenders:
        sys.modules.pop(f"gpuprune.contenders.{name}")


def test_job_survives_its_file():
    assert Job.from_json(JOB.to_json()) == JOB
    assert json.loads(JOB.to_json())["cases"][0]["rate"] == 0.5


def test_time_is_estimated_by_the_number_of_products():
    more = Job(
        tool="ncu",
        device="fake",
        contenders=("dense", "csr", "row_group"),
        cases=CASES,
        cold=False,
    )
    assert estimate_s(more) > estimate_s(JOB) > 0


def _with_little_room(function):
    def limited(*arguments):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        try:
            return function(*arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


def _wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def _runs(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    os.kill(pid, 0)
    return state != "Z"
