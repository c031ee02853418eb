"""Time and memory that `gpuprune profile --from` takes for 100 MB of a profiler's output.

    python benchmarks/read_profile.py [--megabytes 100] [--page raw ...] [--format json ...]

Each page is written to a temporary folder, and the whole command run on it, from its start to the
last row written; the bar is 10 s and 500 MB. `raw` has 800 columns and `narrow` four, `details`
40 metrics a launch and `one` one. The processor's time is what an idle machine would take.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from script import Parser, count, run

from gpuprune.process import end_group

KERNEL = "void spmm<float, (int)8>(const float *, int)"
IDENTITY = ("ID", "Process ID", "Process Name", "Host Name", "Kernel Name", "Context", "Stream")
IDENTITY += ("Block Size", "Grid Size", "Device", "CC")
FORMATS = ("json", "csv", "table")
LOAD = "smsp__sass_average_data_bytes_per_sector_mem_global_op_ld.pct"


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--megabytes", type=count, default=100)
    parser.add_argument("--page", choices=PAGES, nargs="*", default=list(PAGES))
    parser.add_argument("--format", choices=FORMATS, nargs="*", default=list(FORMATS))
    options = parser.parse_args()
    for page in options.page:
        rng = random.Random(0)  # noqa: S311
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"{page}.csv")
            write(path, PAGES[page](rng), options.megabytes * 1_000_000)
            for output_format in options.format:
                wall, busy, peak = measure(path, output_format)
                print(
                    f"{page:8} {output_format:6} {wall:6.2f} s, {busy:6.2f} s of the processor, "
                    f"{peak / 1e6:6.0f} MB at most",
                    flush=True,
                )


def write(path: Path, lines: Iterator[str], size: int) -> None:
    with path.open("w") as file:
        while file.tell() < size:
            file.write("".join(next(lines) for _ in range(1000)))


def measure(path: Path, output_format: str) -> tuple[float, float, int]:
    """Run the command; seconds of the wall and of the processor, and the peak memory in bytes."""
    command = [sys.executable, "-m", "gpuprune", "profile", "--from", str(path)]
    began = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--format", output_format, "-q"],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        end_group(process)
    if process.returncode:
        raise SystemExit(f"gpuprune ended with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss * unit


def quoted(*cells: object) -> str:
    return ",".join(f'"{cell}"' for cell in cells) + "\n"


def launch(number: int) -> tuple[object, ...]:
    return (
        number,
        4242,
        "python",
        "127.0.0.1",
        KERNEL,
        1,
        7,
        "(256, 1, 1)",
        "(64, 1, 1)",
        0,
        "8.6",
    )


def raw(rng: random.Random, columns: int = 800) -> Iterator[str]:
    names = [f"unit__counter_{at:03}.sum" for at in range(columns - 1)]
    yield quoted(*IDENTITY, *names, LOAD)
    yield quoted(*[""] * len(IDENTITY), *["byte"] * (columns - 1), "%")
    for number in range(1 << 60):
        # A few columns differ from launch to launch; most are zeros, attributes and limits.
        values = [
            rng.choice((0, 0, 0, 32, 1024, rng.randrange(10**7))) for _ in range(columns - 1)
        ]
        yield quoted(*launch(number), *values, f"{rng.uniform(0, 100):.2f}")


def narrow(rng: random.Random) -> Iterator[str]:
    return raw(rng, columns=4)


def details(rng: random.Random, metrics: int = 40) -> Iterator[str]:
    yield quoted(*IDENTITY, "Section Name", "Metric Name", "Metric Unit", "Metric Value")
    names = [f"unit__counter_{at:02}.sum" for at in range(metrics - 1)] + [LOAD]
    for number in range(1 << 60):
        for name in names:
            value = f"{rng.uniform(0, 1e6):,.2f}"
            yield quoted(*launch(number), "Command line profiler metrics", name, "%", value)


def one(rng: random.Random) -> Iterator[str]:
    return details(rng, metrics=1)


def nvprof(rng: random.Random) -> Iterator[str]:
    yield "==4242== Metric result:\n"
    statistics = ("Metric Name", "Metric Description", "Min", "Max", "Avg")
    yield quoted("Device", "Kernel", "Invocations", *statistics)
    for number in range(1 << 60):
        for name in ("gld_efficiency", "gst_efficiency", "achieved_occupancy"):
            share = f"{rng.uniform(0, 100):.6f}%"
            row = f'"Tesla V100 (0)","{KERNEL} {number}",3,"{name}","What it is"'
            yield f"{row},{share},{share},{share}\n"


def trace(rng: random.Random) -> Iterator[str]:
    yield quoted("Start", "Duration", "Grid X", "Device", "Context", "Stream", "Name")
    yield "s,ms,,,,,\n"
    for number in range(1 << 60):
        times = f"{number / 1e3:.6f},{rng.uniform(0, 9):.6f}"
        yield f'{times},64,"Tesla V100 (0)","1","7","{KERNEL} [{number}]"\n'


PAGES = {
    "raw": raw,
    "narrow": narrow,
    "details": details,
    "one": one,
    "nvprof": nvprof,
    "trace": trace,
}

if __name__ == "__main__":
    run(main)
