"""Ways to multiply a pruned matrix: one file each, and its name is its file name.

A contender is a module with a docstring, whose first line `gpuprune info` shows, and one
function, `prepare(problem, backend)`: untimed, it packs the weights into the contender's own
format and returns what can be timed, one `Prepared` a variant. What it cannot do it declines
by raising `NotApplicable`.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpuprune.backends import Array, Backend
from gpuprune.errors import GpupruneError
from gpuprune.roofline import Work

if TYPE_CHECKING:  # NumPy comes with it, and `gpuprune --help` lists contenders without
    from gpuprune.problem import Problem

BASELINE = "dense"


class NotApplicable(Exception):
    """This contender cannot do this case; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """One way to multiply, ready to be timed."""

    multiply: Callable[[], Array]  # reads the activations afresh at every call
    variant: str | None = None  # layout, algorithm, kernel
    bytes: int = 0  # of the operands: the packed weights, the activations, the output
    call: Callable[[], Array] | None = None  # what a user of the library would write, timed apart
    precision: str | None = None  # of the arithmetic, where it is not the weights' dtype
    multiplied: int | None = None  # weights that it multiplies, where more than the kept ones
    work: Work | None = None  # that a product takes; without it no time is predicted

    def __post_init__(self) -> None:
        """Refuse a size that cannot be."""
        if self.bytes < 0:
            raise ValueError(f"bytes is {self.bytes}")


Prepare = Callable[["Problem", Backend], list[Prepared]]


def names() -> list[str]:
    """List every contender, without importing any."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in found if not name.startswith("_"))


def defaults(orientation: str, device: str) -> list[str]:
    """List the contenders of an ordinary run, the dense baseline first."""
    wanted = [BASELINE, "csr", f"{orientation}_group"]
    if device == "cuda":
        wanted.append("dense_tf32")
    known = names()
    return [name for name in wanted if name in known]


def choose(asked: tuple[str, ...], orientation: str, device: str) -> list[str]:
    """Resolve `--contenders`: the defaults if nothing is asked, `all`, or a list of names.

    The dense baseline always runs, first: every other time is told against it.
    """
    known = names()
    if unknown := [name for name in asked if name not in (*known, "all")]:
        raise GpupruneError(
            f"unknown contender {unknown[0]!r}", hint=f"take some of {', '.join(known)}, or all"
        )
    chosen = known if "all" in asked else list(asked) or defaults(orientation, device)
    return [BASELINE, *(name for name in dict.fromkeys(chosen) if name != BASELINE)]


def load(name: str) -> Prepare:
    """Return the `prepare` of a contender, which imports its file when it is first called.

    So a file that cannot be imported is a contender that fails, and the others go on.
    """

    def prepare(problem: "Problem", backend: Backend) -> list[Prepared]:
        prepared: list[Prepared] = _module(name).prepare(problem, backend)
        return prepared

    return prepare


def describe(name: str) -> str:
    """Return the first line of a contender's docstring; its file must be one to be imported."""
    return (_module(name).__doc__ or "").strip().partition("\n")[0]


def _module(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name}")
