"""What pruning accepts: each check returns the value or says what is wrong with it."""

import operator
from fractions import Fraction
from typing import get_args

import numpy as np

from gpuprune.errors import GpupruneError
from gpuprune.pruning.groups import Array
from gpuprune.records import Dtype


def checked_matrix(weights: Array) -> Array:
    matrix = np.asarray(weights)
    known = get_args(Dtype)
    # By name: bfloat16 is known without importing the package that defines it.
    if matrix.dtype.name not in known:
        raise GpupruneError(
            f"weights of type {matrix.dtype} cannot be pruned",
            hint=f"convert them to one of {', '.join(known)}",
        )
    if matrix.ndim != 2:
        raise GpupruneError(
            f"the weights have {matrix.ndim} dimensions (shape {matrix.shape}), not 2",
            hint="reshape them to (outputs, inputs)",
        )
    if matrix.size == 0:
        raise GpupruneError(
            f"the weights are empty (shape {matrix.shape})",
            hint="give a matrix with at least one row and one column",
        )
    return matrix


def checked_int(name: str, value: int, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise GpupruneError(f"{name} {value!r} is not an integer", hint=f"give {name} as an int")
    if number < least:
        raise GpupruneError(f"{name} {number} is below {least}", hint=f"give {least} or more")
    return number


def checked_name(what: str, name: str, known: tuple[str, ...]) -> str:
    if name not in known:
        raise GpupruneError(f"unknown {what} {name!r}", hint=f"choose from {', '.join(known)}")
    return name


def exact_rate(rate: float) -> Fraction:
    """Take a rate as the decimal it prints as: 0.7 x 45 is 31.5, which binary floats miss."""
    try:
        exact = Fraction(str(rate))
    except ValueError:
        exact = None
    if exact is None or not 0 <= exact <= 1:
        raise GpupruneError(
            f"rate {rate} is not between 0 and 1",
            hint="a rate is the share to remove, such as 0.9",
        )
    return exact
