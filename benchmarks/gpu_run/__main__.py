"""Measures everything on a GPU, step after step, into a folder.

    python3 -m benchmarks.gpu_run --output docs/results/MACHINE

Exit code 0: every step was done, or skipped for want of something. 1: some were not. 130: Ctrl-C.
"""

import argparse
import signal
import sys
from pathlib import Path

from benchmarks.gpu_run import runner, summary
from benchmarks.gpu_run.plan import DEVICES, choose, make_plan
from benchmarks.gpu_run.runner import FINE, Attempt, Step
from gpuprune.errors import GpupruneError

_INTERRUPTED = 130
_USAGE = 2


def main() -> int:
    """Run what is asked for, and return the exit code."""
    asked = _parser().parse_args()
    try:
        steps = _chosen(asked)
        if asked.list:
            print(_listing(steps))
            return 0
        return _run(steps, asked)
    except GpupruneError as error:
        print(f"Error: {error}\nHint: {error.hint}", file=sys.stderr)
        return _USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m benchmarks.gpu_run",
        description="Measure everything on a GPU, step after step. The same command goes on "
        "where a run ended.",
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="keeps all that is written")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="STEP", help="these steps; 'bench-*' is several"
    )
    parser.add_argument("--list", action="store_true", help="show the steps and their limits")
    parser.add_argument("--device", choices=DEVICES, default="cuda")
    parser.add_argument(
        "--minutes", type=float, metavar="N", help="for the steps together, instead of their own"
    )
    parser.add_argument("--again", action="store_true", help="also the steps that are done")
    parser.add_argument("--data", type=Path, metavar="PATH", help="MNIST, as accuracy --data")
    return parser


def _chosen(asked: argparse.Namespace) -> list[Step]:
    steps = choose(make_plan(asked.device, data=asked.data), asked.only)
    if asked.minutes is None:
        return steps
    if not 0 < asked.minutes < float("inf"):
        raise GpupruneError(f"{asked.minutes} are no minutes", hint="such as --minutes 9")
    together = sum(step.limit_s for step in steps if step.lacks is None)
    scale = 60 * asked.minutes / together if together else 1.0
    return choose(make_plan(asked.device, data=asked.data, scale=scale), asked.only)


def _run(steps: list[Step], asked: argparse.Namespace) -> int:
    if asked.output is None:
        raise GpupruneError("there is no folder to write to", hint="add --output FOLDER")
    folder = asked.output.absolute()
    everything = make_plan(asked.device, data=asked.data)
    by_name = {step.name: step for step in everything} | {step.name: step for step in steps}
    for number in (signal.SIGINT, signal.SIGTERM):  # the latter from `timeout` and schedulers
        signal.signal(number, signal.default_int_handler)

    def tell(attempt: Attempt) -> None:
        print(_progress(attempt), file=sys.stderr, flush=True)
        summary.write_page(folder, list(by_name.values()))

    interrupted = False
    try:
        machine = summary.describe_machine(asked.device)
        runner.run(steps, folder, asked.device, machine=machine, again=asked.again, tell=tell)
    except KeyboardInterrupt:
        interrupted = True
    print(summary.write_page(folder, list(by_name.values())), end="")
    if interrupted:
        print("Interrupted. All is kept; the same command goes on.", file=sys.stderr)
        return _INTERRUPTED
    found = runner.latest(folder)
    return 0 if all(found[step.name].status in FINE for step in steps) else 1


def _listing(steps: list[Step]) -> str:
    rows = [(step.name, f"{step.limit_s:.0f} s", step.lacks or step.does) for step in steps]
    width = max(len(name) for name, _, _ in rows)
    total = sum(step.limit_s for step in steps if step.lacks is None)
    lines = [f"{name:{width}}  {limit:>6}  {text}" for name, limit, text in rows]
    return "\n".join([*lines, f"{'':{width}}  {total / 60:4.1f} min of what is not lacking"])


def _progress(attempt: Attempt) -> str:
    if attempt.status == "running":
        return f"{attempt.step}: at most {attempt.limit_s:.0f} s"
    reason = f" ({attempt.reason})" if attempt.reason else ""
    return f"{attempt.step}: {attempt.status} after {attempt.seconds:.0f} s{reason}"


if __name__ == "__main__":
    sys.exit(main())
