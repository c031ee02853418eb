"""What is still to be measured, and which of it a device may take."""

from collections.abc import Iterable, Iterator, Mapping
from math import ceil

from gpuprune.problem import ranking_key
from gpuprune.records import Case, layer_of

_SHARES = 2  # of what is left, that each worker takes: the last ones must not wait for one


class Backlog:
    """The cases nobody has in hand, given out in runs that share weights and ranking.

    What stands in one table is measured by one kind of device: the first kind that takes a case
    of a layer claims the layer, and `claims` says so of what was measured before.
    """

    def __init__(self, cases: Iterable[Case], claims: Mapping[Case, str] | None = None) -> None:
        self._claims = dict(claims or {})  # by layer
        self._runs: dict[Case, list[Case]] = {}  # by what they share, in the order of the cases
        for case in cases:
            self._runs.setdefault(ranking_key(case), []).append(case)

    def __len__(self) -> int:
        return sum(map(len, self._runs.values()))

    def take(self, kind: str, near: Case | None, workers: int) -> list[Case]:
        """Give out some cases, of the layer of the case `near` if it has any; none if none fits.

        A worker keeps its layer, because its weights are there, and otherwise begins one that
        nobody has begun.
        """
        layer = layer_of(near) if near else None
        best = min(
            self._open_to(kind),
            key=lambda run: (layer_of(run) != layer, layer_of(run) in self._claims),
            default=None,
        )
        if best is None:
            return []
        self._claims[layer_of(best)] = kind
        count = ceil(len(self) / (_SHARES * workers))
        taken, rest = self._runs[best][:count], self._runs[best][count:]
        if rest:
            self._runs[best] = rest
        else:
            del self._runs[best]
        return taken

    def give_back(self, cases: Iterable[Case]) -> None:
        """Take back what a lost worker had in hand."""
        for case in cases:
            self._runs.setdefault(ranking_key(case), []).append(case)

    def claimed_by_others(self, kinds: Iterable[str]) -> set[str]:
        """Name the kinds of devices that the rest waits for, if none of `kinds` may take any."""
        if any(True for kind in kinds for _ in self._open_to(kind)):
            return set()
        return {self._claims[layer_of(run)] for run in self._runs}

    def _open_to(self, kind: str) -> Iterator[Case]:
        return (run for run in self._runs if self._claims.get(layer_of(run), kind) == kind)
