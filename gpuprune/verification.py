"""Whether a product is right: its kind, its shape, and its distance from float64."""

from gpuprune.backends import Array, Backend
from gpuprune.contenders import Prepared
from gpuprune.problem import Trial
from gpuprune.records import ITEM_BYTES
from gpuprune.reference import Variation

# Largest error (see Trial.error) of a right product, by the arithmetic's precision. A right
# float32 kernel is near 2e-8, one that drops a single weight near 1e-3. Storing 16 bits is no
# part of it: bfloat16 rounds what a layer of one weight gives by up to 4e-3.
TOLERANCE = {"float64": 1e-14, "float32": 1e-6, "tf32": 1e-3, "float16": 1e-3, "bfloat16": 1e-3}

CHANGED = "it changed the weights it was given"


def verify(
    prepared: Prepared, trial: Trial, backend: Backend, draw: int
) -> tuple[float, str | None]:
    """Multiply fresh activations; return the error, and what is wrong with the product if so."""
    backend.delay()  # a product on another stream overtakes the activations, and shows
    trial.renew(draw)
    error, wrong = judge(prepared.multiply(), prepared, trial, backend, draw)
    if trial.restore():
        return float("nan"), CHANGED
    return error, wrong


def judge(
    answer: Array,
    prepared: Prepared,
    trial: Trial,
    backend: Backend,
    draw: int,
    variation: Variation | None = None,
) -> tuple[float, str | None]:
    """Compare a product with what it should be; return the error, and what is wrong if so."""
    array = backend.xp.ndarray
    if type(answer) is not array:  # something lazy would do its work where nobody takes the time
        found, wanted = type(answer).__qualname__, f"{array.__module__}.{array.__qualname__}"
        return float("nan"), f"the product is a {found}, not a {wanted}"
    if str(answer.dtype) not in ITEM_BYTES:
        return float("nan"), f"the product is of {answer.dtype}"
    product = backend.numpy(answer)
    shape = (trial.case.rows, trial.case.batch)
    if product.shape != shape:
        return float("nan"), f"the product is {product.shape}, not {shape}"
    error = trial.error(product, draw, variation)
    tolerance = TOLERANCE[prepared.precision or trial.case.dtype]
    if not error <= tolerance:
        return error, f"its error is {error:.1e}, and a right product's at most {tolerance:.0e}"
    return error, None
