"""The errors of ncu and nvprof in a captured log: each its own sentence, each its own advice."""

import shlex

import pytest

from gpuprune.errors import GpupruneError
from gpuprune.profiler.errors import complaints, diagnose
from gpuprune.profiler.parse import collect_command, read_report

PERMISSION = (
    "==ERROR== ERR_NVGPUCTRPERM - The user does not have permission to access NVIDIA GPU "
    "Performance Counters on the target device 0. For instructions on enabling permissions and "
    "to get more information see https://developer.nvidia.com/ERR_NVGPUCTRPERM"
)
NOT_PERMITTED = "the profiler may not read the GPU's performance counters (ERR_NVGPUCTRPERM)"
NOTHING = "==WARNING== No kernels were profiled."
FAILED = "the profiler failed while it profiled a kernel"
TOO_NEW = "nvprof does not know this GPU: it is too new"
NO_DRIVER = "the profiler found no CUDA driver here"

CASES = [
    (PERMISSION, NOT_PERMITTED, "sudo -E /opt/ncu --csv ./spmm"),
    (PERMISSION, NOT_PERMITTED, "CAP_SYS_ADMIN"),
    (PERMISSION, NOT_PERMITTED, "options nvidia NVreg_RestrictProfilingToAdminUsers=0"),
    (PERMISSION, NOT_PERMITTED, "/proc/driver/nvidia/params"),
    (PERMISSION, NOT_PERMITTED, "--cap-add=SYS_ADMIN"),
    (f"==PROF== Connected\n{PERMISSION}\n0.42\n{NOTHING}", NOT_PERMITTED, "sudo"),
    (PERMISSION.replace("==ERROR== ", "==ERROR== Error: "), NOT_PERMITTED, "sudo"),
    (
        "==12== Warning: ERR_NVGPUCTRPERM - The user does not have permission to profile on the "
        "target device.",
        NOT_PERMITTED,
        "sudo",
    ),
    (
        "==ERROR== The user does not have permission to access NVIDIA GPU Performance Counters "
        "on the target vGPU device 3.",
        "the profiler may not read the performance counters of vGPU device 3",
        "administrator",
    ),
    (
        "==ERROR== Profiling failed because a driver resource was unavailable. Ensure that no "
        "other tool (like DCGM) is concurrently collecting profiling data, or the user does not "
        "have permission to profile.",
        "another tool is using the GPU's performance counters",
        "dcgmi profile --pause",
    ),
    (
        "======== Warning: nvprof is not supported on devices with compute capability 8.0 and "
        "higher.\n                  Use NVIDIA Nsight Systems for GPU tracing",
        TOO_NEW,
        "ncu",
    ),
    (
        "==12== Warning: Skipping profiling on device 0 since profiling is not supported on "
        "devices with compute capability 7.5 and higher.\n==12== No events/metrics were profiled.",
        TOO_NEW,
        "ncu",
    ),
    (
        "==ERROR== Profiling is not supported on device 0. To find out supported GPUs refer "
        "--list-chips option.",
        "ncu cannot profile device 0",
        "ncu --list-chips",
    ),
    (
        "==ERROR== Profiling is not supported on device 0 as it uses the Windows Subsystem for "
        "Linux (WSL). Refer to ...",
        "ncu cannot profile device 0 under this Windows Subsystem for Linux (WSL)",
        "under WSL 2",
    ),
    (
        "==ERROR== An error was reported by the driver:\n"
        "==ERROR== Cuda driver is not compatible with Nsight Compute.",
        "the driver is too old for this ncu",
        "update the NVIDIA driver",
    ),
    (
        "==ERROR== The application returned an error code (1).\n"
        f"{NOTHING}\n==ERROR== Nsight Compute failed to connect to the CUDA driver (stub "
        "libcuda.so[.1] on path?).",
        NO_DRIVER,
        "--predict",
    ),
    ("======== Error: internal error.", NO_DRIVER, "nvidia-smi"),
    (
        "==ERROR== Failed to open/create lock file /tmp/nsight-compute-lock. Please check ...",
        "another user's profiler holds the lock file /tmp/nsight-compute-lock",
        "TMPDIR",
    ),
    (
        "======== Error: Another nvprof instance is already running.",
        "another nvprof is already running",
        "wait",
    ),
    (
        r"==ERROR== Failed to find metric regex:^bad(\.(sum|avg))?$",
        r"this ncu has no metric regex:^bad(\.(sum|avg))?$ for this GPU",
        "ncu --query-metrics --chips",
    ),
    (
        "==WARNING== No metrics to collect found in sections.",
        "ncu found no metric in the sections asked for",
        "ncu --list-sections",
    ),
    (
        "==ERROR== Failed to load report file '/tmp/a b.ncu-rep'.",
        "ncu could not read the report /tmp/a b.ncu-rep",
        "pip install 'gpuprune[profiler]'",
    ),
    (
        "==ERROR== unrecognised option '--nonsense'. Use --help for further details.",
        "the profiler does not know the option --nonsense",
        "--help",
    ),
    (
        "==ERROR== './spmm' does not exist or is not an executable. Please make sure ...",
        "the profiler could not start ./spmm",
        "full path",
    ),
    (
        "======== Warning: The path to CUPTI and CUDA Injection libraries might not be set in "
        "LD_LIBRARY_PATH.\n======== Warning: No profile data collected.",
        "nvprof did not find its CUPTI libraries and collected nothing",
        "extras/CUPTI/lib64",
    ),
    (
        '==ERROR== Failed to prepare kernel for profiling\n==ERROR== Failed to profile "k" in '
        "process 35030\n==ERROR== The application returned an error code (9).\n" + NOTHING,
        FAILED,
        "LD_LIBRARY_PATH",
    ),
    ("==ERROR== Unknown Error on device 0.", FAILED, "newest"),
    ("==ERROR== LibraryNotLoaded", "the profiler failed: LibraryNotLoaded", "LD_LIBRARY_PATH"),
    (
        "==ERROR== The application returned an error code (255).",
        "the profiled program failed with exit code 255",
        "without the profiler",
    ),
    (
        f"{NOTHING}\nAvailable Kernels:\n1. reduce_kernel\n2. void gemm<4>\n",
        "no kernel matched the filter; the program launched: 1. reduce_kernel 2. void gemm<4>",
        "--kernel-name",
    ),
    (
        f"{NOTHING}\n==WARNING== Profiling kernels launched by child processes requires the "
        "--target-processes all option.",
        "kernels that child processes launched were not profiled",
        "profile them too: /opt/ncu --csv ./spmm",
    ),
    (NOTHING, "no kernel was profiled", "--nvtx-include"),
    ("==12== No kernels were profiled.", "no kernel was profiled", "--profile-from-start off"),
    (
        '==12== Warning: One or more events or metrics overflowed. Rerun with "--print-gpu-trace"',
        "some of nvprof's counters overflowed or could not be profiled",
        "--print-gpu-trace",
    ),
]


@pytest.mark.parametrize(("text", "meaning", "advice"), CASES)
def test_an_error_has_its_sentence_and_its_advice(text, meaning, advice):
    error = diagnose(text, "run.log", ["/opt/ncu", "--csv", "./spmm"])
    assert error is not None
    assert str(error) == f"{meaning}; its own words: run.log"
    assert advice in error.hint
    assert "{" not in error.hint


@pytest.mark.parametrize("ending", ["\n", ""])
@pytest.mark.parametrize(("text", "meaning"), [case[:2] for case in CASES[::5]])
def test_a_captured_log_with_an_error_and_no_kernel_says_which(tmp_path, text, meaning, ending):
    path = tmp_path / "run.log"
    path.write_text(f"0.42  0.36\nTEST:\n{text}{ending}")
    with pytest.raises(GpupruneError) as caught:
        read_report(path)
    assert str(caught.value) == f"{meaning}; its own words: {path}"


@pytest.mark.parametrize(
    ("says", "program"),
    [
        ("==PROF== Connected to process 7 (/opt/spmm)", "/opt/spmm"),
        ("==7== NVPROF is profiling process 7, command: ./spmm 64 8", "./spmm 64 8"),
        (
            "==7== NVPROF is profiling process 7, command: ./bob's program",
            """'./bob'"'"'s' program""",
        ),
        ("==7== NVPROF is profiling process 7, command: ./a; $(reboot)", "'./a;' '$(reboot)'"),
        ("==7== NVPROF is profiling process 7, command:  \n", "PROGRAM"),
        ("0.42", "PROGRAM"),
    ],
)
def test_advice_on_a_captured_log_is_a_whole_command(tmp_path, says, program):
    path = tmp_path / "run.log"
    path.write_text(f"{says}\n{PERMISSION}\n")
    with pytest.raises(GpupruneError) as caught:
        read_report(path)
    command = collect_command("ncu", program=program)
    assert f"sudo -E {command} (with full paths" in caught.value.hint


def test_an_error_beside_results_is_a_warning(tmp_path):
    path = tmp_path / "run.csv"
    path.write_text(
        '"ID","Kernel Name","a__b.sum"\n"","",""\n"0","k(int)","7"\n'
        "==ERROR== The application returned an error code (9).\n"
    )
    report = read_report(path)
    assert [dict(profile.metrics) for profile in report.kernels] == [{"a__b.sum": 7.0}]
    assert report.warnings == (
        "the profiler reports: the profiled program failed with exit code 9",
    )


def test_a_log_without_an_error_has_no_diagnosis():
    text = "==PROF== Connected to process 1\n==PROF== Disconnected from process 1\n"
    assert diagnose(text, "run.log") is None
    assert complaints(text) == ()


def test_program_with_an_open_quote_is_quoted_in_the_command(tmp_path):
    path = tmp_path / "nvprof.log"
    path.write_text("==7== NVPROF is profiling process 7, command: ./it's\n")
    with pytest.raises(GpupruneError) as why:
        read_report(path)
    assert shlex.split(why.value.hint.partition(": ")[2])[-1] == "./it's"
