"""Hostile files: each gives one error with a hint, soon, in little memory, and runs nothing."""

import json
import os
import pickle
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpuprune import weights
from gpuprune.errors import GpupruneError
from tests.weights import corpus
from tests.weights.samples import (
    FLOATS,
    MTX,
    Canary,
    csr_members,
    npy_bytes,
    promise,
    safetensors_bytes,
    stored,
    zip_bytes,
)

SECONDS = 2
EXTRA_BYTES = 200 * 2**20

# Reads what argv names, in a process that may take 200 MB more than it has after its imports.
READ_ALL = f"""
import json, resource, sys
import scipy.sparse
from gpuprune import weights
from gpuprune.errors import GpupruneError

used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limit = used + {EXTRA_BYTES}
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for source in sys.argv[1:]:
    try:
        for tensor in weights.select(source):
            weights.read_pattern(tensor)
        print(json.dumps("accepted " + source))
    except GpupruneError as error:
        print(json.dumps(str(error)))
"""


def read_all(source: str) -> None:
    for tensor in weights.select(source):
        weights.read_pattern(tensor)


def run_limited(*sources: str) -> list[str]:
    """Read the sources in one limited process; a crash would end it before the last line."""
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, *sources],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("hostile", corpus.HOSTILE, ids=lambda hostile: hostile.file)
def test_a_hostile_file_gives_one_error_with_a_hint_and_nothing_is_written(
    hostile: corpus.Hostile, tmp_path: Path
) -> None:
    source = corpus.write(tmp_path, hostile)
    begin = time.perf_counter()
    with pytest.raises(GpupruneError) as reading:
        read_all(source)
    assert time.perf_counter() - begin < SECONDS
    label, said = str(reading.value).split("' ", 1)
    assert label.removesuffix("::a") == f"'{tmp_path / hostile.file}"
    if hostile.message.endswith("..."):
        said = said[: len(hostile.message) - 3] + "..."
    assert said == hostile.message
    assert str(reading.value).isprintable()
    assert reading.value.hint.isprintable()
    assert reading.value.hint
    with pytest.raises(GpupruneError):
        weights.rewrite(source, tmp_path / f"out_{hostile.file}", lambda _, array: array)
    assert [path.name for path in tmp_path.iterdir()] == [hostile.file]


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_AS and /proc")
def test_the_whole_corpus_is_refused_within_200_mb(tmp_path: Path) -> None:
    sources = [corpus.write(tmp_path, hostile) for hostile in corpus.HOSTILE]
    messages = run_limited(*sources)
    assert len(messages) == len(sources)
    assert [message for message in messages if message.startswith("accepted")] == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_AS and /proc")
def test_an_allocation_that_fails_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "honest.npy"
    with path.open("wb") as stream:
        stream.write(promise("(8192, 8192)"))
        stream.truncate(stream.tell() + 4 * 8192 * 8192)
    messages = run_limited(str(path))
    assert messages == [f"{str(path)!r} needs more memory than this machine has"]


def test_no_pickle_is_ever_run(tmp_path: Path) -> None:
    canary = tmp_path / "ran"
    payload = pickle.dumps(Canary(str(canary)))
    objects = np.array([[Canary(str(canary))]], dtype=object)
    array = npy_bytes(objects, allow_pickle=True)
    files = {
        "a.pt": payload,
        "a.bin": zip_bytes({"model/data.pkl": payload}),
        "a.npy": payload,
        "objects.npy": array,
        "a.npz": zip_bytes({"a.npy": array, "b.npy": npy_bytes(FLOATS)}),
        "torch.npz": zip_bytes({"model/data.pkl": payload}),
        "sparse.npz": csr_members(),
        "a.safetensors": payload,
        "a.mtx": payload,
        "a.smtx": payload,
    }
    files["sparse.npz"] = zip_bytes(
        {"format.npy": array, "shape.npy": array, "data.npy": array, "indices.npy": array}
    )
    for name, content in files.items():
        source = tmp_path / name
        source.write_bytes(content)
        for asked in (str(source), f"{source}::a"):
            with suppress(GpupruneError):
                read_all(asked)
                weights.rewrite(asked, tmp_path / f"out_{name}", lambda _, given: given)
    assert (tmp_path / "out_a.npz").exists()  # copied with its pickle, which was not looked at
    assert not canary.exists()
    pickle.loads(payload)  # noqa: S301 - shows that the canary works
    assert canary.exists()


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("missing.npy", "does not exist", "check the path"),
        (
            "folder.npy",
            "is a directory",
            "name a file in it; gpuprune reads .npy, .npz, .mtx, .smtx and .safetensors files, "
            "and folders with a model.safetensors.index.json",
        ),
        ("fifo.npy", "is not a regular file", "write its content to a file and name that"),
        ("zero.npy", "is not a regular file", "write its content to a file and name that"),
    ],
)
def test_only_a_regular_file_is_opened(name: str, message: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / "folder.npy").mkdir()
    os.mkfifo(tmp_path / "fifo.npy")
    (tmp_path / "zero.npy").symlink_to("/dev/zero")
    with pytest.raises(GpupruneError) as raised:
        weights.select(str(tmp_path / name))
    assert (str(raised.value), raised.value.hint) == (f"{str(tmp_path / name)!r} {message}", hint)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a\0b.npy", "cannot read 'a\\x00b.npy': "),  # how it goes on depends on Python
        ("x" * 300 + ".npy", "cannot read '" + "x" * 150 + "..." + "x" * 146 + ".npy': File name"),
        ("\x1b[31m.npy", "'\\x1b[31m.npy' does not exist"),
        ("a\udcff.npy", "'a\\udcff.npy' does not exist"),
        ("::a", "'::a' does not name a file"),
        ("", "'' does not name a file"),
    ],
)
def test_a_strange_name_is_quoted(source: str, message: str) -> None:
    with pytest.raises(GpupruneError) as raised:
        weights.select(source)
    assert str(raised.value).startswith(message)
    assert str(raised.value).isprintable()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(npy_bytes(FLOATS))
    path.chmod(0)
    with pytest.raises(GpupruneError, match="Permission denied"):
        weights.select(str(path))


@pytest.mark.parametrize(
    ("name", "head", "tail"),
    [
        ("a.npy", promise("(500000, 500000)"), 10**12),
        ("a.safetensors", safetensors_bytes({"a": stored("F32", [500000, 500000], 0, 10**12)}), 0),
        ("a.mtx", f"{MTX}2 3 1\n1 1 1\n".encode(), 10**12),
        ("a.smtx", b"2, 3, 1\n0 1 1\n1", 10**12),
    ],
)
def test_a_file_larger_than_memory_is_refused_before_it_is_read(
    name: str, head: bytes, tail: int, tmp_path: Path
) -> None:
    path = tmp_path / name
    with path.open("wb") as stream:
        stream.write(head)
        try:
            stream.truncate(stream.tell() + (tail or 10**12))
        except OSError:
            pytest.skip("this file system has no files of a terabyte")
    begin = time.perf_counter()
    with pytest.raises(GpupruneError, match="needs more memory than this machine has"):
        read_all(str(path))
    assert time.perf_counter() - begin < SECONDS


def test_a_header_of_a_hundred_thousand_tensors_is_refused_soon(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    header = {f"layer.{i}": stored("F32", [1, 1], 4 * i, 4 * i + 4) for i in range(120_000)}
    path.write_bytes(safetensors_bytes(header, bytes(4 * len(header))))
    begin = time.perf_counter()
    with pytest.raises(GpupruneError, match="is longer than 8388608"):
        weights.select(str(path))
    assert time.perf_counter() - begin < SECONDS


SOUND = {
    "a.npy": npy_bytes(FLOATS),
    "a.npz": zip_bytes({"a.npy": npy_bytes(FLOATS), "b.npy": npy_bytes(FLOATS.T)}),
    "stored.npz": zip_bytes({"a.npy": npy_bytes(FLOATS)}, method=0),
    "csr.npz": csr_members(),
    "a.mtx": f"{MTX}2 3 2\n1 1 1.5\n2 3 -2\n".encode(),
    "array.mtx": b"%%MatrixMarket matrix array real general\n2 2\n1\n2\n3\n4\n",
    "a.smtx": b"2, 3, 3\n0 2 3\n0 2 1\n",
    "a.safetensors": safetensors_bytes(
        {"a": stored("F32", [2, 2], 0, 16), "b": stored("BF16", [2, 1], 16, 20)}, bytes(20)
    ),
}


@pytest.mark.parametrize("name", SOUND)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_but_nothing_else(
    name: str, data: st.DataObject, tmp_path: Path
) -> None:
    content = bytearray(SOUND[name])
    for _ in range(data.draw(st.integers(1, 3))):
        begin = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(begin, min(begin + 4, len(content))))
        content[begin:end] = data.draw(
            st.sampled_from(
                [b"", b"\0", b"\xff", b"9", b"-", b" ", b"\n", b"1e9", b"nan", b"\xff" * 8]
            )
        )
    path = tmp_path / name
    path.write_bytes(content)
    with suppress(GpupruneError):
        for tensor in weights.select(str(path)):
            kept = weights.read_pattern(tensor)
            assert (kept.dtype, kept.shape) == (bool, (tensor.rows, tensor.cols))
