"""Run files that are torn, damaged, or none at all."""

import itertools
import os
from pathlib import Path

import pytest

from gpuprune.errors import GpupruneError
from gpuprune.storage import Journal, read
from tests.storage.files import END, FIRST, HEADER, LINES, PLAIN, SECOND, THIRD, WHOLE, refusal


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
                reason = "line 1 is incomplete" if cut else "it is empty"
                assert message == f"{path} is not a run file: {reason}"
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


CHECKSUM_HINT = "jq -c 'del(.crc)' takes the checksums off a file edited on purpose"


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
        (b"", "it is empty"),
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


def test_checksums_on_some_lines_only_are_damage(path: Path) -> None:
    path.write_bytes(PLAIN + LINES[1] + PLAIN)
    assert refusal(lambda: read(path))[0] == (
        f"{path} is damaged: line 3 has a checksum, unlike line 1"
    )
