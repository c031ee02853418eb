"""A page that needs nothing but itself, whose figures answer to the pointer."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import altair as alt
import vl_convert
from jinja2 import Environment
from markupsafe import Markup

from gpuprune.plots.drawing import Specification
from gpuprune.plots.theme import DARK, PAPER, variables
from gpuprune.report import printable

VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])


def document(
    title: str,
    body: Markup,
    figures: Mapping[str, Specification],
    downloads: Mapping[str, str] | None = None,
) -> str:
    """Write a page around a body, whose elements with `data-figure` are filled when seen.

    Figures are specified in the theme `PAGE`, whose colours are variables of the page.

    A button with `data-download` saves the text of that name. Nothing is loaded from anywhere:
    the page forbids itself the network, and every script but its own.
    """
    script = _script()
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    contents = {
        "figures": dict(figures),
        "downloads": dict(downloads or {}),
    }
    return fill(
        _text("document.html"),
        title=title,
        body=body,
        script=script,
        digest=digest,
        contents=_inert(json.dumps(contents, allow_nan=False, separators=(",", ":"))),
        style=_text("document.css"),
        light=variables(PAPER),
        dark=variables(DARK),
    )


def fill(template: str, **values: object) -> Markup:
    """Fill a template, in which whatever is not markup of ours is escaped, on one line."""
    engine = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_on_one_line
    )
    return Markup(engine.from_string(template).render(**values))  # noqa: S704 - has escaped


def _on_one_line(value: object) -> object:
    return printable(value) if type(value) is str else value


@cache
def _script() -> str:
    bundle: str = vl_convert.javascript_bundle(_text("document.js"), vl_version=VEGA_LITE)
    return bundle.replace("</script", "<\\/script")


def _inert(text: str) -> str:
    """Write JSON so that no element ends inside it."""
    return text.replace("<", "\\u003c")


def _text(name: str) -> str:
    return files("gpuprune.plots").joinpath(name).read_text(encoding="utf-8")
