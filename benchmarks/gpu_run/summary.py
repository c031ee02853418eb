"""What a run comes to, as a page of Markdown; and the machine that it was made on."""

import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu_run.runner import ROOT, Attempt, Step, latest, output_files
from gpuprune import __version__, environment
from gpuprune.report import escape

PAGE = "summary.md"
_WORDS = {
    "stopped": "stopped at its limit",
    "running": "cut off",  # by something that left no time to say so
}


def describe_machine(device: str) -> dict[str, Any]:
    """Describe hardware, driver and versions, as far as they can be told without a device."""
    return {
        "gpu": _ask_nvidia("name,driver_version") if device == "cuda" else None,
        "gpu_uuid": _ask_nvidia("uuid") if device == "cuda" else None,
        "node": platform.node(),
        "cpu": environment.cpu_model(),
        "cores": environment.cpu_count(),
        "python": platform.python_version(),
        "gpuprune": __version__,
        "commit": _first_line("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"),
        "packages": environment.package_versions(),
    }


def write_page(folder: Path, steps: Sequence[Step]) -> str:
    """Write the page of a folder, and return it: a row for each step, tried or not."""
    attempts = latest(folder)
    text = page(attempts, steps, {path.name for path in folder.iterdir() if path.stat().st_size})
    (folder / PAGE).write_text(text, encoding="utf-8")
    return text


def page(attempts: Mapping[str, Attempt], steps: Sequence[Step], files: set[str]) -> str:
    """Lay out what became of the steps; `files` are those to link to."""
    machines = {_machine(one): None for one in attempts.values()}  # in order, each once
    dates = sorted(one.started for one in attempts.values())
    lines = [
        "# Run of everything, step by step",
        "",
        *(f"- {machine}" for machine in machines),
        *([f"- {dates[0]} to {dates[-1]}"] if dates else []),
        "",
        "| step | result | took | limit | files |",
        "|---|---|--:|--:|---|",
        *(_row(step, attempts.get(step.name), files) for step in steps),
    ]
    return "\n".join(lines) + "\n"


def _row(step: Step, attempt: Attempt | None, files: set[str]) -> str:
    named = [name for name in (*output_files(step.name), *step.files) if name in files]
    links = ", ".join(f"[{name}]({name})" for name in named)
    if attempt is None:
        return f"| {step.name} | not run |  | {step.limit_s:.0f} s |  |"
    took = f"{attempt.seconds:.0f} s" if attempt.seconds else ""
    return f"| {step.name} | {_result(attempt)} | {took} | {attempt.limit_s:.0f} s | {links} |"


def _result(attempt: Attempt) -> str:
    text = _WORDS.get(attempt.status, attempt.status)
    if attempt.exit_code:
        text += f", exit code {attempt.exit_code}"
    if attempt.reason and attempt.status in ("failed", "skipped"):
        text += f": {escape(attempt.reason)}"
    return text


def _machine(attempt: Attempt) -> str:
    known = attempt.machine
    gpu = f"{known['gpu'].replace(', ', ', driver ')}; " if known.get("gpu") else ""
    packages = ", ".join(f"{name} {version}" for name, version in known["packages"].items())
    commit = f" ({known['commit']})" if known.get("commit") else ""
    return (
        f"{attempt.device}: {gpu}{known['cores']} cores of {known['cpu']}; "
        f"gpuprune {known['gpuprune']}{commit}, Python {known['python']}, {packages}"
    )


def _ask_nvidia(facts: str) -> str | None:
    """Return facts of the first GPU, between commas."""
    return _first_line("nvidia-smi", f"--query-gpu={facts}", "--format=csv,noheader")


def _first_line(*command: str) -> str | None:
    """Return the first line that a program prints, None where it is missing or fails."""
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout.partition("\n")[0].strip() or None if done.returncode == 0 else None
