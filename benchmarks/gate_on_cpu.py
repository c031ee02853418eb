"""Whether the gate can be trusted on this machine's processor.

Repeats `gpuprune check --base` on a small sweep: with the same code on both sides, where no check
may fail, and with a CSR product on the head's side that really does a quarter more work, which
every check should find. Each check is a line in a file, so that an experiment of an hour can be
made in pieces: those it holds already are not made again.

    python benchmarks/gate_on_cpu.py --output gate.jsonl --same 20 --slower 10
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from script import Parser, count, run

import gpuprune

SWEEP = [
    "--device", "cpu", "--shape", "1024x1024x32", "--rates", "0.8,0.9", "--groups", "1,8",
    "--contenders", "csr", "--budget", "0.3",
]  # fmt: skip

# Appended to the contender: a quarter of its rows are multiplied once more, apart.
SLOWER = '''

_prepare = prepare


def prepare(problem, backend):
    """Prepare the product, and one of a quarter of the rows that is made beside it."""
    from dataclasses import replace

    rows = problem.case.rows // 4
    weights, mask = problem.weights[:rows], problem.mask[:rows]
    case, nnz = replace(problem.case, rows=rows), int(mask.sum())
    part = replace(problem, case=case, weights=weights, mask=mask, nnz=nnz)
    extra = {one.variant: one for one in _prepare(part, backend)}

    def both(one):
        def multiply():
            extra[one.variant].multiply()
            return one.multiply()

        return replace(one, multiply=multiply)

    return [both(one) for one in _prepare(problem, backend)]
'''


def main() -> None:
    """Make the checks that are not made yet, and print what all of them found."""
    parser = Parser(__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--same", type=count, default=20)
    parser.add_argument("--slower", type=count, default=10)
    parser.add_argument("--runs", type=count, default=5)
    parser.add_argument("--threads", type=count, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no more after")
    asked = parser.parse_args()
    deadline = time.monotonic() + asked.seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = make_interpreter(folder)
        heads = {"same": package(folder / "same", ""), "slower": package(folder / "slow", SLOWER)}
        for kind in ("same", "slower"):
            done = [one for one in read(asked.output) if one["kind"] == kind]
            for _ in range(getattr(asked, kind) - len(done)):
                if time.monotonic() < deadline:
                    line = {"kind": kind, **check(base, heads[kind], asked)}
                    with asked.output.open("a") as file:
                        file.write(json.dumps(line) + "\n")
    report(read(asked.output))


def check(base: Path, head: Path, asked: argparse.Namespace) -> dict[str, object]:
    """Run one check of a head, and return its exit code and verdicts."""
    load, start = os.getloadavg()[0], time.monotonic()
    command = [sys.executable, "-P", "-m", "gpuprune", "check", "--base", str(base)]
    options = ["--runs", str(asked.runs), "--threads", str(asked.threads)]
    done = subprocess.run(
        [*command, *options, *SWEEP, "--format", "json", "-q"],
        env={**os.environ, "PYTHONPATH": str(head)},
        stdout=subprocess.PIPE,
        text=True,
    )
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    return {
        "exit_code": done.returncode,
        "seconds": round(time.monotonic() - start, 1),
        "load": load,
        "slow": [one for one in verdicts if one["verdict"] == "SLOW"],
        "csr_change": next((v["change"] for v in verdicts if v["level"] == "contender"), None),
    }


def package(folder: Path, addition: str) -> Path:
    """Copy the package, with a CSR contender that is added to; return what holds it."""
    shutil.copytree(Path(gpuprune.__file__).parent, folder / "gpuprune")
    csr = folder / "gpuprune" / "contenders" / "csr" / "__init__.py"
    csr.write_text(csr.read_text() + addition)
    return folder


def make_interpreter(folder: Path) -> Path:
    """Write what behaves as the Python of an environment with this gpuprune installed."""
    path = folder / "python"
    home = Path(gpuprune.__file__).parents[1]
    path.write_text(f'#!/bin/sh\nPYTHONPATH={home} exec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return path


def read(path: Path) -> list[dict[str, object]]:
    """Read the checks made so far."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def report(checks: list[dict[str, object]]) -> None:
    """Print how many checks of either kind failed."""
    for kind, wanted in (("same", "none should"), ("slower", "all should")):
        own = [one for one in checks if one["kind"] == kind]
        failed = sum(one["exit_code"] == 1 for one in own)
        other = sum(one["exit_code"] not in (0, 1) for one in own)
        changes = ", ".join(f"{one['csr_change']:+.1%}" for one in own if one["csr_change"])
        print(f"{kind}: {failed} of {len(own)} checks failed ({wanted}), {other} broke; {changes}")


if __name__ == "__main__":
    run(main)
