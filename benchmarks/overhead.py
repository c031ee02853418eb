"""How much of the default sweep's time goes into measuring, and how much into everything else.

Everything else is pruning, packing, verifying and writing; the goal is under 35 % on a CPU.

    python benchmarks/overhead.py [--quick]
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from script import Parser, run

from gpuprune.storage import read


def main() -> None:
    """Run `gpuprune bench` with a run file, and read its last line."""
    parser = Parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="the quick sweep")
    quick = ["--quick"] if parser.parse_args().quick else []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        command = [sys.executable, "-m", "gpuprune", "bench", "--output", str(path)]
        subprocess.run(
            [*command, *quick, "--format", "csv"], check=True, stdout=subprocess.DEVNULL
        )
        end = read(path).end
    assert end is not None
    other = 1 - end["measuring_s"] / end["wall_s"]
    print(f"{end['results']} results in {end['wall_s']:.1f} s, {100 * other:.1f} % not measuring")


if __name__ == "__main__":
    run(main)
