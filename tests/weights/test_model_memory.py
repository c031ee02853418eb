"""Models larger than memory: what is held at once is never more than a tensor's share."""

import json
import struct
import subprocess
import sys

import numpy as np
import pytest

MIB = 2**20
SHARDS = 8
INDEX = "model.safetensors.index.json"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# What a process holds is asked of itself: getrusage counts what its parent held when it began.
COMMON = """
import json, os, sys
from pathlib import Path
from gpuprune.cli import cli

def kib(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])

def run(arguments):
    try:
        cli(arguments)
    except SystemExit as end:
        assert end.code == 0
"""
WHOLE = f"""{COMMON}
run(json.loads(sys.argv[1]))
used = os.times()
print(kib("VmHWM"), used.user + used.system, file=sys.stderr)
"""
# A first command, so that all is imported and compiled; measured is what the second takes.
SECOND = f"""{COMMON}
first, second = json.loads(sys.argv[1])
run(first)
Path("/proc/self/clear_refs").write_text("5")
before = kib("VmRSS")
run(second)
print(kib("VmHWM") - before, file=sys.stderr)
"""


def test_400_tensors_are_listed_in_less_than_the_memory_of_three_and_two_seconds(tmp_path):
    write_model(tmp_path, {f"layers.{i}.weight": (11008, 4096) for i in range(400)})
    options = ["--device", "cpu", "--rates", "0.9", "--groups", "8", "--dry-run"]
    plan, (held, seconds) = measure(WHOLE, ["bench", "--weights", str(tmp_path), *options])
    assert plan.count("11008x4096x50") == 400
    assert plan.splitlines()[-1].startswith("400 cases of dense, csr, row_group: ")
    assert held * 1024 < 3 * 2 * 11008 * 4096  # the interpreter and libraries included
    assert seconds < 2


def test_a_matrix_larger_than_memory_is_inspected_piece_by_piece(tmp_path):
    write_model(tmp_path, {"small": (64, 64), "large": (4096, 65536)})
    small, large = (["inspect", f"{tmp_path}::{name}"] for name in ("small", "large"))
    _, (held,) = measure(SECOND, [small, large])
    assert held * 1024 < 64 * MIB  # of 512 MiB


def test_pruning_a_model_holds_three_times_one_of_its_tensors_at_most(tmp_path):
    shape = (4096, 4096)
    values = np.random.default_rng(0).standard_normal(shape, np.float32).astype(np.float16)
    for name, count in (("one", 1), ("model", 6)):
        (tmp_path / name).mkdir()
        tensors = {f"layers.{i}.weight": shape for i in range(count)}
        write_model(tmp_path / name, tensors, values.tobytes())
    how = ["--rate", "0.9", "--group", "8"]
    first = ["prune", str(tmp_path / "one"), str(tmp_path / "first"), *how]
    second = ["prune", str(tmp_path / "model"), str(tmp_path / "pruned"), *how]
    _, (held,) = measure(SECOND, [first, second])
    assert held * 1024 <= 3 * values.nbytes
    assert sorted(path.name for path in (tmp_path / "pruned").iterdir()) == sorted(
        path.name for path in (tmp_path / "model").iterdir()
    )


def measure(program, arguments):
    """Return what a program says on stdout, and the numbers that end its stderr."""
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(arguments)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout, [float(word) for word in done.stderr.splitlines()[-1].split()]


def write_model(folder, tensors, values=None):
    """Write float16 tensors into several files; without values these take no room on the disk."""
    names = list(tensors)
    files = {
        f"model-{i + 1:05}-of-{SHARDS:05}.safetensors": names[i::SHARDS] for i in range(SHARDS)
    }
    files = {file: own for file, own in files.items() if own}
    for file, own in files.items():
        sizes = [2 * rows * cols for rows, cols in (tensors[name] for name in own)]
        ends = np.cumsum(sizes).tolist()
        header = {
            name: {"dtype": "F16", "shape": tensors[name], "data_offsets": [end - size, end]}
            for name, size, end in zip(own, sizes, ends, strict=True)
        }
        text = json.dumps(header).encode()
        with (folder / file).open("wb") as stream:
            stream.write(struct.pack("<Q", len(text)) + text)
            if values is None:
                stream.truncate(8 + len(text) + ends[-1])
            for _ in own if values else ():
                stream.write(values)
    weight_map = {name: file for file, own in files.items() for name in own}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
