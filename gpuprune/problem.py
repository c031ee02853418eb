"""A case as arrays: pruned weights, mask, activations, and what judges a product of theirs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from gpuprune import pruning, weights
from gpuprune.backends import Array, Backend
from gpuprune.errors import GpupruneError
from gpuprune.records import Case
from gpuprune.reference import Reference, Variation

Load = Callable[[Case], NDArray[Any]]  # the unpruned weights of a case: (rows, cols)

PREPARING, BEFORE, AFTER = range(3)  # the draws of activations: while packing, then checked twice
_LARGEST_UNIT = 1000  # its exponent, for the smallest float64 weights are below 2^-1024


@dataclass(frozen=True, kw_only=True)
class Problem:
    """The arrays of a case, on the device and the same for every contender.

    The activations are buffers, written anew after `prepare`, before each verification and
    before each timed call, in both orders alike: a product or a copy made of them earlier is
    stale.
    """

    case: Case
    weights: Array  # (rows, cols), C order, removed ones are zero
    mask: Array  # (rows, cols), bool, True = kept
    activations: Array  # (cols, batch), C order
    activations_fortran: Array  # (cols, batch), Fortran order
    nnz: int  # weights kept, exact zeros among them


@dataclass(frozen=True, kw_only=True)
class Trial(Problem):
    """A problem with what judges its products, which no contender gets to see."""

    pattern: str  # CRC-32 of the mask
    out_of_range: str | None  # why no product of the dtype can be judged, if none can
    _draws: Sequence[NDArray[Any]]  # what the activations are in turn, each (cols, batch)
    _chance: np.random.Generator
    _reference: Reference
    _refill: Callable[[], None]  # writes weights and mask as they were
    _on_device: Callable[[NDArray[Any]], Array]
    _fingerprint: tuple[bytes, ...]

    @property
    def achieved_rate(self) -> float:
        """Share of the weights that is removed."""
        return 1 - self.nnz / (self.case.rows * self.case.cols)

    @property
    def problem(self) -> Problem:
        """The same arrays, and nothing that tells what is expected of their product."""
        return Problem(
            case=self.case,
            weights=self.weights,
            mask=self.mask,
            activations=self.activations,
            activations_fortran=self.activations_fortran,
            nnz=self.nnz,
        )

    def renew(self, draw: int) -> None:
        """Write the activations of a draw into both buffers."""
        self._write(self._draws[draw])

    def vary(self) -> Variation:
        """Write activations that nobody can foresee, and whose product is known all the same.

        They are the columns of a draw in another order, each times a factor of its own.
        """
        draw = self._draws[BEFORE]
        batch = draw.shape[1]
        order = self._chance.permutation(batch)
        factors: NDArray[np.float64] = np.asarray(self._chance.uniform(0.5, 1.0, batch))
        if draw.dtype.itemsize <= 2:  # powers of two, and signs: these round nothing
            signs = self._chance.choice((-1.0, 1.0), batch)
            factors = np.ldexp(signs, self._chance.integers(-3, 4, batch))  # 1/8 to 8
        self._write(draw[:, order] * factors.astype(draw.dtype))
        return Variation(order, factors)

    def _write(self, activations: NDArray[Any]) -> None:
        self.activations[...] = self._on_device(activations)
        self.activations_fortran[...] = self.activations

    def error(self, product: NDArray[Any], draw: int, variation: Variation | None = None) -> float:
        """Compare a product (rows, batch) with the float64 reference of a draw or its variation.

        Returns the largest |C - C64| / (norm of the weights' row x norm of the activations'
        column); infinite where a norm is zero and the product is not; NaN where it holds NaN.
        A case of 16 bits is spared what it takes to store C: half a spacing of its dtype.
        Where products are so small that the dtype rounds them coarsely, the least ones that it
        does not take the place of the norms.
        """
        return self._reference.error(product, draw - BEFORE, variation)

    def restore(self) -> bool:
        """Undo what a contender did to weights and mask; tell whether anybody did anything."""
        if _fingerprint(self.weights, self.mask) == self._fingerprint:
            return False
        self._refill()
        return True


def make_trials(
    cases: Iterable[Case], backend: Backend, load: Load | None = None
) -> Iterator[Trial]:
    """Make the arrays of one case after the other; the next case may reuse those of the last.

    Weights are read, and groups ranked, only where they differ from those of the case before:
    order the cases by weights, then by group. `load` gives the weights of a case, as
    `load_weights` does where it is left out.
    """
    layer: _Layer | None = None
    for _, alike in groupby(cases, ranking_key):
        same = list(alike)
        if layer is None or layer.key != _layer_key(same[0]):
            layer = None  # gives its memory back before the next one takes its own
            layer = _Layer(same[0], (load or load_weights)(same[0]))
        layer.rank(same)
        for case in same:
            yield _make(case, layer, backend)


def ranking_key(case: Case) -> Case:
    """Return what cases share whose groups are ranked once: all but the rate."""
    return replace(case, rate=0.0)


def rank(weights: NDArray[Any], cases: Sequence[Case]) -> pruning.Ranking | None:
    """Rank the groups of weights (rows, cols) for cases that differ in nothing but the rate.

    Returns None for what was pruned elsewhere: its zeros are its mask.
    """
    case = cases[0]
    if case.as_is:
        return None
    return pruning.rank(
        weights,
        [case.rate for case in cases],
        case.group,
        score=case.score,
        seed=case.seed,
        orientation=case.orientation,
        min_groups_per_row=case.min_groups_per_row,
    )


def load_weights(case: Case) -> NDArray[Any]:
    """Read or draw the unpruned weights of a case: (rows, cols), C order, the case's dtype.

    Raises GpupruneError where the file's values do not fit the dtype.
    """
    shape = (case.rows, case.cols)
    dtype = numpy_dtype(case.dtype)
    random = np.random.default_rng(case.seed)
    if case.weights is None:
        return _normal(random, shape, dtype)
    (tensor,) = weights.select(case.weights)
    if tensor.is_pattern:
        return np.where(weights.read_pattern(tensor), _normal(random, shape, dtype), dtype.type(0))
    with np.errstate(over="ignore"):
        values: NDArray[Any] = weights.read(tensor).astype(dtype, copy=False)
    if not np.isfinite(values).all():
        raise GpupruneError(
            f"{tensor.label} holds values beyond the range of {case.dtype}",
            hint=f"take --dtype {tensor.dtype}, as the file has it",
        )
    return values


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return NumPy's dtype of a name, that of ml_dtypes for bfloat16."""
    if name == "bfloat16":
        import ml_dtypes

        name = ml_dtypes.bfloat16
    return np.dtype(name)


class _Layer:
    """What the cases of a layer share: weights, activations, ranking, and room for what is left.

    The room is used again for every case, because fresh pages cost more than the pruning itself.
    """

    def __init__(self, case: Case, unpruned: NDArray[Any]) -> None:
        self.key = _layer_key(case)
        self._unpruned = unpruned  # (rows, cols)
        # By this power of two, float64 weights near its limits have finite norms.
        exponent = -int(np.frexp(np.abs(self._unpruned).max())[1])
        self.unit = 2.0 ** min(exponent, _LARGEST_UNIT)
        self._ranking: pruning.Ranking | None = None
        seeded = np.random.default_rng((case.seed, case.cols, case.batch))
        unforeseeable = np.random.default_rng()  # what is checked last cannot be computed first
        self.draws = [
            _normal(random, (case.cols, case.batch), self._unpruned.dtype)
            for random in (seeded, seeded, unforeseeable)  # PREPARING, BEFORE, AFTER
        ]
        self.pruned = np.empty_like(self._unpruned)  # (rows, cols)
        self.kept = np.empty(self._unpruned.shape, bool)  # (rows, cols)

    def rank(self, cases: Sequence[Case]) -> None:
        """Rank the groups once for cases that differ in nothing but the rate."""
        self._ranking = None  # likewise
        self._ranking = rank(self._unpruned, cases)

    def prune(self, case: Case) -> None:
        """Write `kept` and `pruned` for a case."""
        if self._ranking is None:
            np.not_equal(self._unpruned, 0, out=self.kept)
        else:
            self._ranking.mask(case.rate, out=self.kept)
        np.multiply(self._unpruned, self.kept, out=self.pruned)


def _layer_key(case: Case) -> object:
    return (case.weights, case.rows, case.cols, case.batch, case.dtype, case.seed)


def _make(case: Case, layer: _Layer, backend: Backend) -> Trial:
    xp = backend.xp
    layer.prune(case)
    held, mask = xp.asarray(layer.pruned), xp.asarray(layer.kept)
    draws = tuple(xp.asarray(draw) for draw in layer.draws)
    reference = Reference(case, held, layer.unit, draws[BEFORE:], backend)

    def refill() -> None:
        layer.prune(case)
        held[...] = xp.asarray(layer.pruned)
        mask[...] = xp.asarray(layer.kept)

    return Trial(
        case=case,
        weights=held,
        mask=mask,
        activations=xp.array(draws[PREPARING], order="C"),
        activations_fortran=xp.array(draws[PREPARING], order="F"),
        nnz=int(np.count_nonzero(layer.kept)),
        pattern=f"{crc32(np.packbits(layer.kept).data):08x}",
        _draws=layer.draws,
        _chance=np.random.default_rng(),
        _on_device=xp.asarray,
        out_of_range=reference.out_of_range(),
        _reference=reference,
        _refill=refill,
        _fingerprint=_fingerprint(held, mask),
    )


def _normal(
    random: np.random.Generator, shape: tuple[int, int], dtype: np.dtype[Any]
) -> NDArray[Any]:
    wide = np.float64 if dtype == np.float64 else np.float32
    return random.standard_normal(shape, dtype=wide).astype(dtype, copy=False)


def _fingerprint(*matrices: Array) -> tuple[bytes, ...]:
    """Sum the bits of matrices along both axes.

    What moves or changes shows in one of the sums, unless values trade places so that all stay.
    """
    sums = []
    for matrix in matrices:
        width = 8 if matrix.shape[1] * matrix.itemsize % 8 == 0 else matrix.itemsize
        words = matrix.view(f"u{width}")  # (rows, words of a row)
        sums += [words.sum(axis=axis, dtype="u8").tobytes() for axis in (0, 1)]
    return tuple(sums)
