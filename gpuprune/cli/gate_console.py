"""What the gate's commands do and say: verdicts to stdout, the conversation to stderr."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click

from gpuprune import config as configuration
from gpuprune import gate, report, sweep, verdicts
from gpuprune.cli.console import note
from gpuprune.config import Sweep
from gpuprune.errors import GpupruneError
from gpuprune.gate import HEAD, Comparison, Measured, Say, Side
from gpuprune.regression import Incomparable, MeasurementFailed
from gpuprune.regression.baseline import Baseline
from gpuprune.regression.efficiency import judge_efficiency, read_profile
from gpuprune.regression.rule import FEWEST_RUNS
from gpuprune.regression.verdict import Verdict
from gpuprune.storage import write_whole

_CONFIRMING = 1  # seed of the orders of cells of runs that confirm; 0 is that of the first


def say(quiet: bool) -> Say:
    """Return what says something on stderr."""
    return lambda text: note(text, quiet=quiet)


def sweep_asked(config: Path | None, quick: bool, asked: Mapping[str, Any]) -> Sweep:
    """Merge options into a sweep, and refuse what no run could do."""
    base = configuration.quick() if quick else configuration.paper()
    found = configuration.load(config, base, asked)
    sweep.plan(found)  # a missing weight file shows now, and not in every process
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
        say(f"Warning: the baseline has {baseline.arm.runs} runs; five tell noise from change.")
    if found := loaded(run_files, say):
        return gate.against_baseline(baseline, found, floor=floor)
    if runs == 0:
        return gate.without_times(baseline)

    def measure(seed: int) -> Comparison:
        try:
            found = gate.fresh_runs(baseline.conditions.sweep, [HEAD], runs, say, seed=seed)
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
    say(f"The base is gpuprune {gate.version_of(base)}, the head {gate.version_of(HEAD)}.")

    def measure(seed: int) -> Comparison:
        found = gate.fresh_runs(asked, [base, HEAD], runs, say, seed=seed)
        return gate.against_base(found["base"], found["head"], floor=floor)

    return _confirmed(measure, say)


def with_profile(
    comparison: Comparison, baseline: Baseline, path: Path, most_points: float
) -> Comparison:
    """Add the verdicts on load efficiencies."""
    if not baseline.profile:
        raise Incomparable(
            "the baseline keeps no load efficiencies",
            hint="record one with --profile FILE",
        )
    found = judge_efficiency(baseline.profile, read_profile(path), most_points)
    return replace(comparison, verdicts=[*comparison.verdicts, *found])


def show(
    comparison: Comparison,
    output_format: report.Format,
    *,
    cell: tuple[str, float | None, int | None] | None,
    junit: Path | None,
) -> None:
    """Print verdicts, and tell GitHub and JUnit where asked to."""
    if junit:
        write_whole(junit, verdicts.junit(comparison.verdicts))
    explained = "\n\n".join(
        verdicts.explain(comparison, one) for one in _matching(comparison.verdicts, cell)
    )
    programs = output_format in ("json", "csv")
    if programs:
        click.echo(report.listing(verdicts.rows(comparison.verdicts), output_format))
        note(explained, quiet=False)
    else:
        markdown = output_format == "markdown"
        most = verdicts.COMMENT_BYTES if markdown else None
        text = verdicts.summary(comparison, markdown=markdown, most_bytes=most)
        click.echo("\n\n".join(filter(None, (text, explained))))
    _tell_github(comparison)


def exit_code(comparison: Comparison, *, strict: bool, quiet: bool) -> int:
    """1 for a finding, otherwise 0."""
    unsure = sum(one.verdict == "UNSURE" for one in comparison.verdicts)
    if unsure and not strict:
        more = max((one.more_runs or 0 for one in comparison.verdicts), default=0)
        settle = f"; --runs {comparison.candidate.runs + more} would settle most" if more else ""
        note(f"Warning: {unsure} verdicts are unsure{settle}.", quiet=quiet)
    return int(any(one.fails for one in comparison.verdicts) or bool(strict and unsure))


def parse_cell(text: str | None) -> tuple[str, float | None, int | None] | None:
    """Read `csr,0.9,8`, or `csr` for a contender."""
    if text is None:
        return None
    name, *rest = text.split(",")
    try:
        rate, group = (float(rest[0]), int(rest[1])) if rest else (None, None)
        if len(rest) in (0, 2):
            return name.strip(), rate, group
    except (ValueError, IndexError):
        pass
    raise GpupruneError(
        f"--explain {text!r} is no cell", hint="take CONTENDER,RATE,GROUP such as csr,0.9,8"
    )


def loaded(paths: Sequence[Path], say: Say) -> list[Measured]:
    """Read run files; their warnings go to stderr."""
    found, warnings = gate.load_runs(paths)
    for warning in warnings:
        say(warning)
    return found


def require_directory(path: Path | None) -> None:
    """Refuse a file whose directory is not there, before anything is measured."""
    if path is not None and (not path.parent.is_dir() or path.is_dir()):
        raise GpupruneError(f"cannot write {path}", hint="give a file in a directory that exists")


def _confirmed(measure: Any, say: Say) -> Comparison:
    """Measure, and where something is slow measure once more."""
    first: Comparison = measure(0)
    if not first.is_slow:
        return first
    slow = sum(one.verdict == "SLOW" for one in first.verdicts)
    say(f"{slow} verdict{'s are' if slow > 1 else ' is'} SLOW; confirming in fresh runs.")
    return gate.confirm(first, measure(_CONFIRMING))


def _matching(
    among: Sequence[Verdict], cell: tuple[str, float | None, int | None] | None
) -> list[Verdict]:
    if cell is None:
        return []
    found = [
        one
        for one in among
        if (one.contender, one.case and one.case.rate, one.case and one.case.group) == cell
    ]
    if not found:
        raise GpupruneError(
            f"there is no verdict on {','.join(str(part) for part in cell if part is not None)}",
            hint="--format json lists all of them",
        )
    return found


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
        for line in verdicts.annotations(comparison.verdicts):
            click.echo(line, err=True)
