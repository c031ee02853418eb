"""Groups along rows beside groups down columns: which of the two is faster where.

Reads two runs of the same layer, one of each orientation, and prints for every rate and group
size what each product gains over dense, and how much more the one made for column groups gains
than the one made for row groups, measured and predicted. Each gain is over the dense product of
its own case, which was timed by turns with it: so the two runs need not be equally fast.

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
from gpuprune.contenders import BASELINE
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
    print("\nGain of column_group over that of row_group (above 1, column groups are faster):\n")
    print(_grid(_ratios(*(_gains(results, median_s) for results in (by_row, by_column)))))
    if predicted := _ratios(*(_gains(results, _predicted_s) for results in (by_row, by_column))):
        print(f"\nThe same, predicted:\n\n{_grid(predicted)}")
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


def _predicted_s(result: Result) -> float | None:
    return result.predicted_s


def _gains(results: list[Result], seconds: Callable[[Result], float | None]) -> dict[Case, float]:
    """Return the gain over dense of the product made for the groups, orientation left out."""
    taken = {(one.case, one.contender): seconds(one) for one in results}
    return {
        replace(case, orientation=""): dense_s / own_s
        for (case, name), own_s in taken.items()
        if name == f"{case.orientation}_group" and own_s and (dense_s := taken[case, BASELINE])
    }


def _ratios(rows: Mapping[Case, float], columns: Mapping[Case, float]) -> dict[Case, float]:
    return {case: columns[case] / gain for case, gain in rows.items() if case in columns}


def _grid(values: Mapping[Case, float]) -> str:
    groups, rates = ({getattr(case, of) for case in values} for of in ("group", "rate"))
    at = {(case.rate, case.group): f"{value:.2f}" for case, value in values.items()}
    cells = [
        [f"{rate:g}", *(at.get((rate, g), "") for g in sorted(groups))] for rate in sorted(rates)
    ]
    return report.table(["rate", *(f"g={g}" for g in sorted(groups))], cells, markdown=True)


if __name__ == "__main__":
    main()
