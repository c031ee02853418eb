"""The command line: parse, call, print. Exit codes and errors are decided here, once."""

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from gpuprune import __version__, environment
from gpuprune.cli import variables
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

# A command itself returns 0, or 1 for a finding: a wrong contender, a regression.
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


# What writing to a pipe or a file can end with. What our own files end with has been told already.
_CANNOT_WRITE = {
    errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF,
}  # fmt: skip


class _OutputFailed(Exception):
    """Nothing more can be written to stdout; the cause says why."""


class _Group(click.Group):
    """A group whose `main` turns whatever happens into a message and an exit code."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        extra["standalone_mode"] = False
        try:
            if sys.stdout is None:
                _refuse("stdout is closed, and results go there", "leave out `>&-`")
            code = super().main(*args, **extra)
            sys.exit(code if isinstance(code, int) else 0)
        except Incomparable as error:
            _refuse(str(error), error.hint, EXIT_INCOMPARABLE)
        except MeasurementFailed as error:
            _refuse(str(error), error.hint, EXIT_UNMEASURED)
        except GpupruneError as error:
            _refuse(str(error), error.hint)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            sys.exit(EXIT_USAGE)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "gpuprune"
            _refuse(error.format_message(), f"{command} --help shows how it is used")
        except click.ClickException as error:
            _refuse(error.format_message(), "check the path and its permissions")
        except (KeyboardInterrupt, click.Abort):
            click.echo("Interrupted.", err=True)
            sys.exit(EXIT_INTERRUPTED)
        except _OutputFailed as error:
            # So that Python does not complain at its end, when it flushes once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if isinstance(error.__cause__, BrokenPipeError):
                sys.exit(0)  # whoever reads has enough, as `head` does
            _refuse(f"cannot write to stdout: {error}", "check where the output goes")
        except Exception:
            traceback.print_exc(file=sys.stderr)
            click.echo(
                "This is a bug in gpuprune; please report it with the lines above.", err=True
            )
            sys.exit(EXIT_BUG)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Notice where help or the version cannot be written."""
        with _noticing_stdout():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Notice where the output of a command cannot be written."""
        with _noticing_stdout():
            if not {"-q", "--quiet"} & set(ctx.args):  # which the command has not read yet
                variables.warn_of_unknown(self)
            return super().invoke(ctx)


@contextmanager
def _noticing_stdout() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _CANNOT_WRITE or error.filename is not None:
            raise
        raise _OutputFailed(error.strerror) from error


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
