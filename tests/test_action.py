import os
import shutil
import subprocess
import sys
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


def test_the_actions_script_runs_check_and_passes_its_exit_code_on(tmp_path):
    """With an environment whose pip and gpuprune only write down how they were called."""
    script = ACTION.read_text().partition("      run: |\n")[2]
    log, output, python = tmp_path / "log", tmp_path / "output", tmp_path / "python"
    fake = f'#!/bin/sh\necho "$(basename "$0") $*" >> {log}\n'
    python.write_text(
        f'{fake}mkdir -p "$3/bin"\n'
        f'cp {tmp_path}/quiet "$3/bin/python"\ncp {tmp_path}/failing "$3/bin/gpuprune"\n'
    )
    (tmp_path / "quiet").write_text(fake)
    (tmp_path / "failing").write_text(f"{fake}echo verdicts\nexit 4\n")
    for name in ("python", "quiet", "failing"):
        (tmp_path / name).chmod(0o755)
    inputs = {
        "BASELINE": "a b.json", "BASE": "", "CONFIG": "", "RUNS": "5", "STRICT": "true",
        "PYTHON": str(python), "VERSION": "", "JUNIT": "j.xml", "VERDICTS": "v.jsonl",
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-c", "\n".join(line.removeprefix("        ") for line in script.splitlines())],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "RUNNER_TEMP": str(tmp_path),
            "GITHUB_ACTION_PATH": "/action",
            "GITHUB_OUTPUT": str(output),
            **{f"INPUT_{name}": value for name, value in inputs.items()},
        },
    )
    assert done.returncode == 4
    assert log.read_text().splitlines()[1:] == [
        "python -m pip install --quiet /action",
        "gpuprune check --runs 5 --junit j.xml --format json --baseline a b.json --strict",
    ]
    assert (tmp_path / "v.jsonl").read_text() == "verdicts\n"
    assert output.read_text().splitlines() == ["exit-code=4", "verdicts=v.jsonl", "junit=j.xml"]
