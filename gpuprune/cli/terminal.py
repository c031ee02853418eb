"""Printing for people: as wide as the terminal, and as it is where no terminal reads."""

import shutil
import sys
from typing import TextIO

import click


def show(text: str, output_format: str = "table", *, err: bool = False) -> None:
    """Print a result to stdout, or a note to stderr; only what people read is broken to fit."""
    from gpuprune.report import fit

    if output_format == "table" and (columns := width(sys.stderr if err else sys.stdout)):
        text = fit(text, columns)
    click.echo(text, err=err)


def width(stream: TextIO) -> int | None:
    """Return how many characters a line of a terminal has, None for a file or a pipe."""
    return shutil.get_terminal_size().columns if stream.isatty() else None
