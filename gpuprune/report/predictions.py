"""Predicted beside measured times: what binds each kernel, and what a better one could win."""

from collections.abc import Sequence
from statistics import median

from gpuprune.analysis import DENSE, median_s
from gpuprune.records import Result
from gpuprune.report.layout import table
from gpuprune.units import format_seconds

_HEADERS = ["contender", "group", "measured", "predicted", "bound by", "tuning", "any kernel"]


def prediction_table(results: Sequence[Result], near: float, markdown: bool) -> str:
    """Give each contender and group size of one layer a row, at the rate nearest to `near`.

    Dense products, which know no groups, have one row, of medians. Empty without predictions.
    """
    found = [one for one in results if one.predicted_s and one.roofline_s and median_s(one)]
    if not found:
        return ""
    rate = min((one.case.rate for one in found), key=lambda rate: abs(rate - near))
    rows: dict[tuple[str, int], list[Result]] = {}
    for one in found:
        if one.case.rate == rate:
            group = 0 if one.contender in DENSE else one.case.group
            rows.setdefault((one.contender, group), []).append(one)
    names = list(dict.fromkeys(name for name, _ in rows))
    ordered = sorted(rows.items(), key=lambda item: (names.index(item[0][0]), item[0][1]))
    title = (
        f"Predicted and measured times at {rate:.4g} (tuning: what reaching the prediction would "
        "win; any kernel: the most that one could win, by the roofline)"
    )
    cells = [_row(*key, own) for key, own in ordered]
    return f"{title}\n\n{table(_HEADERS, cells, markdown, left=[0, 4])}"


def _row(contender: str, group: int, results: Sequence[Result]) -> list[str]:
    measured, predicted, least = (
        median(value or 0.0 for value in values)
        for values in zip(
            *((median_s(one), one.predicted_s, one.roofline_s) for one in results), strict=True
        )
    )
    return [
        contender,
        str(group or ""),
        format_seconds(measured),
        format_seconds(predicted),
        results[0].bound or "",
        f"{measured / predicted:.1f}x",
        f"{measured / least:.1f}x",
    ]
