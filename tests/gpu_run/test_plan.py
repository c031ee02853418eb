"""Which steps there are, what each lacks, and that a call of ten minutes holds whole steps."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu_run.plan import DEVICES, choose, make_plan
from benchmarks.gpu_run.runner import ROOT
from gpuprune.cli import cli
from gpuprune.errors import GpupruneError
from gpuprune.profiler.tools import find_tool

NAMES = [
    "info", "tests-backend", "tests-row", "tests-column", "tests-contenders",
    "sanitize-memcheck", "sanitize-racecheck", "sanitize-synccheck", "clock", "clock-ncu",
    "clock-nvbench", "clock-table", "bench-row-cold", "bench-column-cold", "bench-row-warm",
    "bench-column-warm", "bench-row-float16", "bench-column-float16", "profile-row",
    "profile-row-rates", "profile-column", "calibrate", "check", "accuracy",
]  # fmt: skip
SANITIZERS = [name for name in NAMES if name.startswith("sanitize-")]
KERNEL = re.compile(r"__global__ void (?:__launch_bounds__\([^)]*\)\s+)?(\w+)\(")
SOURCES = sorted((ROOT / "gpuprune" / "contenders").rglob("*.cu"))


def found(tool):
    return Path("/opt/nvidia", tool)


def by_name(device="cuda", **more):
    return {step.name: step for step in make_plan(device, **more)}


@pytest.mark.parametrize("device", DEVICES)
def test_every_device_has_the_same_steps(device):
    assert list(by_name(device)) == NAMES


def test_the_calls_that_the_document_shows_hold_every_step_within_ten_minutes():
    shown = re.findall(r"--only (.+)$", (ROOT / "docs/gpu-run.md").read_text(), re.MULTILINE)
    calls = [choose(make_plan("cuda"), shlex.split(line)) for line in shown]
    assert len(calls) == 3
    assert sorted(step.name for call in calls for step in call) == sorted(NAMES)
    for call in calls:
        assert sum(step.limit_s for step in call) <= 570


def test_where_a_tool_is_not_on_path_nor_installed_its_steps_say_so(tmp_path):
    steps = by_name(
        data=tmp_path, find=lambda tool: find_tool(tool, {"PATH": str(tmp_path)}, tmp_path)
    )
    where = "on PATH, in CUDA_HOME, or where CUDA is usually installed"
    assert {name: step.lacks for name, step in steps.items() if step.lacks} == {
        **dict.fromkeys(
            ("sanitize-memcheck", "sanitize-racecheck", "sanitize-synccheck"),
            f"there is no compute-sanitizer {where}",
        ),
        **dict.fromkeys(
            ("clock-ncu", "profile-row", "profile-row-rates", "profile-column"),
            f"there is no ncu {where}",
        ),
        "clock-nvbench": "the package cuda-bench is not installed",
    }


def test_a_sanitizer_watches_the_kernels_of_ours_in_the_tests_that_compare_products():
    command = by_name(find=found)["sanitize-racecheck"].commands[0]
    assert command[:5] == (
        "/opt/nvidia/compute-sanitizer", "--tool", "racecheck", "--error-exitcode", "77"
    )  # fmt: skip
    watched = [word for word in command if word.startswith("kns=")]
    kernels = KERNEL.findall("".join(path.read_text() for path in SOURCES))
    assert len(kernels) == 5
    for name in kernels:
        assert any(one.removeprefix("kns=") in name for one in watched), name
    chosen = [word for word in command if word.startswith("tests/")]
    assert [(ROOT / path).is_file() for path in chosen] == [True]


@pytest.mark.parametrize("name", ["tests-row", "tests-column", *SANITIZERS])
def test_the_tests_that_a_step_chooses_are_there(name):
    words = by_name(find=found)[name].commands[0]
    (path,) = (word for word in words if word.startswith("tests/"))
    chosen = words[words.index("-k") + 1]
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", path, "-m", "gpu", "-k", chosen, "-q", "--collect-only"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert "test_products_are_right_on_ragged_shapes" in listed.stdout
    assert "papers_layer" not in listed.stdout or name not in SANITIZERS  # it would take minutes


def test_without_a_gpu_load_efficiency_is_predicted_and_what_needs_one_is_skipped():
    steps = by_name("cpu", find=found)
    assert "--predict" in steps["profile-row"].commands[0]
    assert steps["tests-row"].lacks == "needs a GPU, and --device is cpu"
    assert steps["clock-nvbench"].lacks == steps["clock-ncu"].lacks == steps["tests-row"].lacks


@pytest.mark.parametrize("device", DEVICES)
def test_every_command_has_options_that_gpuprune_knows(device):
    for step in make_plan(device, data=Path("mnist"), find=found):
        for _, _, module, *words in step.commands:
            if module != "gpuprune":
                continue
            command = cli
            while words and not words[0].startswith("-"):
                command = command.commands[words.pop(0)]
            known = {name for param in command.params for name in param.opts}
            assert {word for word in words if word.startswith("-")} <= known, step.name


def test_limits_and_budgets_follow_the_minutes():
    whole, half = (by_name(scale=scale)["bench-row-cold"] for scale in (1.0, 0.5))
    assert (whole.limit_s, half.limit_s) == (140, 70)
    assert "--budget 0.50" in " ".join(whole.commands[0])
    assert "--budget 0.25" in " ".join(half.commands[0])


def test_data_takes_the_place_of_the_images_of_a_package(tmp_path):
    step = by_name(data=tmp_path / "mnist")["accuracy"]
    assert step.lacks is None
    assert step.commands[0][-2:] == ("--data", str(tmp_path / "mnist"))


def test_steps_are_chosen_by_name_or_pattern_and_keep_their_order():
    chosen = choose(make_plan("fake"), ["check", "bench-*-warm", "info"])
    assert [step.name for step in chosen] == [
        "info", "bench-row-warm", "bench-column-warm", "check"
    ]  # fmt: skip
    with pytest.raises(GpupruneError, match="there is no step 'bench'") as refusal:
        choose(make_plan("fake"), ["info", "bench"])
    assert refusal.value.hint == f"take some of {', '.join(NAMES)}"
