"""What a format costs and when it has paid: packing time, size, products until it is worth it."""

from collections.abc import Sequence

from gpuprune.analysis import DENSE, median_s, pays_after
from gpuprune.contenders import BASELINE
from gpuprune.records import ITEM_BYTES, Case, Result
from gpuprune.report.layout import table
from gpuprune.units import format_bytes, format_count, format_percent, format_seconds

_HEADERS = ["contender", "group", "packing", "format", "of dense", "pays after"]


def packing_table(results: Sequence[Result], near: float, markdown: bool) -> str:
    """Give each sparse contender and group size of one layer a row, at the rate nearest to `near`.

    Empty where no packing was timed.
    """
    found = [
        one for one in results if one.contender not in DENSE and one.prepare_s and median_s(one)
    ]
    if not found:
        return ""
    rate = min((one.case.rate for one in found), key=lambda rate: abs(rate - near))
    dense = {one.case: one for one in results if one.contender == BASELINE}
    names = list(dict.fromkeys(one.contender for one in found))
    ordered = sorted(
        (one for one in found if one.case.rate == rate),
        key=lambda one: (names.index(one.contender), one.case.group),
    )
    title = (
        f"Packing at {rate:.4g}: its time, the size of the format, and after how many products it "
        "has paid (where these are faster than dense, and by more than noise)"
    )
    cells = [_row(one, dense.get(one.case)) for one in ordered]
    return f"{title}\n\n{table(_HEADERS, cells, markdown, left=[0])}"


def _row(own: Result, dense: Result | None) -> list[str]:
    count = pays_after(own, dense)
    size = _format_bytes(own)
    return [
        own.contender,
        str(own.case.group),
        format_seconds(own.prepare_s or 0.0),
        format_bytes(size) if size is not None else "",
        format_percent(size / _dense_bytes(own.case), 0) if size is not None else "",
        format_count(count, "product") if count is not None else "",
    ]


def _format_bytes(one: Result) -> int | None:
    """Return the bytes of the operands without the activations and the output."""
    case = one.case
    if one.bytes is None:
        return None
    return one.bytes - (case.rows + case.cols) * case.batch * ITEM_BYTES[case.dtype]


def _dense_bytes(case: Case) -> int:
    return case.rows * case.cols * ITEM_BYTES[case.dtype]
