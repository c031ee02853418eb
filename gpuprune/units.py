"""Prefixes for people: inside the program there are only seconds, bytes and shares."""

from math import floor, log10

_MOST_RATE_DIGITS = 6  # behind the point, of a rate that somebody wrote
_TIME_STEPS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_BYTE_STEPS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def format_seconds(seconds: float) -> str:
    """Format a duration with three significant digits, such as `16.7 ms`."""
    for scale, unit in _TIME_STEPS:
        if seconds >= scale:
            return f"{_three_digits(seconds / scale)} {unit}"
    return f"{_three_digits(seconds / 1e-9)} ns"


def format_minutes(seconds: float) -> str:
    """Format a waiting time as `m:ss`, or `h:mm:ss` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_bytes(size: float) -> str:
    """Format a size with a binary prefix, such as `6.71 MiB`."""
    for scale, unit in _BYTE_STEPS:
        if size >= scale:
            return f"{_three_digits(size / scale)} {unit}"
    return f"{size:.0f} B"


def format_percent(share: float, digits: int = 1) -> str:
    """Format a share of one as a percentage, such as `93.8 %`."""
    return f"{100 * share:.{digits}f} %"


def format_rate(rate: float) -> str:
    """Format a pruning rate with two digits behind the point, or more where it has them.

    Of a rate without an end, four digits, counted behind the nines of one that is nearly 1.
    """
    if round(rate, 2) == rate:
        return f"{rate:.2f}"
    few = round(rate, _MOST_RATE_DIGITS) == rate
    digits = _MOST_RATE_DIGITS if few else 3 - floor(log10(min(rate, 1 - rate)))
    return f"{rate:.{digits}f}".rstrip("0")


def format_crossing(rate: float) -> str:
    """Format a rate between two that were measured, with three digits, or more near 1.

    So many that it never reads as 1 where it is less.
    """
    digits = 3 if rate >= 1 else max(3, 1 - floor(log10(1 - rate)))
    return f"{rate:.{digits}f}"


def format_count(number: int, noun: str, plural: str | None = None) -> str:
    """Count things, such as `1 case` or `2 cases`."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def _three_digits(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
