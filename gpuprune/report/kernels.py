"""Captured kernels as JSON and CSV, written from templates: a file may hold a million."""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal

from gpuprune.profiler.parse import KernelProfile, as_json
from gpuprune.report.layout import csv_text

_COLUMNS = [name for name in KernelProfile._fields if name != "no_value"]
CSV_HEADER = ",".join(_COLUMNS)
_VARYING = {
    *("kernel", "launch", "invocations"),
    *("gld_efficiency_pct", "gld_min_pct", "gld_max_pct", "gst_efficiency_pct"),
}

_MAX_TEMPLATES = 1000
_PLACE = "%s"  # an integer or a float is written in JSON as Python writes it

_encode = json.JSONEncoder().encode


def kernel_writer(output_format: Literal["json", "csv"]) -> Callable[[KernelProfile], str]:
    """Return what writes a kernel as a line, without its end: JSON, or CSV under `CSV_HEADER`.

    In CSV the metrics are one cell. What is alike in kernels of the same device with the same
    metrics is laid out once, and holds the places of their names and numbers.
    """
    in_csv = output_format == "csv"
    lay_out = _csv_template if in_csv else _json_template
    write_name = _csv_cell if in_csv else _encode
    absent = "" if in_csv else "null"
    templates: dict[tuple[object, ...], str] = {}

    def write(profile: KernelProfile) -> str:
        kernel, tool, device, launch, times, load, low, high, whose, store, metrics, none = profile
        alike = (tool, device, whose, *metrics)
        template = None if none else templates.get(alike)
        if template is None:
            template = lay_out(as_json(profile))
            if not none and len(templates) < _MAX_TEMPLATES:
                templates[alike] = template
        numbers = (launch, times, load, low, high, store)
        there = [absent if number is None else number for number in numbers]
        return template % (write_name(kernel), *there, *metrics.values())

    return write


def _json_template(row: Mapping[str, object]) -> str:
    return _in_braces(
        {name: _PLACE if name in _VARYING else _fixed(value) for name, value in row.items()}
    )


def _csv_template(row: Mapping[str, object]) -> str:
    cells = {
        name: _PLACE if name in _VARYING else _csv_cell(str(row[name] or "")).replace("%", "%%")
        for name in _COLUMNS
    }
    return ",".join({**cells, "metrics": _csv_cell(_fixed(row["metrics"]))}.values())


def _fixed(value: object) -> str:
    """Write a value as JSON, with places for the numbers of a map."""
    if isinstance(value, float):
        return _PLACE
    if isinstance(value, dict):
        return _in_braces({name: _fixed(one) for name, one in value.items()})
    return _encode(value).replace("%", "%%")


def _in_braces(places: Mapping[str, str]) -> str:
    pairs = (f"{_encode(name)}: ".replace("%", "%%") + place for name, place in places.items())
    return f"{{{', '.join(pairs)}}}"


@lru_cache(maxsize=4096)
def _csv_cell(text: str) -> str:
    return csv_text([{"": text}]).partition("\n")[2] if text else ""
