"""What the scripts share: mistakes of a command line end as those of gpuprune do."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from gpuprune.errors import GpupruneError


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one error and one hint."""

    def __init__(self, description: str | None) -> None:
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    def error(self, message: str) -> NoReturn:
        """Raise GpupruneError."""
        raise GpupruneError(
            message, hint=f"python benchmarks/{self.prog} --help shows the options"
        )


def count(text: str) -> int:
    """Read a whole number from 1 on."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a script and exit: 0 done, 1 a goal is missed, 2 bad usage or input."""
    try:
        code = main()
        sys.stdout.flush()
        sys.exit(code)
    except BrokenPipeError:  # whoever reads has enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except GpupruneError as error:
        print(f"Error: {error}", file=sys.stderr)
        print(f"Hint: {error.hint}", file=sys.stderr)
        sys.exit(2)
