"""What a run asks and what it found: frozen, JSON-ready, free of arrays."""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import PurePath
from statistics import median
from typing import Any, Literal, Self

SCHEMA = 1

Dtype = Literal["float32", "float64", "float16", "bfloat16"]
Score = Literal["rms", "mean", "median", "random"]
Orientation = Literal["row", "column"]
Cache = Literal["cold", "warm"]
Status = Literal["ok", "skipped", "wrong", "failed", "host_bound", "disturbed"]
StoppedBy = Literal["samples", "precision", "budget"]

LAYER = ("weights", "rows", "cols", "batch")  # fields that name a layer, in the order of rows
NAMELESS = "''"  # for people, a tensor that has an empty name
ITEM_BYTES = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One point of a sweep: a layer, and how it is pruned.

    rows are the layer's outputs, cols its inputs, batch the columns of the dense operand.
    """

    rows: int
    cols: int
    batch: int
    dtype: Dtype = "float32"
    rate: float  # share of the groups removed, 0 to 1
    group: int  # neighbouring weights that are pruned together
    orientation: Orientation = "row"
    score: Score = "rms"
    min_groups_per_row: int = 0
    seed: int = 0
    weights: str | None = None  # FILE::TENSOR, or None for normal random weights
    as_is: bool = False  # the weights' own zeros are the mask

    @property
    def shape(self) -> str:
        """The layer and its batch as `--shape` takes them."""
        return f"{self.rows}x{self.cols}x{self.batch}"

    @property
    def name(self) -> str:
        """What people call the layer, see `layer_name`."""
        return layer_name(self.weights, self.shape)

    def layer(self) -> dict[str, Any]:
        """Return what names the layer, as rows of any table for programs have it."""
        return {name: getattr(self, name) for name in LAYER}

    def setting(self) -> dict[str, Any]:
        """Return all that rows have of a case before its rate and group."""
        names = ("dtype", "orientation", "score", "seed")
        return {**self.layer(), **{name: getattr(self, name) for name in names}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """How samples are taken; two runs are comparable only under the same contract."""

    cache: Cache = "cold"
    samples: int | None = None  # a fixed number of samples, or None for the stop rule
    min_samples: int = 10
    precision: float = 0.005  # relative standard error at which sampling stops
    budget_s: float = 1.0  # seconds for all contenders of one case
    call_samples: int = 3  # of what a user of the library would write
    clock_floor: float = 0.75  # of a contender's median SM clock: samples below are discarded


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Raw samples in seconds, and how they were taken."""

    samples_s: tuple[float, ...]
    cache: Cache
    stopped_by: StoppedBy
    call_samples_s: tuple[float, ...] = ()
    host_bound_samples: int = 0  # discarded: the device waited for the host
    throttled_samples: int = 0  # discarded: the SM clock had dropped

    @property
    def median_s(self) -> float:
        """Median of the samples, in seconds."""
        return median(self.samples_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What the device reaches, measured at the start of a run, in SI units."""

    empty_s: float  # the time of a callable that does nothing, taken like any sample
    resolution_s: float  # the smallest difference the clock shows
    memory_bytes_per_s: float  # reading and writing main (device) memory
    cache_bytes_per_s: float  # reading what fits the last-level cache
    cache_bytes: int  # what the cache holds
    evict_bytes: int  # what is touched to evict it
    flops_per_s: dict[str, float]  # of a large dense product, by precision
    # Runs that are older than the predictions have none of these.
    core_cache_bytes_per_s: float | None = None  # all cores reading what each has to itself
    core_cache_bytes: int | None = None  # of one core: a CPU's second cache, a GPU's shared memory
    start_s: float | None = None  # what starting all threads, or one more kernel, adds to a call
    cold_call_s: float | None = None  # of a product of one number, whose code is read anew as well


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One contender on one case."""

    case: Case
    contender: str
    status: Status
    reason: str | None = None
    variant: str | None = None
    achieved_rate: float | None = None  # share of the weights removed
    nnz: int | None = None  # weights kept
    pattern: str | None = None  # CRC-32 of the mask, which tells one pruning from another
    bytes: int | None = None  # of the operands: the packed weights, the activations, the output
    prepare_s: float | None = None  # of packing the weights, without what is compiled for it
    error: float | None = None
    predicted_s: float | None = None  # of the work that the contender states, at measured rates
    roofline_s: float | None = None  # that no product can be faster than
    bound: str | None = None  # what takes most of the predicted time
    node: str | None = None  # who measured it, where a run has several; None: the run's own
    device_name: str | None = None  # likewise
    device_id: str | None = None  # what tells the device from its equals, such as a GPU's UUID
    timing: Timing | None = None

    def to_record(self) -> dict[str, Any]:
        """Flatten into one line of a run file."""
        line = {"record": "result", **asdict(self)}
        timing = line.pop("timing") or dict.fromkeys(f.name for f in fields(Timing))
        return {**line, **timing}

    @classmethod
    def from_record(cls, line: dict[str, Any]) -> Self:
        """Read a line of a run file; raises KeyError or TypeError where it is none.

        What it lacks of the fields that have a default is what an older gpuprune did not know.
        """
        own = {f.name for f in fields(cls)} - {"case", "timing"}
        return cls(
            **{name: line[name] for name in own & line.keys()},
            case=Case(**line["case"]),
            timing=_timing(line) if line["samples_s"] is not None else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first line of any run file: what was asked, and where."""

    version: str
    started: str  # ISO 8601, with the offset
    arguments: tuple[str, ...]
    configuration: dict[str, Any]
    environment: dict[str, Any]
    schema: int = SCHEMA

    def to_record(self) -> dict[str, Any]:
        """Flatten into the first line of a run file."""
        return {"record": "run", "schema": self.schema, **asdict(self)}

    @classmethod
    def from_record(cls, line: dict[str, Any]) -> Self:
        """Read the first line of a run file; raises KeyError or TypeError where it is none."""
        values = {f.name: line[f.name] for f in fields(cls)}
        return cls(**{**values, "arguments": tuple(values["arguments"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Header):
    """The first line of a run of `bench`, which also says how it was timed."""

    contract: Contract
    calibration: Calibration

    @classmethod
    def from_record(cls, line: dict[str, Any]) -> Self:
        """Read the first line of a run file; raises KeyError or TypeError where it is none."""
        values = {f.name: line[f.name] for f in fields(cls)}
        values["arguments"] = tuple(values["arguments"])
        values["contract"] = Contract(**values["contract"])
        values["calibration"] = Calibration(**values["calibration"])
        return cls(**values)


def layer_of(case: Case) -> Case:
    """Return what the cases of one table share: the case without rate and group."""
    return replace(case, rate=0.0, group=1)


def layer_name(weights: str | None, shape: str) -> str:
    """Name a layer by its tensor, else by the file that holds it, else by its shape."""
    file, has_tensor, tensor = (weights or "").partition("::")
    return (tensor or NAMELESS) if has_tensor else PurePath(file).name or shape


def _timing(line: dict[str, Any]) -> Timing:
    values = {f.name: line[f.name] for f in fields(Timing)}
    for name in ("samples_s", "call_samples_s"):
        values[name] = tuple(values[name])
    return Timing(**values)
