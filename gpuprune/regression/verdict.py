"""What is held of a cell, a contender or the device."""

from dataclasses import dataclass
from typing import Literal

from gpuprune.records import Case

Level = Literal["cell", "contender", "device", "profile"]
Word = Literal["SLOW", "FAST", "SAME", "UNSURE", "MISSING", "NEW"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A change and what it means; numbers are shares of the baseline's time."""

    level: Level
    verdict: Word
    contender: str
    setting: tuple[str, ...] = ()  # of a load efficiency: what tells it from another of its name
    case: Case | None = None  # of a cell
    change: float | None = None
    low: float | None = None  # that it is above with 99 % certainty, taken alone
    high: float | None = None  # that it is below, likewise; SLOW and FAST ask for more
    reason: str
    control: str | None = None  # what the change is relative to, None for nothing
    threshold: float | None = None  # what the change has to pass
    noise: float | None = None  # standard deviation between runs
    visible: float | None = None  # the change that would be found 95 times in 100
    more_runs: int | None = None  # of the candidate, that would settle what is unsure
    flipped: bool = False  # it was faster than dense, and no longer is

    @property
    def fails(self) -> bool:
        """Whether a job with this verdict fails."""
        return self.verdict in ("SLOW", "MISSING")

    @property
    def may_be_slower(self) -> bool:
        """Whether more than the threshold cannot be excluded, or a decision was lost."""
        if self.fails or self.flipped:
            return True
        if self.verdict != "UNSURE":
            return False
        return self.high is None or not self.high <= (self.threshold or 0.0)

    @property
    def key(self) -> tuple[Level, str, Case | None]:
        """What the verdict is about."""
        return self.level, self.contender, self.case
