"""A run file as it is written, read back and continued."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprune.storage import Journal, RunFile, read
from tests.storage.files import END, FIRST, HEADER, LINES, PLAIN, SECOND, THIRD, WHOLE


def test_a_finished_run_is_these_bytes_and_no_other_file(path: Path) -> None:
    with Journal.create(path, HEADER) as journal:
        journal.append([FIRST, SECOND])
        journal.append([])
        journal.append([THIRD])
        journal.finish(END)
        assert journal.kept == 3
    assert path.read_bytes() == WHOLE
    assert list(path.parent.iterdir()) == [path]


def test_a_finished_run_is_read_back_without_the_checksums(path: Path) -> None:
    path.write_bytes(WHOLE)
    assert read(path) == RunFile(
        path=path,
        header=HEADER,
        results=(FIRST, SECOND, THIRD),
        end=END,
        torn=b"",
        sealed=True,
    )
    assert read(path).warning is None


def test_a_run_is_read_while_it_is_written(path: Path) -> None:
    with Journal.create(path, HEADER) as journal:
        assert read(path) == journal.run
        journal.append([FIRST])
        assert read(path).results == (FIRST,)
        assert read(path).end is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
json_objects = st.dictionaries(
    st.text().filter(lambda key: key not in {"record", "schema", "crc"}), json_values, max_size=5
)


@settings(max_examples=40, deadline=None)
@given(header=json_objects, results=st.lists(json_objects, max_size=4))
def test_any_json_object_comes_back_as_it_was_one_to_a_line(
    header: dict[str, Any], results: list[dict[str, Any]]
) -> None:
    header = HEADER | header
    results = [{"record": "result"} | result for result in results]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.jsonl")
        with Journal.create(path, header) as journal:
            journal.append(results)
        run = read(path)
        lines = path.read_text("utf-8").splitlines()
    # repr tells 1 from 1.0 and True, and 0.0 from -0.0; it keeps the order of the keys.
    assert repr((run.header, run.results)) == repr((header, tuple(results)))
    assert len(lines) == 1 + len(results)
    assert all(isinstance(json.loads(line)["crc"], str) for line in lines)


def test_a_record_too_long_to_be_read_again_is_not_written(path: Path) -> None:
    with Journal.create(path, HEADER) as journal:
        with pytest.raises(ValueError, match=r"a record of 64\.0 MiB is too long"):
            journal.append([FIRST, {"record": "result", "name": "x" * (64 << 20)}])
        assert path.read_bytes() == LINES[0]


def test_a_file_written_by_hand_needs_no_checksums_and_is_continued_without(path: Path) -> None:
    path.write_bytes(PLAIN)
    run = read(path)
    assert run.header == {"record": "run", "schema": 1}
    assert run.results == ({"record": "result", "rate": 0.8},)
    assert not run.sealed
    with Journal.resume(path) as journal:
        journal.append([{"record": "result", "rate": 0.9}])
        journal.finish({"record": "end"})
    assert path.read_bytes() == PLAIN + b'{"record":"result","rate":0.9}\n{"record":"end"}\n'


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
def test_jq_reads_a_run_file_and_what_it_writes_is_read(path: Path) -> None:
    path.write_bytes(WHOLE)
    edited = subprocess.run(
        ["jq", "-c", "del(.crc)", str(path)], capture_output=True, check=True
    ).stdout
    path.write_bytes(edited)
    run = read(path)
    assert (run.header, run.results[0], run.end) == (HEADER, FIRST, END)


def test_a_resumed_run_keeps_its_lines_byte_for_byte(path: Path) -> None:
    with Journal.create(path, HEADER) as journal:
        journal.append([FIRST])
    before = path.read_bytes()
    with Journal.resume(path) as journal:
        assert journal.run.results == (FIRST,)
        assert path.read_bytes() == before
        journal.append([SECOND])
        assert journal.kept == 2
    with Journal.resume(path) as journal:
        journal.append([THIRD])
        journal.finish(END)
    assert path.read_bytes() == WHOLE


def test_nothing_follows_the_end(path: Path) -> None:
    path.write_bytes(WHOLE)
    with Journal.resume(path) as journal:
        for call in (lambda: journal.append([FIRST]), lambda: journal.finish(END)):
            with pytest.raises(ValueError, match="nothing follows the `end` record"):
                call()
    assert path.read_bytes() == WHOLE


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"record": "result", "a": float("nan")}, "not JSON compliant"),
        ({"record": "result", "a": [{"b": float("-inf")}]}, "not JSON compliant"),
        ({"record": "result", "crc": "00000000"}, "`crc` is the name of the checksum"),
        ({"record": "end"}, "expected `result` records"),
        ({"a": 1}, "expected `result` records"),
    ],
)
def test_what_a_run_file_cannot_hold_is_an_error_before_anything_is_written(
    path: Path, record: dict[str, Any], reason: str
) -> None:
    with Journal.create(path, HEADER) as journal:
        with pytest.raises(ValueError, match=reason):
            journal.append([FIRST, record])
        assert path.read_bytes() == LINES[0]
        journal.append([FIRST])
        assert journal.kept == 1


@pytest.mark.parametrize("header", [{}, {"record": "run"}, {**HEADER, "schema": 2}])
def test_a_run_does_not_start_without_its_header(path: Path, header: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="the first record of a run file is its `run` record"):
        Journal.create(path, header)
    assert not path.exists()
