"""How long predicting load efficiency takes at the paper's size, and which mapping is nearest it.

    python benchmarks/predict_efficiency.py

Prints for every mapping the time and the prediction of 4096x4096 at 90 %, then of a matrix so
large that it is sampled, and last the paper's three figures beside those of each mapping by
either profiler's definition, the nearest first.
"""

import time

from gpuprune.problem import load_weights
from gpuprune.profiler.mappings import MAPPINGS
from gpuprune.profiler.model import predict
from gpuprune.pruning import rank
from gpuprune.records import Case

ITEMSIZE, BATCH = 4, 50
PAPER = (67.0, 82.0, 99.0)  # nvprof: g=1 at 80 % and at 98 %, and at least, from g=8 on


def masks(side, rates, group):
    weights = load_weights(Case(rows=side, cols=side, batch=BATCH, rate=0.0, group=group))
    ranking = rank(weights, rates, group)
    return [ranking.mask(rate) for rate in rates]


def show_times(side):
    (mask,) = masks(side, [0.9], 1)
    print(f"\n{side}x{side} times {side}x{BATCH}, float32, 90 %, g=1")
    for mapping in MAPPINGS:
        start = time.perf_counter()
        found = predict(mask, ITEMSIZE, BATCH, mapping)
        seconds = time.perf_counter() - start
        print(
            f"{mapping:20} {seconds:6.2f} s  ncu {found.gld_efficiency_pct:6.2f} %  "
            f"nvprof {found.nvprof_style_pct:6.2f} %  +- {found.error_points:.2f} points, "
            f"{found.sampled_rows} rows counted"
        )


def show_paper():
    single = masks(4096, [0.8, 0.98], 1)
    grouped = masks(4096, [0.8, 0.9, 0.98], 8)
    rows = []
    for mapping in MAPPINGS:
        found = [predict(mask, ITEMSIZE, BATCH, mapping) for mask in (*single, *grouped)]
        for definition, name in (("ncu", "gld_efficiency_pct"), ("nvprof", "nvprof_style_pct")):
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
    show_times(4096)
    show_times(16384)
    show_paper()
