"""The run file under truncation, damage, full disks, kill -9 and a second writer."""

import errno
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprune.errors import GpupruneError
from gpuprune.storage import Journal, RunFile, read

ROOT = Path(__file__).parents[1]

HEADER = {"record": "run", "schema": 1, "version": "0.1.0"}
FIRST = {"record": "result", "case": {"rate": 0.86, "group": 4}, "samples_s": [0.0012, 1e-05]}
SECOND = {"record": "result", "name": "größe\u2028\n", "error": None, "nnz": 2**53 + 1}
THIRD = {"record": "result", "status": "skipped", "crc32": {"crc": "00000000"}}
END = {"record": "end", "results": 3}

# The checksums were taken with gzip: printf %s "$body" | gzip -c | tail -c8 | od -tx4.
LINES = (
    b'{"record":"run","schema":1,"version":"0.1.0","crc":"15323d97"}\n',
    b'{"record":"result","case":{"rate":0.86,"group":4},"samples_s":[0.0012,1e-05],'
    b'"crc":"9e7438d9"}\n',
    b'{"record":"result","name":"gr\\u00f6\\u00dfe\\u2028\\n","error":null,'
    b'"nnz":9007199254740993,"crc":"b342b97e"}\n',
    b'{"record":"result","status":"skipped","crc32":{"crc":"00000000"},"crc":"e836199e"}\n',
    b'{"record":"end","results":3,"crc":"736c39d5"}\n',
)
WHOLE = b"".join(LINES)

PLAIN = b'{"record": "run", "schema": 1}\n{"record": "result", "rate": 0.8}\n'

CHECKSUM_HINT = "jq -c 'del(.crc)' takes the checksums off a file edited on purpose"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def refusal(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(GpupruneError) as caught:
        call()
    return str(caught.value), caught.value.hint


def run_python(script: str, *arguments: object, within: Sequence[str] = ()) -> dict[str, Any]:
    command = [*within, sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


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


def test_a_run_cut_at_any_byte_keeps_every_whole_line_and_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is lost here but time: a thousand of them are slow on a busy disk.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    for cut in range(len(WHOLE) + 1):
        path.write_bytes(WHOLE[:cut])
        whole = WHOLE[:cut].count(b"\n")
        if whole == 0:
            for opened in (read, Journal.resume):
                message, _ = refusal(lambda opened=opened: opened(path))
                assert message == f"{path} is not a run file: line 1 is incomplete"
            assert path.read_bytes() == WHOLE[:cut]
            continue
        good = b"".join(LINES[:whole])
        run = read(path)
        assert run.results == (FIRST, SECOND, THIRD)[: whole - 1]
        assert run.torn == WHOLE[len(good) : cut]
        with Journal.resume(path) as journal:
            assert journal.run == run
            assert path.read_bytes() == good
            if run.end is None:
                journal.append([FIRST])
                assert path.read_bytes() == good + LINES[1]
                assert journal.kept == whole


TAILS = {
    "one NUL": b"\0",
    "a page of NUL": b"\0" * 4096,
    "NUL and a line feed": b"\0\0\0\n",
    "an empty line": b"\n",
    "no text": b"\xff\xfe\n",
    "a list": b"[]\n",
    "null": b"null\n",
    "NaN": b"NaN\n",
    "no checksum": b'{"record":"result"}\n',
    "half a record, thrice": b'{"record":"result","a":1' * 3,
    "no line feed": LINES[1][:-1],
    "another number": LINES[1].replace(b"1e-05", b"1e-06"),
    "a blank after the checksum": LINES[1].replace(b'"}\n', b'" }\n'),
    "deep nesting": b"[" * 100_000 + b"\n",
    "an endless number": b'{"a":' + b"9" * 5000 + b"}\n",
}


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
def test_a_bad_last_line_is_left_out_with_a_warning_and_cut_off_on_resume(
    path: Path, tail: bytes
) -> None:
    good = b"".join(LINES[:3])
    path.write_bytes(good + tail)
    run = read(path)
    assert (run.results, run.torn) == ((FIRST, SECOND), tail)
    assert run.warning is not None
    assert run.warning.startswith(f"{path}: the last line is incomplete or damaged")
    with Journal.resume(path) as journal:
        assert journal.run == run
        journal.append([THIRD])
        journal.finish(END)
    assert path.read_bytes() == WHOLE
    assert list(path.parent.iterdir()) == [path]


def test_the_warning_says_how_much_is_left_out(path: Path) -> None:
    path.write_bytes(WHOLE + b'{"record":"resu')
    assert read(path).warning == (
        f"{path}: the last line is incomplete or damaged and is left out (15 B)"
    )


def test_no_flipped_bit_goes_unnoticed(path: Path) -> None:
    records = (HEADER, FIRST, SECOND, THIRD)
    last = len(WHOLE) - len(LINES[-1])
    torn = 0
    path.write_bytes(WHOLE)
    with path.open("r+b", buffering=0) as file:
        for position, bit in itertools.product(range(len(WHOLE)), range(8)):
            flipped = bytes([WHOLE[position] ^ 1 << bit])
            os.pwrite(file.fileno(), flipped, position)
            try:
                run = read(path)
            except GpupruneError:
                assert position < last
            else:
                # Without its line feed the line before the last one is torn too.
                whole = 4 if position >= last else 3
                damaged = WHOLE[:position] + flipped + WHOLE[position + 1 :]
                assert (run.header, *run.results) == records[:whole]
                assert (run.end, run.torn) == (None, damaged[len(b"".join(LINES[:whole])) :])
                torn += 1
            os.pwrite(file.fileno(), WHOLE[position : position + 1], position)
    assert torn == 8 * (1 + len(LINES[-1]))


@pytest.mark.parametrize(
    ("number", "line", "reason"),
    [
        (1, LINES[0].replace(b"0.1.0", b"0.2.0"), "does not match its checksum"),
        (2, LINES[1].replace(b"0.86", b"0.87"), "does not match its checksum"),
        (2, LINES[1].replace(b"]", b""), "is not JSON: Expecting ',' delimiter at column 82"),
        (3, LINES[2].replace(b"\\u00f6", b"\xf6"), "is not UTF-8"),
        (3, b"\n", "is not JSON: Expecting value at column 1"),
        (3, b"[" * 100_000 + b"\n", "is nested too deeply"),
        (3, b'{"a":1,"b":{"c":1,"c":2}}\n', "repeats a key"),
        (3, b'{"a":NaN}\n', "holds NaN, which is no finite number"),
        (3, b'{"a":[-Infinity]}\n', "holds -Infinity, which is no finite number"),
        (3, b'{"a":1e999}\n', "holds 1e999, which is no finite number"),
        (4, b'"result"\n', "is not a JSON object"),
        (4, b'{"record":"result"}\n', "has no checksum, unlike line 1"),
    ],
    ids=lambda value: None if isinstance(value, str) else "",
)
def test_a_bad_line_before_the_last_is_refused_and_the_file_left_alone(
    path: Path, number: int, line: bytes, reason: str
) -> None:
    lines = [*LINES]
    lines[number - 1] = line
    damaged = b"".join(lines)
    path.write_bytes(damaged)
    rescue = f"head -n {number - 1} keeps the lines before it; " if number > 1 else ""
    for opened in (read, Journal.resume):
        message, hint = refusal(lambda opened=opened: opened(path))
        assert message == f"{path} is damaged: line {number} {reason}"
        assert hint == rescue + CHECKSUM_HINT
    assert path.read_bytes() == damaged


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((0, 1, 0), "line 3 is neither a `result` nor the `end` record"),
        ((0, 1, 0, 1), "line 3 is neither a `result` nor the `end` record"),
        ((0, 4, 1), "line 3 follows the `end` record"),
        ((0, 4, 4), "line 3 follows the `end` record"),
    ],
)
def test_a_sound_line_in_the_wrong_place_is_never_taken_for_a_torn_one(
    path: Path, lines: tuple[int, ...], reason: str
) -> None:
    path.write_bytes(b"".join(LINES[number] for number in lines))
    assert refusal(lambda: read(path))[0] == f"{path} is damaged: {reason}"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "line 1 is incomplete"),
        (LINES[0][:-1], "line 1 is incomplete"),
        (b"rate,group\n0.8,4\n", "line 1 is not JSON: Expecting value at column 1"),
        (b"\x93NUMPY\x01\n" * 9, "line 1 is not UTF-8"),
        (LINES[1], "line 1 is not a `run` record"),
        (b"[1, 2]\n", "line 1 is not a JSON object"),
        (b'{"record": "run"}\n', "line 1 has an unknown schema"),
        (b'{"record": "run", "schema": 0}\n', "line 1 has an unknown schema"),
        (b'{"record": "run", "schema": true}\n', "line 1 has an unknown schema"),
        (b'{"record": "run", "schema": "1"}\n', "line 1 has an unknown schema"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_run_file_is_refused(path: Path, content: bytes, reason: str) -> None:
    path.write_bytes(content)
    for opened in (read, Journal.resume):
        assert refusal(lambda opened=opened: opened(path)) == (
            f"{path} is not a run file: {reason}",
            "give a file that `gpuprune bench --output` wrote; without its first line a run "
            "cannot go on, so remove this one or take another name",
        )
    assert path.read_bytes() == content


def test_a_newer_schema_is_refused_whatever_its_checksum_is(path: Path) -> None:
    path.write_bytes(b'{"record":"run","schema":2,"crc":"another kind"}\n')
    assert refusal(lambda: read(path)) == (
        f"{path} has schema 2, and this gpuprune reads schema 1",
        "read it with a newer gpuprune: pip install --upgrade gpuprune",
    )


def test_a_huge_file_that_is_no_run_file_is_refused_at_once(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)  # sparse: it holds nothing
    assert refusal(lambda: read(path))[0] == f"{path} is not a run file: line 1 is too long"


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


def test_checksums_on_some_lines_only_are_damage(path: Path) -> None:
    path.write_bytes(PLAIN + LINES[1] + PLAIN)
    assert refusal(lambda: read(path))[0] == (
        f"{path} is damaged: line 3 has a checksum, unlike line 1"
    )


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
def test_jq_reads_a_run_file_and_what_it_writes_is_read(path: Path) -> None:
    path.write_bytes(WHOLE)
    edited = subprocess.run(
        ["jq", "-c", "del(.crc)", str(path)], capture_output=True, check=True
    ).stdout
    path.write_bytes(edited)
    run = read(path)
    assert (run.header, run.results[0], run.end) == (HEADER, FIRST, END)


def test_a_path_that_holds_no_regular_file_is_refused_without_waiting(path: Path) -> None:
    hint = "give a run file, not a directory, a pipe or a device"
    os.mkfifo(path)
    message = f"{path}: it is not a regular file"
    assert refusal(lambda: read(path)) == (f"cannot read {message}", hint)
    assert refusal(lambda: Journal.resume(path)) == (f"cannot continue {message}", hint)
    assert refusal(lambda: read(path.parent))[0] == (
        f"cannot read {path.parent}: it is not a regular file"
    )
    assert refusal(lambda: Journal.resume(path.parent))[0] == (
        f"cannot continue {path.parent}: it is not a regular file"
    )
    assert refusal(lambda: read(Path("/dev/zero")))[0] == (
        "cannot read /dev/zero: it is not a regular file"
    )


def test_a_missing_file_is_refused_and_not_made(path: Path) -> None:
    hint = "check the name; its directory must exist"
    reason = f"{path}: No such file or directory"
    assert refusal(lambda: read(path)) == (f"cannot read {reason}", hint)
    assert refusal(lambda: Journal.resume(path)) == (f"cannot continue {reason}", hint)
    assert not path.exists()


@pytest.mark.skipif(not Path("/sys/class/net/lo/speed").exists(), reason="needs Linux's /sys")
def test_a_file_that_cannot_be_read_is_refused() -> None:
    path = Path("/sys/class/net/lo/speed")  # the loopback has none: EINVAL
    assert refusal(lambda: read(path)) == (
        f"cannot read {path}: Invalid argument",
        "check the path and its permissions",
    )


def test_an_existing_file_is_never_written_over(path: Path) -> None:
    path.write_bytes(WHOLE)
    link = path.with_name("link.jsonl")
    link.symlink_to("nowhere.jsonl")
    for taken in (path, link):
        assert refusal(lambda taken=taken: Journal.create(taken, HEADER)) == (
            f"cannot create {taken}: File exists",
            "add --resume to continue it, or take another name",
        )
    assert refusal(lambda: Journal.create(path.parent, HEADER)) == (
        f"cannot create {path.parent}: it is not a regular file",
        "give a run file, not a directory, a pipe or a device",
    )
    assert path.read_bytes() == WHOLE
    assert sorted(path.parent.iterdir()) == [link, path]


def test_a_run_is_not_continued_through_a_symbolic_link(path: Path) -> None:
    path.write_bytes(WHOLE)
    link = path.with_name("link.jsonl")
    link.symlink_to(path)
    assert refusal(lambda: Journal.resume(link)) == (
        f"cannot continue {link}: it is a symbolic link",
        "give the file that the link points to",
    )
    assert read(link).results == (FIRST, SECOND, THIRD)


def test_a_run_cannot_start_where_nothing_can_be_written(path: Path) -> None:
    path.write_bytes(WHOLE)
    for place, reason, hint in (
        (
            path.parent / "missing" / "run.jsonl",
            "No such file or directory",
            "check the name; its directory must exist",
        ),
        (path / "run.jsonl", "Not a directory", "check the path and its permissions"),
        (
            path.parent / ("x" * 300),
            "File name too long",
            "check the path and its permissions",
        ),
    ):
        assert refusal(lambda place=place: Journal.create(place, HEADER)) == (
            f"cannot create {place}: {reason}",
            hint,
        )
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_permissions_are_named(path: Path) -> None:
    path.write_bytes(WHOLE)
    path.chmod(0)
    path.parent.chmod(0o500)
    place = path.with_name("other.jsonl")
    try:
        messages = [
            refusal(lambda: read(path))[0],
            refusal(lambda: Journal.resume(path))[0],
            refusal(lambda: Journal.create(place, HEADER))[0],
        ]
    finally:
        path.parent.chmod(0o700)
    assert messages == [
        f"cannot read {path}: Permission denied",
        f"cannot continue {path}: Permission denied",
        f"cannot create {place}: Permission denied",
    ]


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


WRITE_ONE = """
import sys
from pathlib import Path
from gpuprune.errors import GpupruneError
from gpuprune.storage import Journal
try:
    Journal.resume(Path(sys.argv[1])).append([{"record": "result"}])
    print('{"refused": null}')
except GpupruneError as error:
    print('{"refused": "%s"}' % error)
"""


def test_a_second_writer_is_refused_at_once_and_the_first_goes_on(path: Path) -> None:
    busy = f"another process is writing to {path}"
    with Journal.create(path, HEADER) as journal:
        assert run_python(WRITE_ONE, path) == {"refused": busy}
        assert refusal(lambda: Journal.resume(path)) == (
            busy,
            "wait until it has finished, or take another name",
        )
        journal.append([FIRST])
    journal.close()
    assert run_python(WRITE_ONE, path) == {"refused": None}
    assert read(path).results == (FIRST, {"record": "result"})


# Appends batches of three until it cannot; `limit` bytes a file, 0 for none.
FILL = """
import json, resource, sys
from pathlib import Path
from gpuprune.errors import GpupruneError
from gpuprune.storage import Journal, read

def refusal(call):
    try:
        return call()
    except GpupruneError as error:
        return [str(error), error.hint]

folder, limit = Path(sys.argv[1]), int(sys.argv[2])
path = folder / "run.jsonl"
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
else:
    (folder / "ballast").write_bytes(b"x" * 40_000)
journal = Journal.create(path, {"record": "run", "schema": 1})

def fill():
    while True:
        first = journal.kept
        pads = ((first + n) % 5 * 100 for n in range(3))
        journal.append([{"record": "result", "pad": "x" * pad} for pad in pads])

facts = {"full": refusal(fill), "kept": journal.kept, "torn": len(read(path).torn)}
facts["results"] = len(read(path).results)
facts["start"] = refusal(
    lambda: Journal.create(folder / "new.jsonl", {"record": "run", "schema": 1, "a": "x" * 50_000})
)
facts["again"] = refusal(fill)
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
else:
    (folder / "ballast").unlink()
journal.append([{"record": "result"}])  # room again: the same journal goes on
journal.close()
with Journal.resume(path) as journal:
    journal.finish({"record": "end"})
run = read(path)
facts["after"] = [len(run.results), run.end, len(run.torn)]
facts["files"] = sorted(file.name for file in folder.iterdir())
print(json.dumps(facts))
"""


def facts_when_full(folder: Path, kept: int, cause: str, remedy: str) -> dict[str, Any]:
    full = [
        f"{cause}; {kept} results are safe in {folder}/run.jsonl",
        f"{remedy}, then give the same command with --resume",
    ]
    return {
        "full": full,
        "kept": kept,
        "torn": 0,
        "results": kept,
        "start": [f"cannot create {folder}/new.jsonl: {cause}", remedy],
        "again": full,
        "after": [kept + 1, {"record": "end"}, 0],
        "files": ["run.jsonl"],
    }


@pytest.mark.parametrize("limit", [2000, 4096, 4097, 4400, 4401, 9999])
def test_a_limit_on_the_size_of_a_file_costs_no_finished_result(
    tmp_path: Path, limit: int
) -> None:
    facts = run_python(FILL, tmp_path, limit)
    assert facts["kept"] >= 6
    assert facts == facts_when_full(
        tmp_path,
        facts["kept"],
        "the limit on the size of a file is reached",
        "raise the limit with ulimit -f",
    )


def test_a_full_disk_costs_no_finished_result(tmp_path: Path) -> None:
    mount = f"mount -t tmpfs -o size=64k none {tmp_path}"
    # In a namespace of its own: no root needed, and the mount goes with the process.
    space = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*space, mount], check=False).returncode:
        pytest.skip("a file system cannot be mounted here")
    facts = run_python(FILL, tmp_path, 0, within=[*space, f'{mount} && exec "$@"', "sh"])
    assert facts["kept"] >= 60
    assert facts == facts_when_full(tmp_path, facts["kept"], "the disk is full", "free some space")


@pytest.mark.parametrize(
    ("number", "cause", "remedy"),
    [
        (errno.EIO, "Input/output error", "check the disk"),
        (errno.EDQUOT, "the disk quota is full", "free some space"),
    ],
)
def test_what_did_not_reach_the_disk_is_taken_back(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int, cause: str, remedy: str
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with Journal.create(path, HEADER) as journal:
        journal.append([FIRST])
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", fail)
            message, hint = refusal(lambda: journal.append([SECOND]))
        assert message == f"{cause}; 1 result is safe in {path}"
        assert hint == f"{remedy}, then give the same command with --resume"
        assert path.read_bytes() == LINES[0] + LINES[1]
        journal.append([SECOND, THIRD])
        journal.finish(END)
    assert path.read_bytes() == WHOLE


def test_a_run_whose_first_line_does_not_reach_the_disk_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fail(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    for failing in (1, 2):  # the file, then its directory
        calls.clear()
        assert refusal(lambda: Journal.create(path, HEADER)) == (
            f"cannot create {path}: Input/output error",
            "check the path and its permissions",
        )
        assert len(calls) == failing
        assert not path.exists()


def test_ctrl_c_in_the_middle_of_a_write_leaves_whole_lines(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    with Journal.create(path, HEADER) as journal:
        journal.append([FIRST])
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", interrupt)
            with pytest.raises(KeyboardInterrupt):
                journal.append([SECOND])
        assert journal.kept == 1
    assert path.read_bytes() == LINES[0] + LINES[1]


def test_a_file_deleted_or_changed_under_the_run_stops_it(path: Path) -> None:
    with Journal.create(path, HEADER) as journal:
        with path.open("ab") as other:
            other.write(b"x")
        assert refusal(lambda: journal.append([FIRST])) == (
            f"{path} was changed while the run was writing to it",
            "let nothing else write to it, and start the run again under another name",
        )
        path.unlink()
        message, _ = refusal(lambda: journal.append([FIRST]))
        assert message == f"{path} was deleted while the run was writing to it"


# Says on stdout how many results are safe, after each batch.
ENDLESS = """
import sys
from pathlib import Path
from gpuprune.storage import Journal
with Journal.resume(Path(sys.argv[1])) as journal:
    while True:
        numbers = range(journal.kept, journal.kept + 3)
        journal.append([{"record": "result", "number": n, "pad": "x" * 3000} for n in numbers])
        print(journal.kept, flush=True)
"""


def test_kill_9_costs_no_result_that_was_said_to_be_safe(path: Path) -> None:
    chance = random.Random(1)  # noqa: S311
    Journal.create(path, HEADER).close()
    for _ in range(15):
        good = path.read_bytes().removesuffix(read(path).torn)
        writer = subprocess.Popen(
            [sys.executable, "-c", ENDLESS, path], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        said = writer.stdout.readline()
        time.sleep(chance.uniform(0, 0.02))
        beside = read(path)
        writer.kill()
        said += writer.communicate()[0]
        run = read(path)
        assert path.read_bytes().startswith(good)
        assert len(run.results) >= int(said.split()[-1])
        for seen in (beside, run):
            assert [line["number"] for line in seen.results] == list(range(len(seen.results)))
    with Journal.resume(path) as journal:
        journal.finish({"record": "end"})
    assert read(path).end == {"record": "end"}
    assert list(path.parent.iterdir()) == [path]


def test_ctrl_c_while_writing_waits_until_the_result_is_on_disk(tmp_path, monkeypatch):
    path = tmp_path / "run.jsonl"
    sync = os.fsync
    with Journal.create(path, HEADER) as journal:

        def interrupted(descriptor):
            signal.raise_signal(signal.SIGINT)
            sync(descriptor)

        monkeypatch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            journal.append([{"record": "result", "value": 1}])
        assert journal.kept == 1
    assert len(read(path).results) == 1
