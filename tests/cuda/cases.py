"""The cases that every kernel for groups must get right, on a CPU and on a GPU."""

from dataclasses import replace

import numpy as np

from gpuprune.contenders.column_group import device as column_device
from gpuprune.contenders.row_group import device as row_device
from gpuprune.problem import BEFORE
from tests.conftest import problem_of

DEVICES = {"row": row_device, "column": column_device}

# Rows, columns, batch: fewer rows than a group, groups that do not divide, more than one slab.
SHAPES = [
    (1, 1, 1),
    (3, 2, 1),
    (5, 64, 51),
    (70, 33, 17),
    (64, 300, 33),
    (129, 130, 64),
    (16, 200, 257),
]
# Group, rate: every depth of a step, groups of several steps, all kept, all removed.
PATTERNS = [
    (1, 0.0),
    (1, 0.9),
    (2, 0.5),
    (3, 0.7),
    (4, 0.95),
    (8, 0.8),
    (13, 0.5),
    (16, 1.0),
    (32, 0.6),
    (48, 0.0),
    (64, 0.7),
]
# What a right product may be off by, as a share of itself: half a unit in the last place.
ROUNDING = {"float32": 0.0, "float16": 2.0**-11, "bfloat16": 2.0**-8}
SUBNORMAL = {"float32": 0.0, "float16": 2.0**-25, "bfloat16": 0.0}
SUMMING = 1e-6  # of the norms, in float32


def trials(backend, orientation, dtype, patterns=PATTERNS, shapes=SHAPES):
    """Make the cases of an orientation; a few of them at a time are quick."""
    for group, rate in patterns:
        for rows, cols, batch in shapes:
            yield problem_of(
                backend,
                rows=rows,
                cols=cols,
                batch=batch,
                group=group,
                rate=rate,
                orientation=orientation,
                dtype=dtype,
            )


def excess(backend, problem, product):
    """Return how far a product is from float64, over what its dtype's rounding explains.

    A right one is at most 1.
    """
    dtype = problem.case.dtype
    assert product.shape == (problem.case.rows, problem.case.batch)
    weights, mask, activations = (
        backend.numpy(one).astype(np.float64)
        for one in (problem.weights, problem.mask, problem.activations)
    )
    weights *= mask
    expected = weights @ activations
    scale = np.linalg.norm(weights, axis=1)[:, None] * np.linalg.norm(activations, axis=0)
    allowed = SUMMING * scale + ROUNDING[dtype] * abs(expected) + SUBNORMAL[dtype]
    difference = abs(product.astype(np.float64) - expected)
    return float(
        np.where(difference == 0, 0, difference / np.maximum(allowed, 1e-300)).max(initial=0)
    )


def multiply(backend, trial, gpu):
    """Multiply activations that did not exist when the weights were packed."""
    prepared = DEVICES[trial.case.orientation].prepare(trial, gpu)
    trial.renew(BEFORE)
    return backend.numpy(prepared.multiply())


def odd_views(problem, xp):
    """Yield a problem with the same values in memory as others leave it: name and problem."""
    weights, mask, activations = problem.weights, problem.mask, problem.activations
    cols, batch = activations.shape
    yield (
        "Fortran order",
        replace(problem, weights=xp.array(weights, order="F"), mask=xp.array(mask, order="F")),
    )
    wide = xp.full((cols, batch + 3), xp.nan, activations.dtype)
    wide[:, 1:-2] = activations
    yield "rows apart, and not aligned", replace(problem, activations=wide[:, 1:-2])
    wide = xp.full((cols, batch + 1), xp.nan, activations.dtype)
    wide[:, :-1] = activations
    yield "rows one value apart", replace(problem, activations=wide[:, :-1])
    twice = xp.full((cols, 2 * batch), xp.nan, activations.dtype)
    twice[:, ::2] = activations
    yield "columns apart", replace(problem, activations=twice[:, ::2])
    flat = xp.empty(cols * batch + 1, activations.dtype)
    flat[1:] = activations.ravel()
    yield "one value off", replace(problem, activations=flat[1:].reshape(cols, batch))
    yield "backwards", replace(problem, activations=xp.ascontiguousarray(activations[::-1])[::-1])
