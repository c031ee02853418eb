"""How fast the Numba CSR product is beside SciPy's, which has one thread, at the paper's size.

Samples alternate; medians. With two threads the goal is at least twice SciPy's speed at 90 %, g=1.

    python benchmarks/csr_product.py --threads 2
"""

import time
from contextlib import closing
from statistics import median

from script import Parser, count, run

from gpuprune.backends import open_backend
from gpuprune.contenders.csr import host
from gpuprune.problem import make_trials
from gpuprune.records import Case


def main() -> None:
    """Time both products and print the ratio for several rates and groups."""
    parser = Parser(__doc__)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--samples", type=count, default=21)
    options = parser.parse_args()
    cases = [
        Case(rows=4096, cols=4096, batch=50, rate=rate, group=group)
        for group in (1, 8)
        for rate in (0.8, 0.9, 0.98)
    ]
    backend, _ = open_backend("cpu", options.threads)
    with closing(backend):
        print(f"{backend.threads} threads\ngroup  rate     SciPy     Numba  ratio")
        for problem in make_trials(cases, backend):
            numba, scipy = host.prepare(problem, backend)
            samples: dict[str, list[float]] = {"Numba": [], "SciPy": []}
            for _ in range(options.samples + 1):
                for one in (numba, scipy):
                    start = time.perf_counter()
                    one.multiply()
                    samples[str(one.variant)].append(time.perf_counter() - start)
            own, peer = (median(samples[name][1:]) for name in ("Numba", "SciPy"))
            print(
                f"{problem.case.group:5}  {problem.case.rate:4.2f}  {peer * 1e3:5.2f} ms  "
                f"{own * 1e3:5.2f} ms  {peer / own:4.1f}x"
            )


if __name__ == "__main__":
    run(main)
