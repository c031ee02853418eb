"""Records as figures: one definition, written as PNG, SVG or a page of its own.

A `Figure` makes a chart of Altair in the colours of a theme. Altair checks it against Vega-Lite's
schema; vl-convert, which has Vega inside, draws it without a browser and brings the same Vega
for pages.
"""

from gpuprune.plots.choice import (
    FIGURES,
    accuracy,
    default_figure,
    draw,
    left_out,
    speedup,
    tradeoff,
)
from gpuprune.plots.document import document, fill
from gpuprune.plots.drawing import Figure, Specification, specification
from gpuprune.plots.theme import PAGE, PAPER
from gpuprune.plots.writing import SUFFIXES, check, write

__all__ = [
    "FIGURES",
    "PAGE",
    "PAPER",
    "SUFFIXES",
    "Figure",
    "Specification",
    "accuracy",
    "check",
    "default_figure",
    "document",
    "draw",
    "fill",
    "left_out",
    "specification",
    "speedup",
    "tradeoff",
    "write",
]
