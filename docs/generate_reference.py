"""Write docs/reference.md from the commands' own help: python docs/generate_reference.py."""

from collections.abc import Iterator
from pathlib import Path

import click

from gpuprune.cli import CONTEXT, cli

TARGET = Path(__file__).with_name("reference.md")
OPENING = """\
# Command line reference

Generated from the commands' help by `python docs/generate_reference.py`; a test keeps it current.

Every option is also read from the environment, as `GPUPRUNE_` and its name: `GPUPRUNE_RATES=0.9`.
An option on the command line wins over the environment, that over `--config FILE.toml`, and that
over the default. A `GPUPRUNE_...` that names no option is ignored with a warning; a value in FILE
that an option overrides still has to be right.

At a terminal tables and lines are broken to its width; a pipe or a file gets whole lines.

| exit code | means |
|---|---|
| 0 | done |
| 1 | a finding: a contender was wrong, or something got slower |
| 2 | bad usage, configuration, input or machine: one `Error:` and one `Hint:` on stderr |
| 3 | a bug in gpuprune, with a traceback |
| 4 | `check`: the baseline is missing or not comparable |
| 5 | `check`: the measurement failed |
| 130 | Ctrl-C; what was measured is kept |
"""


def reference() -> str:
    """Return the page."""
    return "\n".join([OPENING, *_sections("gpuprune", cli)])


def _sections(name: str, command: click.Command) -> Iterator[str]:
    """Yield the section of a command, and those of its own commands."""
    yield _section(name, command)
    if isinstance(command, click.Group):
        for own in sorted(command.commands):
            yield from _sections(f"{name} {own}", command.commands[own])


def _section(name: str, command: click.Command) -> str:
    context = click.Context(
        command,
        info_name=name,
        max_content_width=100,
        terminal_width=100,
        help_option_names=CONTEXT["help_option_names"],
    )
    return f"## `{name}`\n\n```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
