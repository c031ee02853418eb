"""How long `gpuprune --help` takes beside `python -c pass`; the goal is under 150 ms more.

python benchmarks/startup.py
"""

import subprocess
import sys
import time
from statistics import median

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "gpuprune --help": ["-m", "gpuprune", "--help"],
    "gpuprune bench --help": ["-m", "gpuprune", "bench", "--help"],
}
REPEATS = 21


def main() -> None:
    """Run the commands in turn and print the medians."""
    samples: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(REPEATS):
        for name, arguments in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            samples[name].append(time.perf_counter() - start)
    base = median(samples["python -c pass"])
    for name, own in samples.items():
        print(f"{name:22} {median(own) * 1e3:6.1f} ms  (+{(median(own) - base) * 1e3:.1f} ms)")


if __name__ == "__main__":
    main()
