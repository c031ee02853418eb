"""Every case times every contender, one result at a time: only what is right has a time."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from gpuprune import timing, weights
from gpuprune.backends import Backend
from gpuprune.config import Sweep
from gpuprune.contenders import NotApplicable, Prepare, Prepared
from gpuprune.errors import GpupruneError
from gpuprune.problem import (
    AFTER,
    BEFORE,
    PREPARING,
    Load,
    Trial,
    load_weights,
    make_trials,
)
from gpuprune.records import ITEM_BYTES, Calibration, Case, Contract, Result, Status, Timing
from gpuprune.roofline import predict, roofline

# Largest error (see Problem.error) of a right product, by the arithmetic's precision. A right
# float32 kernel is near 2e-8, one that drops a single weight near 1e-3.
TOLERANCE = {"float64": 1e-14, "float32": 1e-6, "tf32": 1e-3, "float16": 1e-3, "bfloat16": 1e-3}

_COPIES = 8  # of a layer and its operands that a case needs at once, ranking and float64 included


@dataclass
class Stopwatch:
    """How much of a sweep went into taking samples, in seconds."""

    measuring_s: float = 0.0
    clock: Callable[[], float] = field(default=time.monotonic)

    def run(self, function: Callable[[], Any]) -> Any:
        """Call a function whose time counts as measuring."""
        start = self.clock()
        try:
            return function()
        finally:
            self.measuring_s += self.clock() - start


def plan(sweep: Sweep) -> list[Case]:
    """List the cases of a sweep: by layer, then group, then rate, as they are best made.

    Reads the heads of weight files, and with `as_is` their values.
    """
    common: dict[str, Any] = {
        "dtype": sweep.dtype,
        "orientation": sweep.orientation,
        "score": sweep.score,
        "min_groups_per_row": sweep.min_groups_per_row,
        "seed": sweep.seed,
    }
    if sweep.weights is None:
        layers: list[dict[str, Any]] = [
            {"rows": rows, "cols": cols, "batch": batch} for rows, cols, batch in sweep.shape
        ]
        return _grid(sweep, layers, common)
    tensors = weights.select(sweep.weights, sweep.tensor)
    if sweep.as_is:
        return [_as_is(tensor, sweep, common) for tensor in tensors]
    if patterns := [tensor for tensor in tensors if tensor.is_pattern]:
        raise GpupruneError(
            f"{patterns[0].label} is a pattern without values, which cannot be ranked",
            hint="add --as-is to time it as it is",
        )
    layers = [
        {"rows": t.rows, "cols": t.cols, "batch": sweep.batch, "weights": t.label} for t in tensors
    ]
    return _grid(sweep, layers, common)


def check_weights(cases: Iterable[Case]) -> None:
    """Raise GpupruneError where a case's file holds what cannot be measured, such as NaN."""
    for _, alike in groupby(cases, lambda case: (case.weights, case.dtype)):
        case = next(alike)
        if case.weights is not None:
            load_weights(case)


def check_memory(cases: Iterable[Case], free: int) -> None:
    """Raise GpupruneError where a case needs more than so many bytes, which are free."""
    for case in cases:
        matrix, operands = case.rows * case.cols, (case.rows + case.cols) * case.batch
        need = ITEM_BYTES[case.dtype] * _COPIES * (matrix + operands)
        if need > free:
            raise GpupruneError(
                f"shape {case.rows}x{case.cols}x{case.batch} needs about {need / 2**30:.1f} GiB, "
                f"and {free / 2**30:.1f} GiB is free",
                hint="take a smaller --shape, or a layer that fits",
            )


def warm_up(prepares: Mapping[str, Prepare], case: Case, backend: Backend) -> None:
    """Run every contender once on a small case like `case`, so that no later time has compilation.

    What goes wrong here goes wrong again, and is reported, on the first real case.
    """
    small = replace(case, rows=64, cols=64, rate=0.5, weights=None, as_is=False)
    for trial in make_trials([small], backend):
        for prepare in prepares.values():
            try:
                for prepared in prepare(trial.problem, backend):
                    prepared.multiply()
                backend.synchronize()
            except timing.FAILURES:
                continue


def run(
    cases: Iterable[Case],
    prepares: Mapping[str, Prepare],
    backend: Backend,
    contract: Contract,
    calibration: Calibration,
    stopwatch: Stopwatch,
    load: Load | None = None,
) -> Iterator[list[Result]]:
    """Measure case by case; yields the results of one case, dense first, as soon as it is done.

    `prepares` maps the name of each contender to its `prepare`, the dense baseline among them;
    `load` gives the weights of a case where they do not lie in its file.
    """
    for trial in make_trials(cases, backend, load):
        yield _run_case(trial, prepares, backend, contract, calibration, stopwatch)


@dataclass
class _Entry:
    """A contender on its way through a case."""

    result: Result
    prepared: Prepared | None = None

    def reject(self, status: Status, reason: str) -> None:
        self.prepared = None
        self.result = replace(self.result, status=status, reason=reason, timing=None)


def _run_case(
    trial: Trial,
    prepares: Mapping[str, Prepare],
    backend: Backend,
    contract: Contract,
    calibration: Calibration,
    stopwatch: Stopwatch,
) -> list[Result]:
    entries = {
        name: _enter(name, prepare, trial, backend, contract, stopwatch)
        for name, prepare in prepares.items()
    }
    stopwatch.run(lambda: _time(entries, trial, backend, contract))
    for entry in entries.values():
        _verify_again(entry, trial, backend)
    return [_with_model(entry, trial, contract, calibration) for entry in entries.values()]


def _enter(
    name: str,
    prepare: Prepare,
    trial: Trial,
    backend: Backend,
    contract: Contract,
    stopwatch: Stopwatch,
) -> _Entry:
    """Prepare a contender, verify every variant, and keep the fastest that is right."""
    result = Result(
        case=trial.case,
        contender=name,
        status="ok",
        achieved_rate=trial.achieved_rate,
        nnz=trial.nnz,
        pattern=trial.pattern,
    )
    entry = _Entry(result)
    try:
        trial.renew(PREPARING)
        start = time.perf_counter()
        variants = prepare(trial.problem, backend)
        backend.synchronize()
        prepare_s = time.perf_counter() - start
        _require_variants(variants)
        checked = [(one, *_verify(one, trial, backend, BEFORE)) for one in variants]
        right = [(one, error) for one, error, wrong in checked if not wrong]
        rejected = [f"{one.variant}: {wrong}" for one, _, wrong in checked if wrong]
        if not right:
            entry.reject("wrong", "; ".join(rejected))
            return entry
        works = [one for one, _ in right]
        cold = contract.cache == "cold"
        best = stopwatch.run(
            lambda: timing.fastest(works, backend, cold=cold, renew=trial.shuffle)
        )
        entry.prepared, error = right[best]
        entry.result = replace(
            result,
            reason="; ".join(rejected) or None,
            variant=entry.prepared.variant,
            bytes=entry.prepared.bytes,
            prepare_s=prepare_s,
            error=error,
        )
    except NotApplicable as why:
        entry.reject("skipped", str(why))
    except timing.FAILURES as error:
        trial.restore()
        entry.reject("failed", f"{type(error).__name__}: {error}")
    return entry


def _require_variants(variants: object) -> None:
    """Raise ValueError unless a contender returned what can be timed."""
    if not isinstance(variants, list) or not variants:
        raise ValueError(f"prepare returned {variants!r}, and no list of what can be timed")
    for one in variants:
        if not isinstance(one, Prepared):
            raise ValueError(f"prepare returned {one!r}, which is not a Prepared")


def _verify_again(entry: _Entry, trial: Trial, backend: Backend) -> None:
    if entry.prepared is None:
        return
    try:
        error, wrong = _verify(entry.prepared, trial, backend, AFTER)
    except timing.FAILURES as failure:
        entry.reject("failed", f"after timing: {type(failure).__name__}: {failure}")
        return
    if wrong:
        entry.reject("wrong", f"after timing: {wrong}")
    else:
        entry.result = replace(entry.result, error=max(error, entry.result.error or 0.0))


def _verify(
    prepared: Prepared, trial: Trial, backend: Backend, draw: int
) -> tuple[float, str | None]:
    """Multiply fresh activations; return the error, and what is wrong with the product if so."""
    backend.delay()  # a product on another stream overtakes the activations, and shows
    trial.renew(draw)
    answer, array = prepared.multiply(), backend.xp.ndarray
    if type(answer) is not array:  # something lazy would do its work where nobody takes the time
        found, wanted = type(answer).__qualname__, f"{array.__module__}.{array.__qualname__}"
        return float("nan"), f"the product is a {found}, not a {wanted}"
    product = backend.numpy(answer)
    shape = (trial.case.rows, trial.case.batch)
    if product.shape != shape:
        return float("nan"), f"the product is {product.shape}, not {shape}"
    if trial.restore():
        return float("nan"), "it changed the weights it was given"
    error = trial.error(product, draw)
    tolerance = TOLERANCE[prepared.precision or trial.case.dtype]
    if not error <= tolerance:
        return error, f"its error is {error:.1e}, and a right product's at most {tolerance:.0e}"
    return error, None


def _time(
    entries: Mapping[str, _Entry], trial: Trial, backend: Backend, contract: Contract
) -> None:
    works = {name: one.prepared for name, one in entries.items() if one.prepared is not None}
    before = backend.neighbours()
    timings = timing.measure(works, backend, contract, trial.shuffle)
    disturbance = before or backend.neighbours()
    for name, taken in timings.items():
        entry = entries[name]
        if isinstance(taken, timing.HostBound):
            entry.reject("host_bound", str(taken))
            continue
        try:
            if isinstance(taken, BaseException):
                raise taken
            taken = _with_call(taken, works[name], trial, backend, contract)
        except timing.FAILURES as failure:
            entry.reject("failed", f"while timed: {type(failure).__name__}: {failure}")
            continue
        status: Status = "disturbed" if disturbance else "ok"
        entry.result = replace(
            entry.result,
            status=status,
            reason=disturbance or entry.result.reason,
            timing=taken,
        )


def _with_call(
    taken: Timing, prepared: Prepared, trial: Trial, backend: Backend, contract: Contract
) -> Timing:
    if prepared.call is None:
        return taken
    call = replace(prepared, multiply=prepared.call)
    samples = timing.measure_call(call, backend, contract, trial.shuffle)
    return replace(taken, call_samples_s=samples)


def _with_model(
    entry: _Entry, trial: Trial, contract: Contract, calibration: Calibration
) -> Result:
    """Set beside a time what its contender's work should take, and any product at least."""
    if (prepared := entry.prepared) is None:
        return entry.result
    cache, precision = contract.cache, prepared.precision or trial.case.dtype
    weights = prepared.multiplied or trial.nnz
    least = roofline(trial.case, weights, calibration, cache=cache, precision=precision)
    own = prepared.work and predict(prepared.work, calibration, cache=cache, precision=precision)
    return replace(
        entry.result,
        predicted_s=own.seconds if own else None,
        bound=own.bound if own else None,
        roofline_s=least.seconds if least else None,
    )


def _grid(sweep: Sweep, layers: list[dict[str, Any]], common: dict[str, Any]) -> list[Case]:
    return [
        Case(**layer, **common, group=group, rate=rate)
        for layer in layers
        for group in sweep.groups
        for rate in sweep.rates
    ]


def _as_is(tensor: weights.Tensor, sweep: Sweep, common: dict[str, Any]) -> Case:
    found = weights.detect_structure(weights.read_pattern(tensor))
    group = found.column_group if sweep.orientation == "column" else found.row_group
    return Case(
        rows=tensor.rows,
        cols=tensor.cols,
        batch=sweep.batch,
        weights=tensor.label,
        as_is=True,
        rate=found.rate,
        group=group or 1,
        **common,
    )
