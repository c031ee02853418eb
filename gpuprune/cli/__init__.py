"""The command line: parse, call, print. Exit codes and errors are decided here, once."""

import os
import sys
import traceback
from typing import Any, NoReturn

import click

from gpuprune import __version__, environment
from gpuprune.cli.accuracy import accuracy
from gpuprune.cli.baseline import baseline
from gpuprune.cli.bench import bench
from gpuprune.cli.calibrate import calibrate
from gpuprune.cli.check import check
from gpuprune.cli.info import info
from gpuprune.cli.inspect import inspect
from gpuprune.cli.plot import plot
from gpuprune.cli.profile import profile
from gpuprune.cli.prune import prune
from gpuprune.cli.report import report
from gpuprune.cli.tradeoff import tradeoff
from gpuprune.errors import GpupruneError
from gpuprune.regression import Incomparable, MeasurementFailed

EXIT_FINDING = 1  # a contender was wrong, or a regression was found
EXIT_USAGE = 2  # options, configuration, input or machine
EXIT_BUG = 3
EXIT_INCOMPARABLE = 4  # of check: no baseline that can be used
EXIT_UNMEASURED = 5  # of check: the measurement failed
EXIT_INTERRUPTED = 130

CONTEXT = {
    "help_option_names": ["-h", "--help"],
    "auto_envvar_prefix": "GPUPRUNE",
    "color": False if os.environ.get("NO_COLOR") else None,  # click does not look by itself
    "max_content_width": 100,
}


class _Group(click.Group):
    """A group whose `main` turns whatever happens into a message and an exit code."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        extra["standalone_mode"] = False
        try:
            code = super().main(*args, **extra)
            sys.exit(code if isinstance(code, int) else 0)
        except Incomparable as error:
            _refuse(str(error), error.hint, EXIT_INCOMPARABLE)
        except MeasurementFailed as error:
            _refuse(str(error), error.hint, EXIT_UNMEASURED)
        except GpupruneError as error:
            _refuse(str(error), error.hint)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "gpuprune"
            _refuse(error.format_message(), f"{command} --help shows how it is used")
        except click.ClickException as error:
            _refuse(error.format_message(), "check the path and its permissions")
        except (KeyboardInterrupt, click.Abort):
            sys.exit(EXIT_INTERRUPTED)
        except Exception:
            traceback.print_exc(file=sys.stderr)
            click.echo(
                "This is a bug in gpuprune; please report it with the lines above.", err=True
            )
            sys.exit(EXIT_BUG)

    def invoke(self, ctx: click.Context) -> Any:
        """Stop quietly where whoever reads the output has enough, as `head` does."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # So that Python does not complain at its end, when it flushes once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return ctx.exit(0)


def _refuse(message: str, hint: str, code: int = EXIT_USAGE) -> NoReturn:
    click.secho(f"Error: {message}", fg="red", err=True)
    click.echo(f"Hint: {hint}", err=True)
    sys.exit(code)


@click.group(cls=_Group, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="gpuprune")
def cli() -> None:
    """Measure whether pruning a neural network's layer pays on the hardware at hand.

    \b
    Examples:
      gpuprune bench                      the paper's sweep, on the GPU if there is one
      gpuprune bench --quick              the same layer in seconds
      gpuprune bench --weights model.safetensors --rates 0.9 --groups 1,8
      gpuprune prune model.safetensors pruned.safetensors --rate 0.9 --group 8
    """  # noqa: D301 - click wants the backspace itself
    environment.let_waiting_threads_sleep()


for command in (
    bench, profile, check, baseline, calibrate, accuracy, tradeoff, plot, report, prune, inspect,
    info,
):  # fmt: skip
    cli.add_command(command)
