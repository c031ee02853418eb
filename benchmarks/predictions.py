"""How well the predicted times of runs agree with the measured ones.

A row a contender and kernel: the predicted time over the measured one, which is 100 % where the
kernel reaches all that the model knows to limit it. Then of all pairs of contenders of a case
whose times differ by a fifth or more the share that the predictions put in the right order.

    gpuprune bench --device cpu --contenders all --output run.jsonl
    python benchmarks/predictions.py run.jsonl
"""

from collections import Counter
from collections.abc import Iterable
from itertools import combinations, groupby
from pathlib import Path
from statistics import median

from script import Parser, run

from gpuprune import report, session
from gpuprune.analysis import median_s
from gpuprune.errors import GpupruneError
from gpuprune.records import Result
from gpuprune.units import format_percent

_CLEAR = 1.2  # ratio of two times from which on their order is no accident


def main() -> None:
    """Print the agreement of the runs that the command line names."""
    parser = Parser(__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN.jsonl")
    paths = parser.parse_args().runs
    results = [
        one for path in paths for one in session.load(path)[1] if one.predicted_s and median_s(one)
    ]
    if not results:
        raise GpupruneError(
            "these runs have no predicted times", hint="give runs of `gpuprune bench --output`"
        )
    print(
        report.table(
            ["contender", "cells", "lowest", "median", "highest", "bound by"],
            [_row(*own) for own in _by_kernel(results)],
            markdown=True,
            left=[0, 5],
        )
    )
    right, pairs = _ordered(results)
    if pairs:
        share = format_percent(right / pairs, 0)
        print(f"\n{right} of {pairs} pairs in the right order ({share})")


def _by_kernel(results: Iterable[Result]) -> Iterable[tuple[str, list[Result]]]:
    def name(one: Result) -> str:
        return (
            f"{one.contender}, {one.variant.partition(',')[0]}" if one.variant else one.contender
        )

    return ((key, list(own)) for key, own in groupby(sorted(results, key=name), key=name))


def _row(name: str, results: list[Result]) -> list[str]:
    shares = [one.predicted_s / one.timing.median_s for one in results]
    bounds = Counter(one.bound for one in results).most_common()
    return [
        name,
        str(len(results)),
        *(format_percent(of(shares), 0) for of in (min, median, max)),
        ", ".join(f"{bound} ({count})" for bound, count in bounds),
    ]


def _ordered(results: Iterable[Result]) -> tuple[int, int]:
    right = pairs = 0
    for _, own in groupby(results, key=lambda one: one.case):
        for one, other in combinations(own, 2):
            measured = median_s(one) / median_s(other)
            if not 1 / _CLEAR < measured < _CLEAR:
                pairs += 1
                right += (one.predicted_s > other.predicted_s) == (measured > 1)
    return right, pairs


if __name__ == "__main__":
    run(main)
