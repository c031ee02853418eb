"""Which verdicts `--explain` names."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from gpuprune import contenders, plan
from gpuprune.config import Sweep
from gpuprune.errors import GpupruneError
from gpuprune.records import Case
from gpuprune.regression.baseline import Baseline
from gpuprune.regression.efficiency import judge_efficiency
from gpuprune.regression.verdict import Verdict

Place = tuple[str, Case | None]  # what a verdict is on: a contender, at a case or over all

_MOST_LAYERS = 5  # that a hint names


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What is asked for: a contender, alone or at a rate and a group, of one layer or of any."""

    contender: str
    rate: float | None = None
    group: int | None = None
    layer: str | None = None

    def __str__(self) -> str:
        parts = (self.contender, _printed(self.rate), self.group, self.layer)
        return ",".join(str(part) for part in parts if part is not None)

    def covers(self, place: Place) -> bool:
        """Whether a verdict on this place is asked for."""
        contender, case = place
        if case is None:
            return self == Cell(contender=contender)
        return (
            (contender, case.group) == (self.contender, self.group)
            and _printed(case.rate) == _printed(self.rate)
            and self.layer in (None, case.name, case.weights, case.shape)
        )


def parse(text: str | None) -> Cell | None:
    """Read `csr,0.9,8`, the same with `,TENSOR` for one of several layers, or `csr` alone."""
    if text is None:
        return None
    name, *rest = text.split(",", 3)
    try:
        if not rest:
            return Cell(contender=name.strip())
        rate, group, *layer = rest
        return Cell(
            contender=name.strip(),
            rate=float(rate),
            group=int(group),
            layer=layer[0].strip() if layer else None,
        )
    except ValueError:
        raise GpupruneError(
            f"--explain {text!r} is no cell",
            hint="take CONTENDER,RATE,GROUP such as csr,0.9,8, and ,TENSOR for one of several "
            "layers",
        ) from None


def matching(cell: Cell | None, verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Choose the verdicts that are asked for."""
    return [one for one in verdicts if cell and cell.covers((one.contender, one.case))]


def places_of_baseline(baseline: Baseline) -> set[Place]:
    """Return what there can be a verdict on, where a baseline's own sweep is measured."""
    figures = judge_efficiency(baseline.profile, [], 0.0)
    cells: set[Place] = {(name, case) for case, name in baseline.arm.times}
    alone: set[Place] = {(name, None) for name, _ in cells}
    return cells | alone | {(one.contender, one.case) for one in figures}


def places_of_sweep(asked: Sweep) -> set[Place]:
    """Return what there can be a verdict on, where a sweep is measured."""
    cases = [*plan.cases(asked), None]
    return {(name, case) for name in contenders.names() for case in cases}


def require(cell: Cell | None, places: Collection[Place]) -> None:
    """Refuse to explain what there will be no verdict on, before anything is measured."""
    if cell is None or any(map(cell.covers, places)):
        return
    message = f"there is no cell {cell} to explain"
    if own := [case for place in places if (case := place[1]) and _of_any(cell).covers(place)]:
        layers = sorted({case.name for case in own})
        more = " and so on" if len(layers) > _MOST_LAYERS else ""
        raise GpupruneError(
            message, hint=f"its layers are {', '.join(layers[:_MOST_LAYERS])}{more}"
        )
    names = ", ".join(sorted({name for name, _ in places}))
    at = sorted((one.rate, one.group) for name, one in places if one and name == cell.contender)
    first = Cell(contender=cell.contender, rate=at[0][0], group=at[0][1]) if at else None
    raise GpupruneError(
        message, hint=f"there are {names}" + (f", at {first} and so on" if first else "")
    )


def _of_any(cell: Cell) -> Cell:
    return replace(cell, layer=None)


def _printed(rate: float | None) -> str | None:
    """Return a rate as tables have it: one that was detected has more digits than they show."""
    return None if rate is None else f"{rate:g}"
