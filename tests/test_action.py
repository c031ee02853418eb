import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ACTION = ROOT / "action.yml"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def tool(name):
    """Find a tool beside this Python, or skip: it belongs to the extra `dev`."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return found or pytest.skip(f"{name} is not installed")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schema", "files"),
    [("github-actions", [ACTION]), ("github-workflows", WORKFLOWS)],
    ids=["action", "workflows"],
)
def test_the_action_and_the_workflows_follow_their_schemas(schema, files):
    check = tool("check-jsonschema")
    subprocess.run([check, "--builtin-schema", f"vendor.{schema}", *files], check=True)


@pytest.mark.slow
def test_zizmor_finds_no_weakness():
    command = [tool("zizmor"), "--offline", "--no-progress", ACTION, *WORKFLOWS]
    subprocess.run(command, check=True)


def test_inputs_reach_the_script_as_variables_only():
    script = ACTION.read_text().partition("run: |")[2]
    assert script
    assert "${{" not in script


@pytest.fixture
def action(tmp_path):
    """Run the script in an environment whose pip and gpuprune only write down their calls."""
    script = ACTION.read_text().partition("      run: |\n")[2]
    log, python = tmp_path / "log", tmp_path / "python"

    def run(code=0, says="verdicts", **changes):
        fake = f'#!/bin/sh\necho "$(basename "$0") $*" >> {log}\n'
        python.write_text(
            f'{fake}mkdir -p "$3/bin"\n'
            f'cp {tmp_path}/quiet "$3/bin/python"\ncp {tmp_path}/check "$3/bin/gpuprune"\n'
        )
        (tmp_path / "quiet").write_text(fake)
        (tmp_path / "check").write_text(f"{fake}printf '%s' '{says}'\nexit {code}\n")
        for name in ("python", "quiet", "check"):
            (tmp_path / name).chmod(0o755)
        inputs = {
            "BASELINE": "a b.json", "BASE": "", "CONFIG": "", "RUNS": "5", "STRICT": "false",
            "PYTHON": str(python), "VERSION": "", "JUNIT": "j.xml", "VERDICTS": "v.jsonl",
        } | changes  # fmt: skip
        done = subprocess.run(
            ["bash", "-c", textwrap.dedent(script)],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "RUNNER_TEMP": str(tmp_path),
                "GITHUB_ACTION_PATH": "/action",
                "GITHUB_OUTPUT": str(tmp_path / "output"),
                **{f"INPUT_{name}": value for name, value in inputs.items()},
            },
        )
        calls = log.read_text().splitlines()[1:] if log.exists() else []
        output = tmp_path / "output"
        told = output.read_text().splitlines() if output.exists() else []
        return done.returncode, calls, told

    return run


def test_the_actions_script_runs_check_and_passes_its_exit_code_on(action, tmp_path):
    assert action(1, STRICT="true") == (
        1,
        [
            "python -m pip install --quiet /action",
            "gpuprune check --runs 5 --junit j.xml --format json --strict --baseline a b.json",
        ],
        ["exit-code=1", "verdicts=v.jsonl"],
    )
    assert (tmp_path / "v.jsonl").read_text() == "verdicts"


@pytest.mark.parametrize("code", [2, 4])
def test_without_a_verdict_there_is_no_verdict_file(action, tmp_path, code):
    (tmp_path / "v.jsonl").write_text("of an earlier check")
    assert action(code, "")[2] == [f"exit-code={code}"]
    assert not (tmp_path / "v.jsonl").exists()


@pytest.mark.parametrize("word", ["true", "True", "TRUE", "1", "yes"])
def test_strict_is_heard_however_it_is_written(action, word):
    assert "--strict" in action(STRICT=word)[1][1]


@pytest.mark.parametrize("word", ["", "false", "False", "0", "no"])
def test_not_strict_is_heard_however_it_is_written(action, word):
    assert "--strict" not in action(STRICT=word)[1][1]


def test_a_folder_for_the_verdicts_is_made(action, tmp_path):
    assert action(VERDICTS="out/of/v.jsonl")[0] == 0
    assert (tmp_path / "out" / "of" / "v.jsonl").exists()


@pytest.mark.parametrize(
    "inputs", [{"STRICT": "ture"}, {"VERDICTS": "v\nexit-code=0"}, {"JUNIT": "j\rx"}]
)
def test_inputs_that_mean_nothing_fail_before_anything_is_installed(action, inputs):
    assert action(**inputs) == (2, [], [])
