"""Shared fixtures: a device whose clock is known, small problems, and the command line."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gpuprune.backends import Backend, open_backend
from gpuprune.backends.fake import FakeBackend
from gpuprune.cli import cli
from gpuprune.contenders import Prepared
from gpuprune.problem import AFTER, BEFORE, Trial, make_trials
from gpuprune.records import Case
from gpuprune.verification import TOLERANCE


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_is_heard() -> None:
    """Undo what a shell does to what it runs in the background, and its children inherit."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def run() -> Callable[..., Result]:
    """Run a gpuprune command in this process."""

    def invoke(*arguments: object, env: dict[str, str] | None = None) -> Result:
        return CliRunner().invoke(cli, [str(argument) for argument in arguments], env=env)

    return invoke


@pytest.fixture
def interrupted_start(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[Any]]]:
    """Interrupt this when a program has started and nobody holds it yet; list such programs."""
    started: list[subprocess.Popen[Any]] = []

    class Interrupted(subprocess.Popen[Any]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    yield started
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def fake() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def cpu() -> Iterator[Backend]:
    backend, _ = open_backend("cpu", threads=1)
    yield backend
    backend.close()


def problem_of(backend: Backend, **changes: object) -> Trial:
    """Make the arrays of a small case."""
    values = {"rows": 24, "cols": 40, "batch": 5, "rate": 0.8, "group": 4} | changes
    (trial,) = make_trials([Case(**values)], backend)
    return trial


def assert_right(backend: Backend, trial: Trial, prepared: Prepared) -> None:
    """Products of both draws of the activations are as near to float64's as they have to be."""
    case = trial.case
    for draw in (BEFORE, AFTER):
        trial.renew(draw)
        product = backend.numpy(prepared.multiply())
        assert product.shape == (case.rows, case.batch)
        error = trial.error(product, draw)
        assert error <= TOLERANCE[prepared.precision or case.dtype], (
            case,
            prepared.variant,
            error,
        )
    assert not trial.restore()


def json_rows(result: Result) -> list[dict[str, object]]:
    """Read stdout as one JSON object a line."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def assert_refused(result: Result, *words: str) -> None:
    """One error with a hint, exit code 2, nothing on stdout."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    error, hint = (line for line in result.stderr.splitlines() if line)
    assert error.startswith("Error: ")
    assert hint.startswith("Hint: ")
    assert hint != "Hint: "
    for word in words:
        assert word in result.stderr
