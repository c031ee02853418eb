"""What a sweep covers: defaults, then a TOML file, then the command line; the last word counts."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Self, get_args

from gpuprune.errors import GpupruneError
from gpuprune.records import Cache, Case, Contract, Dtype, Orientation, Score

PAPER_SHAPE = (4096, 4096, 50)
PAPER_RATE = 0.90  # at which a run with several is told
PAPER_GROUPS = (1, 2, 4, 8, 16, 32, 64)
_RATE_STEP = "0.02"
_DEFAULT_BATCH = 50
_MOST_CASES = 100_000
_MOST_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A grid of cases, and who runs on it how; by default the paper's sweep."""

    rates: tuple[float, ...]
    groups: tuple[int, ...] = PAPER_GROUPS
    shape: tuple[tuple[int, int, int], ...] = (PAPER_SHAPE,)  # rows, cols, batch
    batch: int = _DEFAULT_BATCH  # of layers read from a file
    dtype: Dtype = "float32"
    score: Score = "rms"
    orientation: Orientation = "row"
    device: str = "auto"
    contenders: tuple[str, ...] = ()  # empty: the defaults
    cache: Cache = "cold"
    weights: str | None = None  # FILE[::TENSOR]
    tensor: str | None = None  # pattern of names
    as_is: bool = False
    min_groups_per_row: int = 0
    seed: int = 0
    samples: int | None = None
    budget: float = 1.0  # seconds a case
    threads: int | None = None

    @property
    def contract(self) -> Contract:
        """How samples of this sweep are taken."""
        return Contract(cache=self.cache, samples=self.samples, budget_s=self.budget)

    def to_json(self) -> dict[str, Any]:
        """Return what a run file keeps of it."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what a run file kept.

        Raises GpupruneError, KeyError, TypeError or ValueError where it is something else.
        """
        absent = {field.name for field in fields(cls) if field.default is None}
        shape = ["x".join(map(str, sizes)) for sizes in values["shape"]]
        parsed: dict[str, Any] = {
            name: None if value is None and name in absent else _PARSERS[name](value, name)
            for name, value in {**values, "shape": shape}.items()
            if name != "contenders" or value  # none are the defaults
        }
        return cls(**parsed)


def paper() -> Sweep:
    """Return the sweep of the paper's Figure 3."""
    return Sweep(rates=parse_rates("0.8:0.98"))


def is_papers(case: Case) -> bool:
    """Whether what the paper measured of its layer is comparable with this case."""
    shape = (case.rows, case.cols, case.batch)
    way = (case.orientation, case.dtype, case.score, case.as_is)
    return shape == PAPER_SHAPE and way == ("row", "float32", "rms", False)


def quick() -> Sweep:
    """Return a sweep of the paper's layer that is done in seconds."""
    return replace(paper(), rates=(0.8, 0.9, 0.98), groups=(1, 8, 32), budget=0.4)


def load(path: Path | None, base: Sweep, options: Mapping[str, Any]) -> Sweep:
    """Merge a sweep, a TOML file and the options that were given (not None).

    Raises GpupruneError where a key is unknown, a value has no meaning, or two exclude each other.
    """
    given = {name: value for name, value in options.items() if value is not None}
    parsed = {
        name: _PARSERS[name](value, name)
        for values in (_read(path) if path else {}, given)  # an overridden value has to be right
        for name, value in values.items()
    }
    is_pattern = Path(parsed.get("weights", "").partition("::")[0]).suffix == ".smtx"
    if is_pattern:
        parsed["as_is"] = True
    _check_exclusions(
        parsed, "a .smtx pattern" if is_pattern else "what was pruned already (--as-is)"
    )
    sweep = replace(base, **parsed)
    if (count := len(sweep.rates) * len(sweep.groups) * len(sweep.shape)) > _MOST_CASES:
        raise GpupruneError(
            f"the sweep has {count} cases, more than {_MOST_CASES}",
            hint="take fewer --rates, --groups or shapes",
        )
    return sweep


def parse_rates(value: object, name: str = "rates") -> tuple[float, ...]:
    """Read `0.8,0.9` or `from:to[:step]`, in decimal arithmetic; the end is always included."""
    hint = "take a list such as 0.8,0.9 or a range such as 0.8:0.98 (step 0.02)"
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = [value]
    if isinstance(value, list | tuple):
        rates = [_rate(item, hint) for item in value]
    elif isinstance(value, str) and ":" in value:
        rates = _rate_range(value, hint)
    else:
        rates = [_rate(item, hint) for item in _split(value, name, hint)]
    return _no_duplicates(tuple(float(rate) for rate in rates), name, hint)


def parse_groups(value: object, name: str = "groups") -> tuple[int, ...]:
    """Read `1,2,4`: whole numbers from 1 on."""
    hint = "take whole numbers from 1 on, such as 1,8,32"
    if isinstance(value, int):
        value = [value]
    items = value if isinstance(value, list | tuple) else _split(value, name, hint)
    return _no_duplicates(tuple(_whole(item, "group", 1, hint) for item in items), name, hint)


def parse_shapes(value: object, name: str = "shape") -> tuple[tuple[int, int, int], ...]:
    """Read `ROWSxCOLSxBATCH`, one or several."""
    hint = "take ROWSxCOLSxBATCH, such as 4096x4096x50"
    items = value if isinstance(value, list | tuple) else _split(value, name, hint)
    return _no_duplicates(tuple(_shape(item, hint) for item in items), name, hint)


def _read(path: Path) -> dict[str, Any]:
    hint = "write it like the files in bench_configs/"
    try:
        if not path.is_file():
            raise GpupruneError(f"there is no configuration file {str(path)!r}", hint=hint)
        if path.stat().st_size > _MOST_FILE_BYTES:
            raise GpupruneError(f"{str(path)!r} is longer than 1 MiB", hint=hint)
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise GpupruneError(f"cannot read {str(path)!r}: {error}", hint=hint) from None
    known = [field.name for field in fields(Sweep)]
    table = {key.replace("-", "_"): value for key, value in table.items()}  # as options have it
    if unknown := [key for key in table if key not in known]:
        raise GpupruneError(
            f"{str(path)!r} has an unknown key {unknown[0]!r}",
            hint=f"known keys are {', '.join(known)}",
        )
    return table


def _check_exclusions(given: Mapping[str, Any], subject: str) -> None:
    if given.get("as_is"):
        pruning = ("rates", "groups", "score", "min_groups_per_row")
        if asked := [name for name in pruning if name in given]:
            raise GpupruneError(
                f"--{asked[0].replace('_', '-')} makes no sense with {subject}",
                hint=f"leave it out: {subject} has its own rate and group size",
            )
        if not given.get("weights"):
            raise GpupruneError(
                "--as-is needs weights that somebody pruned", hint="add --weights FILE"
            )
    if given.get("weights") and "shape" in given:
        raise GpupruneError(
            "--shape makes no sense with --weights",
            hint="the file gives rows and cols; take --batch N for the dense operand",
        )
    if "batch" in given and not given.get("weights"):
        raise GpupruneError(
            "--batch makes no sense without --weights", hint="take --shape ROWSxCOLSxBATCH"
        )
    if given.get("tensor") and not given.get("weights"):
        raise GpupruneError("--tensor needs a file", hint="add --weights FILE")


def _decimal(value: object, hint: str) -> Decimal:
    try:
        return Decimal(repr(value) if isinstance(value, float) else str(value).strip())
    except InvalidOperation:
        raise GpupruneError(f"rate {value!r} is no number", hint=hint) from None


def _rate(value: object, hint: str) -> Decimal:
    rate = _decimal(value, hint)
    if isinstance(value, bool) or not (rate.is_finite() and 0 <= rate <= 1):
        raise GpupruneError(f"rate {value} is not between 0 and 1", hint=hint)
    return rate


def _rate_range(text: str, hint: str) -> list[Decimal]:
    parts = text.split(":")
    if len(parts) not in (2, 3):
        raise GpupruneError(f"rates {text!r} is no range", hint=hint)
    first, last = (_rate(part, hint) for part in parts[:2])
    if first > last:
        raise GpupruneError(f"rates {text!r} run from high to low", hint=f"take {last}:{first}")
    step = _decimal((*parts, _RATE_STEP)[2], hint)
    if not (step.is_finite() and step > 0):
        raise GpupruneError(f"rates {text!r} have a step that is not above 0", hint=hint)
    count = int((last - first) / step) + 1
    if count > _MOST_CASES:
        raise GpupruneError(f"rates {text!r} are {count} rates", hint="take a larger step")
    rates = [first + step * i for i in range(count)]
    return rates if rates[-1] == last else [*rates, last]


def _shape(value: object, hint: str) -> tuple[int, int, int]:
    parts = str(value).lower().split("x")
    if len(parts) != 3:
        raise GpupruneError(f"shape {value!r} is not rows, cols and batch", hint=hint)
    rows, cols, batch = (_whole(part, f"shape {value!r}:", 1, hint) for part in parts)
    return rows, cols, batch


def _whole(value: object, what: str, least: int, hint: str) -> int:
    text = str(value).strip()
    digits = text.removeprefix("-")
    if isinstance(value, bool) or not (digits.isascii() and digits.isdigit()):
        raise GpupruneError(f"{what} {text!r} is no whole number", hint=hint)
    if len(digits) > 18 or int(text) < least:
        raise GpupruneError(f"{what} {text} is not in {least} to 10^18 - 1", hint=hint)
    return int(text)


def _split(value: object, name: str, hint: str) -> list[str]:
    items = [item.strip() for item in value.split(",")] if isinstance(value, str) else []
    if not items or not all(items):
        raise GpupruneError(f"{name} {value!r} is no list", hint=hint)
    return items


def _no_duplicates(values: tuple[Any, ...], name: str, hint: str) -> tuple[Any, ...]:
    if not values:
        raise GpupruneError(f"{name} is empty", hint=hint)
    return tuple(dict.fromkeys(values))


def _names(value: object, name: str) -> tuple[str, ...]:
    items = value if isinstance(value, list | tuple) else _split(value, name, "such as dense,csr")
    return _no_duplicates(tuple(map(str, items)), name, "such as dense,csr, or leave it out")


def _number(value: object, name: str) -> float:
    try:
        number = float(value) if isinstance(value, int | float | str) else -1.0
    except ValueError:
        number = -1.0
    if isinstance(value, bool) or not 0 < number <= 86_400:
        raise GpupruneError(
            f"{name} {value!r} is no number of seconds above 0", hint="such as --budget 2.5"
        )
    return number


def _from(least: int) -> Callable[[object, str], int]:
    def parse(value: object, name: str) -> int:
        return _whole(value, name, least, f"take a whole number from {least} on")

    return parse


def _one_of(kind: Any) -> Callable[[object, str], str]:
    known = get_args(kind)

    def parse(value: object, name: str) -> str:
        if value not in known:
            raise GpupruneError(f"unknown {name} {value!r}", hint=f"take {', '.join(known)}")
        return str(value)

    return parse


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise GpupruneError(f"{name} {value!r} is no text", hint=f"give {name} a value")
    return value


def _flag(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise GpupruneError(f"{name} {value!r} is neither true nor false", hint="take true")
    return value


_PARSERS: dict[str, Callable[[Any, str], Any]] = {
    "rates": parse_rates,
    "groups": parse_groups,
    "shape": parse_shapes,
    "batch": _from(1),
    "dtype": _one_of(Dtype),
    "score": _one_of(Score),
    "orientation": _one_of(Orientation),
    "device": _text,
    "contenders": _names,
    "cache": _one_of(Cache),
    "weights": _text,
    "tensor": _text,
    "as_is": _flag,
    "min_groups_per_row": _from(0),
    "seed": _from(0),
    "samples": _from(1),
    "budget": _number,
    "threads": _from(1),
}
