"""How long predicting load efficiency takes at the paper's size, and which mapping is nearest it.

    python benchmarks/predict_efficiency.py

Prints for every mapping the time and the prediction of 4096x4096 at 90 %, and for those that
sample, of a matrix so large that they do; then our own kernels by group size and rate, by either
profiler's definition; and last the paper's three figures beside those of each mapping of
compressed rows, the nearest first.
"""

import time

from gpuprune.problem import load_weights, rank
from gpuprune.profiler.mappings import COMPRESSED_ROWS, MAPPINGS, OWN_KERNELS
from gpuprune.profiler.prediction import predict_case, predict_cases
from gpuprune.records import Case

BATCH = 50
DEFINITIONS = {"ncu": "gld_efficiency_pct", "nvprof": "nvprof_style_pct"}
PAPER = (67.0, 82.0, 99.0)  # nvprof: g=1 at 80 % and at 98 %, and at least, from g=8 on


def layer(side, rates, groups, mapping):
    orientation = "column" if mapping == "column_group" else "row"
    return [
        Case(rows=side, cols=side, batch=BATCH, rate=rate, group=group, orientation=orientation)
        for group in groups
        for rate in rates
    ]


def show_times(side, mappings):
    print(f"\n{side}x{side} times {side}x{BATCH}, float32, 90 %, g=1")
    for mapping in mappings:
        (case,) = layer(side, [0.9], [1], mapping)
        mask = rank(load_weights(case), [case]).mask(case.rate)
        start = time.perf_counter()
        found = predict_case(case, mask, mapping)
        seconds = time.perf_counter() - start
        print(
            f"{mapping:20} {seconds:6.2f} s  ncu {found.gld_efficiency_pct:6.2f} %  "
            f"nvprof {found.nvprof_style_pct:6.2f} %  +- {found.error_points:.3f} points, "
            f"{found.sampled_rows} rows counted"
        )


def show_own():
    groups = (1, 2, 4, 8, 16, 32, 64)
    print("\n4096x4096 times 4096x50, float32: our own kernels, in per cent")
    print("mapping       counted as   rate " + "".join(f"   g={group:<3}" for group in groups))
    for mapping in OWN_KERNELS:
        found = {
            (case.rate, case.group): one
            for case, one in predict_cases(layer(4096, [0.8, 0.9, 0.98], groups, mapping), mapping)
        }
        for definition, name in DEFINITIONS.items():
            for rate in (0.8, 0.9, 0.98):
                row = [getattr(found[rate, group], name) for group in groups]
                print(
                    f"{mapping:13} {definition:10} {rate:6.0%} "
                    + "".join(f"{x:8.1f}" for x in row)
                )


def show_paper():
    rows = []
    for mapping in COMPRESSED_ROWS:
        cases = [
            *layer(4096, [0.8, 0.98], [1], mapping),
            *layer(4096, [0.8, 0.9, 0.98], [8], mapping),
        ]
        found = [one for _, one in predict_cases(cases, mapping)]
        for definition, name in DEFINITIONS.items():
            low, high, *whole = (getattr(one, name) for one in found)
            missed = (abs(low - PAPER[0]), abs(high - PAPER[1]), max(0, PAPER[2] - min(whole)))
            rows.append((max(missed), mapping, definition, low, high, min(whole)))
    print("\nThe paper (nvprof, GTX 950M): 67 % at g=1 and 80 %, 82 % at 98 %, over 99 % from g=8")
    print("points off  mapping              counted as   80 %    98 %   g=8 at least")
    for missed, mapping, definition, low, high, whole in sorted(rows):
        print(
            f"{missed:10.1f}  {mapping:20} {definition:10} {low:6.1f}  {high:6.1f}  {whole:6.1f}"
        )


if __name__ == "__main__":
    show_times(4096, MAPPINGS)
    show_times(16384, COMPRESSED_ROWS)
    show_own()
    show_paper()
