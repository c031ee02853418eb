"""What the gate's commands do and say: verdicts to stdout, the conversation to stderr."""

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from math import inf
from pathlib import Path
from typing import Any

import click

from gpuprune import config as configuration
from gpuprune import fresh, gate, plan, report, verdicts
from gpuprune.cli import explained, terminal
from gpuprune.cli.console import note, warn
from gpuprune.config import Sweep
from gpuprune.errors import GpupruneError
from gpuprune.fresh import HEAD, Measured, Say, Side
from gpuprune.gate import Comparison
from gpuprune.regression import Incomparable, MeasurementFailed
from gpuprune.regression.baseline import Baseline
from gpuprune.regression.efficiency import read_profile
from gpuprune.regression.rule import FEWEST_RUNS
from gpuprune.storage import require_replaceable, write_whole
from gpuprune.units import format_count

_CONFIRMING = 1  # seed of the orders of cells of runs that confirm; 0 is that of the first


def say(quiet: bool) -> Say:
    """Return what says something on stderr."""
    return lambda text: note(text, quiet=quiet)


def sweep_asked(config: Path | None, quick: bool, asked: Mapping[str, Any]) -> Sweep:
    """Merge options into a sweep, and refuse what no run could do."""
    base = configuration.quick() if quick else configuration.paper()
    found = configuration.load(config, base, asked)
    plan.cases(found)  # a missing weight file shows now, and not in every process
    return found


def load_baseline(
    path: Path, config: Path | None, quick: bool, asked: Mapping[str, Any]
) -> Baseline:
    """Read a baseline; raises Incomparable where options on top of its sweep disagree."""
    found = Baseline.load(path)
    own = found.conditions.sweep
    wanted = configuration.load(config, configuration.quick() if quick else own, asked)
    for field in fields(Sweep):
        was, now = getattr(own, field.name), getattr(wanted, field.name)
        if isinstance(now, tuple):
            was, now = sorted(was), sorted(now)
        if was != now and (field.name, now) != ("device", "auto"):
            raise Incomparable(
                f"{path} was recorded with {field.name.replace('_', '-')} {was}, "
                f"and now {now} is asked for",
                hint="leave the option out, or record a baseline with it",
            )
    return found


def check_baseline(
    baseline: Baseline, runs: int, run_files: Sequence[Path], floor: float | None, say: Say
) -> Comparison:
    """Hold run files, or runs measured now, against a baseline."""
    if baseline.arm.runs < FEWEST_RUNS["baseline"]:
        runs_there = format_count(baseline.arm.runs, "run")
        say(f"Warning: the baseline has {runs_there}; five tell noise from change.")
    if found := loaded(run_files):
        return gate.against_baseline(baseline, found, floor=floor)
    if runs == 0:
        return gate.without_times(baseline)

    def measure(seed: int) -> Comparison:
        try:
            found = fresh.fresh_runs(baseline.conditions.sweep, [HEAD], runs, say, seed=seed)
        except MeasurementFailed:
            raise
        except GpupruneError as error:  # what the baseline's own sweep cannot do here
            raise MeasurementFailed(str(error), hint=error.hint) from None
        return gate.against_baseline(baseline, found["head"], floor=floor)

    return _confirmed(measure, say)


def check_base(
    interpreter: str, asked: Sweep, runs: int, floor: float | None, say: Say
) -> Comparison:
    """Hold this gpuprune against that of another interpreter, in turns."""
    base = Side(name="base", interpreter=interpreter)
    if (
        Path(shutil.which(interpreter) or interpreter).absolute()
        == Path(sys.executable).absolute()
    ):
        say(f"Warning: {interpreter} is the Python that runs this, so base and head may be one.")
    say(f"The base is gpuprune {fresh.version_of(base)}, the head {fresh.version_of(HEAD)}.")

    def measure(seed: int) -> Comparison:
        found = fresh.fresh_runs(asked, [base, HEAD], runs, say, seed=seed)
        return gate.against_base(found["base"], found["head"], floor=floor)

    return _confirmed(measure, say)


def read_figures(
    baseline: Baseline, profile: Path | None, strict: bool, say: Say
) -> Sequence[Mapping[str, Any]] | None:
    """Read the efficiencies to judge; None where the baseline's are not, which is said.

    Where that is strict, figures that nobody gave are missing. Raises Incomparable where the
    baseline keeps none to hold them against.
    """
    if profile is not None:
        if not baseline.profile:
            raise Incomparable(
                "the baseline keeps no load efficiencies", hint="record one with --profile FILE"
            )
        return read_profile(profile)
    if not baseline.profile:
        return None
    figures = format_count(len(baseline.profile), "load efficiency", "load efficiencies")
    say(f"Warning: the baseline keeps {figures}; without --profile FILE nobody judges them.")
    return [] if strict else None


def show(
    comparison: Comparison,
    output_format: report.Format,
    *,
    cell: explained.Cell | None,
    junit: Path | None,
    quiet: bool,
) -> None:
    """Print verdicts, and tell GitHub and JUnit where asked to."""
    matching = explained.matching(cell, comparison.verdicts)
    explanations = "\n\n".join(verdicts.explain(comparison, one) for one in matching)
    if output_format in ("json", "csv"):
        click.echo(report.listing(verdicts.rows(comparison.verdicts), output_format))
        for hole in comparison.holes:
            note(f"Warning: {report.printable(hole)}.", quiet=quiet)
        note(explanations, quiet=False)
    else:
        markdown = output_format == "markdown"
        most = verdicts.COMMENT_BYTES if markdown else None
        text = verdicts.summary(comparison, markdown=markdown, most_bytes=most)
        terminal.show("\n\n".join(filter(None, (text, explanations))), output_format)
    if cell and not matching:
        note(f"Warning: there is no verdict on {cell}.", quiet=quiet)
    _tell_github(comparison)
    if junit:  # last: whatever refuses it, the verdicts are told
        write_whole(junit, verdicts.junit(comparison).encode())


def exit_code(comparison: Comparison) -> int:
    """1 for a finding, otherwise 0."""
    return int(any(map(comparison.fails, comparison.verdicts)))


def warn_of_unsure(comparison: Comparison, say: Say, *, measured: bool) -> None:
    """Say how many verdicts are unsure, and how many runs would settle most, if a few would."""
    unsure = [one for one in comparison.verdicts if one.verdict == "UNSURE"]
    if not unsure or comparison.strict:
        return
    more = sorted(one.more_runs or inf for one in unsure)[len(unsure) // 2]
    helps = measured and more < inf
    settle = f"; --runs {comparison.candidate.runs + more} would settle most" if helps else ""
    be = "is" if len(unsure) == 1 else "are"
    say(f"Warning: {format_count(len(unsure), 'verdict')} {be} unsure{settle}.")


def loaded(paths: Sequence[Path]) -> list[Measured]:
    """Read run files; their warnings go to stderr."""
    found, warnings = fresh.load_runs(paths)
    for warning in warnings:
        warn(warning)
    return found


def require_junit(path: Path | None) -> None:
    """Refuse a file that JUnit XML could not be written to, or that is none of ours."""
    if path is not None:
        require_replaceable(path, verdicts.JUNIT_BEGINNING, "JUnit file")


def _confirmed(measure: Callable[[int], Comparison], say: Say) -> Comparison:
    """Measure, and where something is slow measure once more."""
    first = measure(0)
    if not first.is_slow:
        return first
    slow = sum(one.verdict == "SLOW" for one in first.verdicts)
    be = "is" if slow == 1 else "are"
    say(f"{format_count(slow, 'verdict')} {be} SLOW; confirming in fresh runs.")
    return gate.confirm(first, measure(_CONFIRMING))


def _tell_github(comparison: Comparison) -> None:
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        text = verdicts.summary(comparison, markdown=True, most_bytes=verdicts.SUMMARY_BYTES)
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(f"{text}\n\n")
        except OSError as error:
            note(f"Warning: no summary was written: {error}", quiet=False)
    if os.environ.get("GITHUB_ACTIONS"):
        # On stderr, which GitHub reads as well: stdout stays what was asked for.
        for line in verdicts.annotations(comparison):
            click.echo(line, err=True)
