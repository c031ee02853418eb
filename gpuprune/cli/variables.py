"""Variables of the environment that look as if they set an option."""

import os
from collections.abc import Iterator
from difflib import get_close_matches

import click

_PREFIX = "GPUPRUNE_"
_NO_OPTION = {"FAKE_DEVICE"}  # which tells one fake device from another


def warn_of_unknown(command: click.Command) -> None:
    """Say on stderr which `GPUPRUNE_...` set nothing: what was meant is not measured.

    It is no error, for whoever runs us may have variables of their own.
    """
    known = {*_options(command), *_NO_OPTION}
    for variable in sorted(os.environ):
        name = variable.removeprefix(_PREFIX)
        if name != variable and name not in known:
            near = get_close_matches(name, sorted(known), n=1, cutoff=0.75)
            meant = f"; did you mean {_PREFIX}{near[0]}?" if near else ""
            click.echo(f"Warning: {variable} names no option and is ignored{meant}", err=True)


def _options(command: click.Command, path: str = "") -> Iterator[str]:
    """Name what sets the options of a command and of those below it, without the prefix."""
    for parameter in command.params:
        if isinstance(parameter.envvar, str):
            yield parameter.envvar.removeprefix(_PREFIX)
        if isinstance(parameter, click.Option) and parameter.name:
            yield f"{path}{parameter.name}".upper()
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from _options(below, f"{path}{name}_")
