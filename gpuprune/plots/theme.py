"""How figures look: colours that the colour-blind tell apart, on paper and on a dark screen."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, inf
from typing import Any

FONT = "system-ui, 'Segoe UI', 'Liberation Sans', Arial, sans-serif"
PANEL_WIDTH, PANEL_HEIGHT = 300, 240
MARKER_RADIUS = 5  # pixels beyond the ends of an axis that keep a marker off the frame
_MARGIN = 1.12  # beyond the values, so that none lies on an edge
# Of a logarithmic axis, by the ratio of its ends: where in each decade ticks stand.
_TICKS = (
    (3.0, (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)),
    (15.0, (1, 1.5, 2, 3, 4, 5, 7)),
    (inf, (1, 2, 5)),
)

# Told apart without any colour at all.
SHAPES = (
    "circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right",
    "triangle-left",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Theme:
    """The colours of a figure, each as CSS takes it."""

    background: str | None
    ink: str
    faint: str  # grids, and what is there to compare with
    steps: tuple[str, ...]  # of what has an order, such as group sizes
    kinds: tuple[str, ...]  # of what has none, such as contenders

    def ordered(self, count: int) -> list[str]:
        """Take so many steps, as far apart as there are."""
        last = max(count - 1, 1)
        return [self.steps[round(i * (len(self.steps) - 1) / last)] for i in range(count)]

    def unordered(self, count: int) -> list[str]:
        """Take so many kinds, from the start again where there are not enough."""
        return [self.kinds[i % len(self.kinds)] for i in range(count)]


# Plasma (Smith and van der Walt, 2015) without its bright end, which paper does not show, and the
# colours of Okabe and Ito (2008), darkened to a contrast of 3 to 1 with white.
PAPER = Theme(
    background="#ffffff",
    ink="#1f2328",
    faint="#c3c8ce",
    steps=(
        "#0d0887", "#3f049c", "#6700a8", "#8d0ba5", "#ad2793", "#c8437b", "#de5f65", "#ef7e50",
    ),
    kinds=("#0072b2", "#d55e00", "#008060", "#b0508c", "#8a6d00", "#3f7fb5"),
)  # fmt: skip
# The same maps without their dark ends.
DARK = Theme(
    background="#14171c",
    ink="#e6e8eb",
    faint="#4a515a",
    steps=(
        "#b6308b", "#cc4778", "#de5f65", "#ed7a52", "#f89540", "#fdb42f", "#fbd524", "#f0f921",
    ),
    kinds=("#56b4e9", "#f0813a", "#2fbf95", "#e29bc4", "#f0e442", "#9fc9ea"),
)  # fmt: skip
# In a page the reader's own setting chooses between the two.
PAGE = Theme(
    background=None,
    ink="var(--ink)",
    faint="var(--faint)",
    steps=tuple(f"var(--step-{i})" for i in range(len(PAPER.steps))),
    kinds=tuple(f"var(--kind-{i})" for i in range(len(PAPER.kinds))),
)

# Of a map, from the best to the worst; a cell carries its own number, in an ink that it shows.
CELLS = ("#08457e", "#2e7ebc", "#73b2d8", "#b7d4ea", "#e3eef9")
DARK_CELLS = 2  # so many of them want white ink
NO_CELL = "#d8d8d8"


def variables(theme: Theme) -> dict[str, str]:
    """Name the colours of a theme as the variables that `PAGE` refers to."""
    named = {"--ink": theme.ink, "--faint": theme.faint, "--background": str(theme.background)}
    named |= {f"--step-{i}": colour for i, colour in enumerate(theme.steps)}
    return named | {f"--kind-{i}": colour for i, colour in enumerate(theme.kinds)}


def config(theme: Theme) -> dict[str, Any]:
    """Return Vega-Lite's configuration: fonts, axes and grids in the colours of a theme."""
    text = {"labelColor": theme.ink, "titleColor": theme.ink, "labelFontSize": 11}
    return {
        "background": theme.background or "transparent",
        "font": FONT,
        "view": {"stroke": theme.faint},
        "axis": {
            **text,
            "gridColor": theme.faint,
            "gridOpacity": 0.5,
            "domainColor": theme.faint,
            "tickColor": theme.faint,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
        },
        "legend": {**text, "titleFontSize": 11, "symbolOpacity": 1},
        "header": {**text, "labelFontSize": 12, "labelFontWeight": "bold", "title": None},
        "title": {
            "color": theme.ink,
            "subtitleColor": theme.ink,
            "anchor": "start",
            "fontSize": 14,
            "subtitleFontSize": 11,
            "offset": 12,
        },
        "text": {"color": theme.ink},
    }


def log_scale(values: Iterable[float]) -> tuple[list[float], list[float]]:
    """Return the domain and the round ticks of a logarithmic axis on which values lie."""
    low, high = min(values := list(values)), max(values)
    domain = [low / _MARGIN, high * _MARGIN]
    steps = next(steps for widest, steps in _TICKS if high / low <= widest)
    ticks = [float(f"{step}e{power}") for power in range(-9, 10) for step in steps]
    return domain, [tick for tick in ticks if domain[0] <= tick <= domain[1]]


def percent_domain(values: Iterable[float], step: int) -> list[float]:
    """Return the ends of an axis of percentages: multiples of a step, up to 100."""
    low, high = min(values := list(values)), max(values)
    upper = max(min(step * ceil(high / step), 100), high)
    return [float(step * floor(low / step)), float(upper)]
