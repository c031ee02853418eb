"""The least time a product can take: its fewest bytes and operations at the device's own rates.

After Williams, Waterman and Patterson, "Roofline" (2009), with rates measured at the start of the
run. The fewest bytes are the weights that are multiplied, the activations and the output, each
moved once, and no index at all; so no format reaches it, and none can pass it.
"""

from dataclasses import dataclass

from gpuprune.records import ITEM_BYTES, Calibration, Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """The least time, in seconds, and what sets it."""

    seconds: float
    bound: str  # "memory", "cache" or "arithmetic"


def roofline(
    case: Case, nnz: int, calibration: Calibration, *, cache: str, precision: str | None = None
) -> Roofline | None:
    """Bound the time of multiplying `nnz` weights of a case, None without a rate to bound it by.

    With warm caches, what fits the cache moves at its rate.
    """
    flops = calibration.flops_per_s.get(precision or case.dtype)
    if not flops:
        return None
    size = fewest_bytes(case, nnz)
    if cache == "warm" and size <= calibration.cache_bytes:
        moving, level = size / calibration.cache_bytes_per_s, "cache"
    else:
        moving, level = size / calibration.memory_bytes_per_s, "memory"
    computing = operations(case, nnz) / flops
    if computing > moving:
        return Roofline(seconds=computing, bound="arithmetic")
    return Roofline(seconds=moving, bound=level)


def fewest_bytes(case: Case, nnz: int) -> int:
    """Count the bytes of `nnz` weights, the activations and the output, each moved once."""
    return ITEM_BYTES[case.dtype] * (nnz + (case.cols + case.rows) * case.batch)


def operations(case: Case, nnz: int) -> int:
    """Count the multiplications and additions of `nnz` weights with every column of the batch."""
    return 2 * nnz * case.batch
