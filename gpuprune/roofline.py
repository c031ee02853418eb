"""What a product takes at the device's own rates: any product at least, and one kernel in its way.

After Williams, Waterman and Patterson, "Roofline" (2009), with rates measured at the start of the
run. The *roofline* is of the fewest bytes and operations: the weights that are multiplied, the
activations and the output, each moved once, and no index at all; no format reaches it, and none
can pass it. A *prediction* is of the bytes and operations that a kernel really takes: indices,
padding, what it loads again for each group, its starts. Nothing in it is fitted to a time.
"""

from collections import defaultdict
from dataclasses import dataclass

from gpuprune.records import ITEM_BYTES, Calibration, Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of a product that is over before the next one begins, and what it asks of the device.

    Its bytes and operations go on at the same time, so that the slowest of them decides.
    """

    moved: float  # bytes, each once: through main memory, where caches are cold
    flops: float = 0.0  # multiplications and additions, also those of padding and stored zeros
    gathered: float = 0.0  # bytes read again and again, such as activations for each weight
    gathered_from: float = 0.0  # bytes they lie in: the smallest cache that holds these serves
    kept: float = 0.0  # bytes to and from a core's own cache or shared memory, such as sums

    def __post_init__(self) -> None:
        """Refuse amounts that cannot be."""
        amounts = (self.moved, self.flops, self.gathered, self.gathered_from, self.kept)
        if not all(amount >= 0 for amount in amounts):
            raise ValueError(f"a phase of less than nothing: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one product by one kernel asks of the device, by the kernel's own account."""

    phases: tuple[Phase, ...]
    starts: int = 0  # besides the call's: of further kernels on a GPU, of threads on a CPU
    cores: float = 1.0  # share of the device's cores that take part
    lanes: float = 1.0  # share of the vectors' lanes that its instructions fill

    def __post_init__(self) -> None:
        """Refuse shares that cannot be."""
        if not (0 < self.cores <= 1 and 0 < self.lanes <= 1 and self.starts >= 0):
            raise ValueError(f"no such share of a device: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A time in seconds, never a measured one, and what takes most of it."""

    seconds: float
    bound: str  # "memory", "cache", "core cache", "arithmetic" or "start"


def fewest_bytes(case: Case, nnz: int) -> int:
    """Count the bytes of `nnz` weights, the activations and the output, each moved once."""
    return ITEM_BYTES[case.dtype] * (nnz + (case.cols + case.rows) * case.batch)


def operations(case: Case, nnz: int) -> int:
    """Count the multiplications and additions of `nnz` weights with every column of the batch."""
    return 2 * nnz * case.batch


def roofline(
    case: Case, nnz: int, calibration: Calibration, *, cache: str, precision: str | None = None
) -> Estimate | None:
    """Bound the time of multiplying `nnz` weights of a case, None without a rate to bound it by.

    With warm caches, what fits a cache moves at its rate.
    """
    flops_per_s = calibration.flops_per_s.get(precision or case.dtype)
    if not flops_per_s:
        return None
    least = Phase(moved=fewest_bytes(case, nnz), flops=operations(case, nnz))
    return _estimate(Work(phases=(least,)), calibration, flops_per_s, 0.0, cache)


def predict(
    work: Work, calibration: Calibration, *, cache: str, precision: str
) -> Estimate | None:
    """Predict the time of a kernel's work, None where a rate that it needs was not measured.

    `precision` is that of its arithmetic. The rates are those of the whole device, so a kernel
    that shares its work out unevenly, waits for memory, or spends its instructions on anything
    but arithmetic takes longer; how much longer is what tuning could win.
    """
    flops_per_s = calibration.flops_per_s.get(precision)
    if not flops_per_s or not calibration.core_cache_bytes_per_s or calibration.start_s is None:
        return None
    calling_s = calibration.empty_s
    if cache == "cold" and calibration.cold_call_s is not None:
        calling_s = calibration.cold_call_s
    starting_s = calling_s + work.starts * calibration.start_s
    return _estimate(work, calibration, flops_per_s, starting_s, cache)


def _estimate(
    work: Work, calibration: Calibration, flops_per_s: float, starting_s: float, cache: str
) -> Estimate:
    operands = sum(phase.moved for phase in work.phases)
    moved_through = _level(operands, calibration) if cache == "warm" else "memory"
    rates = {
        "memory": calibration.memory_bytes_per_s,
        "cache": calibration.cache_bytes_per_s,
        "core cache": (calibration.core_cache_bytes_per_s or 0.0) * work.cores,
        "arithmetic": flops_per_s * work.cores * work.lanes,
    }
    binding = defaultdict(float, start=starting_s)  # seconds of the phases that each decides
    for phase in work.phases:
        asked: dict[str, float] = defaultdict(float, arithmetic=phase.flops)
        asked[moved_through] += phase.moved
        asked[_level(phase.gathered_from, calibration)] += phase.gathered
        asked["core cache"] += phase.kept
        taken = {name: amount / rates[name] for name, amount in asked.items() if amount}
        slowest = max(taken, key=taken.__getitem__, default="start")
        binding[slowest] += taken.get(slowest, 0.0)
    bound = max(binding, key=binding.__getitem__)
    return Estimate(seconds=sum(binding.values()), bound=bound)


def _level(size: float, calibration: Calibration) -> str:
    """Name the smallest cache that holds so many bytes, or memory."""
    if calibration.core_cache_bytes_per_s and size <= (calibration.core_cache_bytes or 0):
        return "core cache"
    return "cache" if size <= calibration.cache_bytes else "memory"
