"""How far bench's clock is from the others."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.gpu_run.clock import Time
from gpuprune import report
from gpuprune.units import format_percent, format_seconds

MOST_SHARE = 0.05
MOST_S = 1e-6  # of a few microseconds, five in a hundred are less than an event shows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """A product, and what two clocks say of it."""

    other: Time
    its_s: float
    ours_s: float

    @property
    def agrees(self) -> bool:
        return abs(self.ours_s - self.its_s) <= max(MOST_SHARE * self.its_s, MOST_S)


def compare(found: Sequence[Time]) -> str:
    """Lay out a row for each product of each other clock, in Markdown; then how many agree.

    Two clocks agree within 5 % or a microsecond. The last lines say whose times are missing, and
    why.
    """
    ours = {one.product: one.seconds for one in found if one.clock == "bench"}
    pairs = [
        _Pair(other=one, its_s=one.seconds, ours_s=our_s)
        for one in found
        if one.clock != "bench" and one.seconds is not None
        if (our_s := ours.get(one.product)) is not None
    ]
    table = report.listing([_row(pair) for pair in pairs], "markdown")
    lines = "\n".join(f"- {line}" for line in (*_agreements(pairs), *_absences(found)))
    return "\n\n".join(part for part in (table, lines) if part)


def _row(pair: _Pair) -> report.Row:
    difference, other = pair.ours_s - pair.its_s, pair.other
    share = format_percent(abs(difference) / pair.its_s)
    return {
        "clock": other.clock,
        "cache": other.cache,
        "contender": other.contender,
        "variant": other.variant,
        "rate": f"{other.case.rate:g}",
        "group": other.case.group,
        "orientation": other.case.orientation,
        "kernels": other.kernels,
        "its_time": format_seconds(pair.its_s),
        "bench": format_seconds(pair.ours_s),
        "difference_in_us": f"{difference * 1e6:+.2f}",
        "share": f"{'-' if difference < 0 else '+'}{share}",
        "agrees": "yes" if pair.agrees else "no",
    }


def _agreements(pairs: Sequence[_Pair]) -> Iterator[str]:
    for clock, cache in dict.fromkeys((pair.other.clock, pair.other.cache) for pair in pairs):
        own = [one for one in pairs if (one.other.clock, one.other.cache) == (clock, cache)]
        yield (
            f"{clock}, {cache} caches: {sum(one.agrees for one in own)} of {len(own)} products "
            f"agree with bench within {format_percent(MOST_SHARE, 0)} or {format_seconds(MOST_S)}"
        )


def _absences(found: Sequence[Time]) -> Iterator[str]:
    present = {one.clock for one in found}
    for clock in ("bench", "CUDA graph", "ncu", "cuda-bench"):
        if clock not in present:
            yield f"{clock}: not measured"
    why = Counter(
        (one.clock, one.contender, one.reason or "") for one in found if one.seconds is None
    )
    for (clock, contender, reason), count in why.items():
        yield f"{clock}: {count} times of {contender} missing: {report.escape(reason)}"
