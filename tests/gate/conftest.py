"""A run, and the baseline of five like it."""

import json

import pytest

from tests.gate.runs import SWEEP, runs_of, unsealed


@pytest.fixture(scope="session")
def measured(tmp_path_factory):
    """The lines of a run on the fake device, without checksums."""
    from click.testing import CliRunner

    from gpuprune.cli import cli

    path = tmp_path_factory.mktemp("run") / "run.jsonl"
    result = CliRunner().invoke(cli, ["bench", *SWEEP, "-q", "--output", str(path)])
    assert result.exit_code == 0, result.output
    return unsealed(path)


@pytest.fixture
def recorded(run, measured, tmp_path):
    """A baseline of five runs."""
    path = tmp_path / "baseline.json"
    result = run("baseline", "record", "-o", path, *runs_of(measured, 5))
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture
def rewritten(measured, tmp_path):
    """Make a run file in which every record has been through a function; None drops it."""

    def rewrite(function):
        path = tmp_path / "candidate.jsonl"
        lines = [function(json.loads(line)) for line in measured.read_text().splitlines()]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines if line))
        return path

    return rewrite
