"""Groups along rows beside groups down columns: which of the two is faster where.

Reads two runs of the same layer, one of each orientation, and prints for every rate and group
size what each product gains over dense, and how much more the one made for column groups gains
than the one made for row groups, measured and predicted. Each gain is over the dense product of
its own case, which was timed by turns with it: so the two runs need not be equally fast.

    gpuprune bench --device cpu --orientation row --output row.jsonl
    gpuprune bench --device cpu --orientation column --output column.jsonl
    python benchmarks/orientations.py row.jsonl column.jsonl
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from script import Parser, run

from gpuprune import report, session
from gpuprune.analysis import median_s, sparse_contenders, speedups
from gpuprune.contenders import BASELINE
from gpuprune.errors import GpupruneError
from gpuprune.records import Case, Result, Run

_SAME = ("node", "device", "device_name", "threads", "packages")


def main() -> None:
    """Print the comparison of the two runs that the command line names."""
    parser = Parser(__doc__)
    parser.add_argument("row", type=Path, metavar="ROW.jsonl")
    parser.add_argument("column", type=Path, metavar="COLUMN.jsonl")
    asked = parser.parse_args()
    row_run, by_row = _load(asked.row, "row")
    column_run, by_column = _load(asked.column, "column")
    if problem := _incomparable(row_run, column_run):
        raise GpupruneError(
            f"these two runs differ in their {problem}",
            hint="take runs of one machine and one contract",
        )
    ratios = _ratios(*(_gains(results, median_s) for results in (by_row, by_column)))
    if not ratios:
        raise GpupruneError(
            "these two runs have no rate and group size of one layer in common",
            hint="give both the same --shape or --weights, --rates and --groups",
        )
    print(_heading(row_run, by_row[0].case))
    print("\nGain of column_group over that of row_group (above 1, column groups are faster):\n")
    print(_grid(ratios))
    if predicted := _ratios(*(_gains(results, _predicted_s) for results in (by_row, by_column))):
        print(f"\nThe same, predicted:\n\n{_grid(predicted)}")
    for orientation, results in (("row", by_row), ("column", by_column)):
        for name in sparse_contenders(results):
            if found := speedups(results, name):
                print(f"\nSpeedup of {name} over dense, {orientation} groups:\n\n{_grid(found)}")


def _load(path: Path, orientation: str) -> tuple[Run, list[Result]]:
    """Read a run that has groups of one orientation."""
    run, results, _ = session.load(path)
    if not results or any(one.case.orientation != orientation for one in results):
        raise GpupruneError(
            f"{path} is no run of {orientation} groups",
            hint=f"measure one: gpuprune bench --orientation {orientation} --output NEW.jsonl",
        )
    return run, results


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
    dense = {case: dense_s for (case, name), dense_s in taken.items() if name == BASELINE}
    return {
        replace(case, orientation=""): dense_s / own_s
        for (case, name), own_s in taken.items()
        if name == f"{case.orientation}_group" and own_s and (dense_s := dense.get(case))
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
    run(main)
