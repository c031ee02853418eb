"""A figure or a page put on disk: whole, or not at all."""

from pathlib import Path

import vl_convert
from markupsafe import Markup

from gpuprune.errors import GpupruneError
from gpuprune.plots.document import VEGA_LITE, document
from gpuprune.plots.drawing import Figure, specification
from gpuprune.plots.theme import PAGE, PAPER
from gpuprune.storage import require_replaceable, write_whole

SUFFIXES = (".png", ".svg", ".html")
_SCALE = 2  # pixels a point: sharp in print at the width of a column

# What a file must begin with for being taken as an earlier figure, and written over.
_OURS = {
    ".png": b"\x89PNG\r\n\x1a\n",
    ".svg": b"<svg ",
    ".html": b'<!doctype html>\n<html lang="en" data-made-by="gpuprune">',
}


def check(path: Path, suffixes: tuple[str, ...] = SUFFIXES) -> None:
    """Refuse a path that could not be written, before anything is read or measured for it."""
    if path.suffix.lower() not in suffixes:
        raise GpupruneError(
            f"{path.name!r} does not say how it is to be written",
            hint=f"give a name that ends in {' or '.join(suffixes)}",
        )
    require_replaceable(path, _OURS[path.suffix.lower()], path.suffix)


def write(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, SVG or HTML, by the suffix of its path.

    Raises GpupruneError as `check` does, and leaves nothing half-written behind.
    """
    check(path)
    suffix = path.suffix.lower()
    if suffix == ".html":
        body = Markup('<figure data-figure="figure"></figure>')
        text = document(path.stem, body, {"figure": specification(figure, PAGE)})
        write_whole(path, text.encode())
        return
    spec = specification(figure, PAPER)
    if suffix == ".png":
        write_whole(path, vl_convert.vegalite_to_png(spec, vl_version=VEGA_LITE, scale=_SCALE))
    else:
        write_whole(path, vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE).encode())
