"""Options that several commands share: one name, one meaning, one environment variable."""

from collections.abc import Callable, Collection
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar, get_args

import click
from click.core import ParameterSource

from gpuprune import contenders
from gpuprune.errors import GpupruneError
from gpuprune.records import Cache, Dtype, Orientation, Score

Command = TypeVar("Command", bound=Callable[..., Any])


class _FileName(click.Path):
    """A path, but not the empty one, which would be the folder one is in."""

    def convert(
        self,
        value: str | PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """Convert a text, or fail where it is empty."""
        if value == "":
            self.fail("'' names no file", param, ctx)
        return super().convert(value, param, ctx)


FILE = _FileName(path_type=Path)


class FiniteRange(click.FloatRange):
    """A range of numbers that NaN, which no comparison refuses, does not lie in either."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Convert a text, or fail as a range does."""
        number: float = super().convert(value, param, ctx)
        if not isfinite(number):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return number


def refuse(context: click.Context, names: Collection[str], why: str) -> None:
    """Refuse options of the command line that would have no effect; `why` is `with --run`."""
    for option in given(context, names):
        raise GpupruneError(f"{option} makes no sense {why}", hint=f"leave out {option}")


def given(context: click.Context, names: Collection[str]) -> list[str]:
    """Name those of some options that stand on the command line."""
    return [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name in names
        and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    ]


def option(*names: str, **settings: Any) -> Callable[[Command], Command]:
    """Declare an option that `GPUPRUNE_<NAME>` sets as well; its default stands in its help."""
    variable = "GPUPRUNE_" + max(names, key=len).removeprefix("--").replace("-", "_").upper()
    return click.option(*names, envvar=variable, **settings)


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Apply several option decorators, in the order in which help shows them."""

    def decorate(function: Command) -> Command:
        for one in reversed(options):
            function = one(function)
        return function

    return decorate


device = option("--device", metavar="DEVICE", help="auto, cpu, cuda or cuda:N.  [default: auto]")
threads = option(
    "--threads", type=int, metavar="N", help="Of everyone on the CPU.  [default: all]"
)
quiet = click.option("-q", "--quiet", is_flag=True, help="No progress and no notes on stderr.")
output_format = option(
    "--format",
    "output_format",
    type=click.Choice(["table", "markdown", "csv", "json"]),
    default="table",
    show_default=True,
    help="What stdout holds; json is one object a line.",
)
score = option("--score", type=click.Choice(get_args(Score)), help="Of a group.  [default: rms]")
orientation = option(
    "--orientation",
    type=click.Choice(get_args(Orientation)),
    help="Groups run along a row or down a column.  [default: row]",
)
min_groups = option(
    "--min-groups-per-row", type=int, metavar="N", help="Kept in any case.  [default: 0]"
)
tensor = option("--tensor", metavar="PATTERN", help="Only tensors of this name, such as '*mlp*'.")
seed = option("--seed", type=int, metavar="N", help="Of all random numbers.  [default: 0]")

sweep = together(
    option(
        "--rates", metavar="LIST|RANGE", help="0.8,0.9 or from:to[:step].  [default: 0.8:0.98]"
    ),
    option("--groups", metavar="LIST", help="Group sizes.  [default: 1,2,4,8,16,32,64]"),
    option(
        "--shape",
        metavar="ROWSxCOLSxBATCH",
        help="Layer and batch, or several with commas.  [default: 4096x4096x50]",
    ),
    option("--batch", type=int, metavar="N", help="With --weights.  [default: 50]"),
    option(
        "--dtype", type=click.Choice(get_args(Dtype)), help="Of the storage.  [default: float32]"
    ),
    score,
    orientation,
    min_groups,
    option(
        "--weights",
        metavar="FILE[::TENSOR]",
        help="Real weights instead of random ones; FILE may be a sharded model's folder.",
    ),
    tensor,
    option("--as-is", is_flag=True, default=None, help="Time the zeros that the file has."),
    device,
    threads,
    option(
        "--contenders",
        metavar="LIST|all",
        help=f"Some of {', '.join(contenders.names())}.  [default: those made for the case]",
    ),
    option(
        "--cache",
        type=click.Choice(get_args(Cache)),
        help="Whether caches are evicted before each sample.  [default: cold]",
    ),
    option("--samples", type=int, metavar="N", help="Exactly so many, instead of the stop rule."),
    option("--budget", type=float, metavar="SECONDS", help="Of a case's samples.  [default: 1]"),
    seed,
    option("--config", type=FILE, metavar="FILE.toml", help="A file with these options as keys."),
    option("--quick", is_flag=True, help="3 rates and 3 group sizes, fewer samples."),
)
