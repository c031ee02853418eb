"""What a CI reads: JUnit XML, GitHub's summary and annotations."""

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.conftest import json_rows
from tests.gate.runs import refused, runs_of, slowed


def test_junit_summary_and_annotations(run, recorded, rewritten, tmp_path):
    slow = rewritten(slowed(0.25, rate=0.9))
    summary, junit = tmp_path / "summary.md", tmp_path / "junit.xml"
    env = {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_ACTIONS": "true"}
    command = ["check", "--baseline", recorded, *runs_of(slow, 3), "--junit", junit]
    result = run(*command, "--format", "json", env=env)
    assert result.exit_code == 1
    assert len(json_rows(result)) == 18
    assert result.stderr.splitlines() == [
        "::error title=gpuprune%3A SLOW::csr,0.9,1 256x256x9 +25.0 %25: slower by at least "
        "25.0 %25 relative to its contender's other cells; the threshold is 10.0 %25",
        "::error title=gpuprune%3A SLOW::csr,0.9,8 256x256x9 +25.0 %25: slower by at least "
        "25.0 %25 relative to its contender's other cells; the threshold is 10.0 %25",
    ]
    assert summary.read_text().startswith("**A regression: 2 SLOW, 16 SAME")
    suite = ElementTree.parse(junit).getroot()  # noqa: S314
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("18", "2", "0")
    assert [case.get("name") for case in suite if case.find("failure") is not None] == [
        "csr,0.9,1 256x256x9",
        "csr,0.9,8 256x256x9",
    ]


@pytest.mark.parametrize(
    "kind", ["the baseline", "a foreign file", "a device", "a pipe", "a link"]
)
def test_junit_never_replaces_what_is_not_ours(run, recorded, measured, tmp_path, kind):
    path = tmp_path / "there"
    if kind == "the baseline":
        path = recorded
    elif kind == "a foreign file":
        path.write_text("precious")
    elif kind == "a device":
        path = Path("/dev/full")
    elif kind == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / "elsewhere")
    before = (path.lstat().st_mode, path.read_bytes() if path.is_file() else None)
    refused(run("check", "--baseline", recorded, "--run", measured, "--junit", path), 2, str(path))
    assert (path.lstat().st_mode, path.read_bytes() if path.is_file() else None) == before


def test_junit_replaces_its_own(run, recorded, measured, tmp_path):
    command = ["check", "--baseline", recorded, *runs_of(measured, 3), "--junit", tmp_path / "j"]
    assert run(*command).exit_code == 0
    assert run(*command).exit_code == 0


def test_a_failure_of_strict_says_so_everywhere(run, recorded, measured, tmp_path):
    summary, junit = tmp_path / "summary.md", tmp_path / "junit.xml"
    env = {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_ACTIONS": "true"}
    command = ["check", "--baseline", recorded, "--run", measured, "--strict", "--junit", junit]
    result = run(*command, env=env)
    headline = "Failed, though no regression is certain: with --strict UNSURE fails as well"
    assert result.exit_code == 1
    assert result.stdout.startswith(f"{headline}: 18 UNSURE (1 run against 5, floor 10 %).")
    assert summary.read_text().startswith(f"**{headline}: 18 UNSURE")
    suite = ElementTree.parse(junit).getroot()  # noqa: S314
    assert (suite.get("failures"), suite.get("skipped")) == ("18", "0")
    annotated = result.stderr.splitlines()
    assert len(annotated) == 10
    assert all(line.startswith("::error title=gpuprune") for line in annotated)
