"""Groups along rows beside groups down columns: which of the two is faster where.

Reads two runs of the same layer, one of each orientation, and prints for every rate and group
size how much faster the product made for column groups is than the one made for row groups,
measured and predicted, and what each gains over dense.

    gpuprune bench --device cpu --orientation row --output row.jsonl
    gpuprune bench --device cpu --orientation column --output column.jsonl
    python benchmarks/orientations.py row.jsonl column.jsonl
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from gpuprune import report, session
from gpuprune.analysis import median_s, sparse_contenders, speedups
from gpuprune.records import Case, Result, Run

_SAME = ("node", "device", "device_name", "threads", "packages")


def main() -> None:
    """Print the comparison of the two runs that the command line names."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    (row_run, by_row, _), (column_run, by_column, _) = (
        session.load(Path(path)) for path in sys.argv[1:]
    )
    if problem := _incomparable(row_run, column_run):
        sys.exit(f"these two runs differ in their {problem}")
    print(_heading(row_run, by_row[0].case))
    rows, columns = _own(by_row, "row_group"), _own(by_column, "column_group")
    print("\nTime of row_group over column_group (above 1, column groups are faster), measured:\n")
    print(_grid(_ratios(rows, columns, median_s)))
    print("\nThe same, predicted:\n")
    print(_grid(_ratios(rows, columns, lambda one: one.predicted_s)))
    for orientation, results in (("row", by_row), ("column", by_column)):
        for name in sparse_contenders(results):
            print(f"\nSpeedup of {name} over dense, {orientation} groups:\n")
            print(_grid(speedups(results, name)))


def _incomparable(one: Run, other: Run) -> str | None:
    differing = [name for name in _SAME if one.environment[name] != other.environment[name]]
    if one.contract != other.contract:
        differing.append("contract")
    return ", ".join(differing) or None


def _heading(run: Run, case: Case) -> str:
    threads = run.environment["threads"]
    return (
        f"{run.environment['device_name']}{f', {threads} threads' if threads else ''}; "
        f"{case.rows}x{case.cols} times {case.cols}x{case.batch}, {case.dtype}, "
        f"{run.contract.cache} caches"
    )


def _own(results: list[Result], name: str) -> dict[Case, Result]:
    """Return a contender's results by case, the orientation left out."""
    return {replace(one.case, orientation=""): one for one in results if one.contender == name}


def _ratios(
    rows: Mapping[Case, Result],
    columns: Mapping[Case, Result],
    seconds: Callable[[Result], float | None],
) -> dict[Case, float]:
    found = {}
    for case, one in rows.items():
        own, other = seconds(one), seconds(columns[case]) if case in columns else None
        if own and other:
            found[case] = own / other
    return found


def _grid(values: Mapping[Case, float]) -> str:
    groups, rates = ({getattr(case, of) for case in values} for of in ("group", "rate"))
    at = {(case.rate, case.group): f"{value:.2f}" for case, value in values.items()}
    cells = [
        [f"{rate:g}", *(at.get((rate, g), "") for g in sorted(groups))] for rate in sorted(rates)
    ]
    return report.table(["rate", *(f"g={g}" for g in sorted(groups))], cells, markdown=True)


if __name__ == "__main__":
    main()
