"""Values that no training holds, although its lines are well-formed: refused before any use."""

from collections.abc import Iterable
from pathlib import Path

from gpuprune.accuracy.records import Outcome
from gpuprune.records import Header
from gpuprune.soundness import is_number, unsound


def require_sound_training(path: Path, header: Header, outcomes: Iterable[Outcome]) -> None:
    """Raise GpupruneError for what no training of ours holds."""
    if not {"rate", "orientation"} <= header.configuration.keys():
        raise unsound(path, "its configuration lacks the rate or the orientation", "accuracy")
    for number, one in enumerate(outcomes, start=1):
        shares = (one.rate, one.accuracy, one.achieved_rate)
        if not (
            all(is_number(share) and 0 <= share <= 1 for share in shares)
            and (one.group is None or (type(one.group) is int and one.group >= 1))
        ):
            raise unsound(path, f"result {number} has a value of another kind", "accuracy")
