"""Printing for people: as wide as the terminal, and as it is where no terminal reads."""

import shutil
import sys

import click


def show(text: str, output_format: str = "table", *, err: bool = False) -> None:
    """Print a result to stdout, or a note to stderr; only what people read is broken to fit."""
    from gpuprune.report import fit

    stream = sys.stderr if err else sys.stdout
    if output_format == "table" and stream.isatty():
        text = fit(text, shutil.get_terminal_size().columns)
    click.echo(text, err=err)
