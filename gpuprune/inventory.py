"""What this machine offers: hardware, versions, devices and contenders, one fact a row."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

from gpuprune import __version__, contenders, environment
from gpuprune.backends import Backend, open_backend
from gpuprune.errors import GpupruneError
from gpuprune.problem import Problem, make_trials
from gpuprune.records import Case
from gpuprune.timing import FAILURES
from gpuprune.units import format_bytes

_DEVICES = ("cpu", "cuda")
_PROBE = Case(rows=8, cols=8, batch=2, rate=0.5, group=2)


def rows() -> list[dict[str, Any]]:
    """List what is known, as the paper's Table 1 does: `kind`, `name` and `value`."""
    return [{"kind": kind, "name": name, "value": value} for kind, name, value in _facts()]


def _facts() -> Iterator[tuple[str, str, str]]:
    known = environment.describe()
    yield "software", "gpuprune", __version__
    yield "software", "Python", known["python"]
    yield "software", "operating system", known["system"]
    for name, version in known["packages"].items():
        yield "software", name, version
    for device in _DEVICES:
        try:
            backend, _ = open_backend(device)
        except GpupruneError as why:
            yield "device", device, f"not here: {why} ({why.hint})"
            continue
        with closing(backend):
            yield from _device(device, backend)


def _device(device: str, backend: Backend) -> Iterator[tuple[str, str, str]]:
    facts = backend.facts()
    yield "device", device, facts.pop("device_name")
    if backend.threads:
        yield device, "threads", str(backend.threads)
    for name, value in facts.items():
        shown = format_bytes(value) if name.endswith("_bytes") and value else str(value)
        yield device, name.removesuffix("_bytes").replace("_", " "), shown
    of_columns = contenders.defaults("column", device)  # row groups are not among these
    for name in contenders.names():
        case = replace(_PROBE, orientation="column") if name in of_columns else _PROBE
        (trial,) = make_trials([case], backend)
        yield f"contender on {device}", name, _contender(name, trial.problem, backend)


def _contender(name: str, problem: Problem, backend: Backend) -> str:
    try:
        contenders.load(name)(problem, backend)
    except contenders.NotApplicable as why:
        return f"not here: {why}"
    except FAILURES as error:
        return f"fails: {type(error).__name__}: {error}"
    return contenders.describe(name)
