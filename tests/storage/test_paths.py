"""Paths that a run cannot be read from or written to."""

import os
from pathlib import Path

import pytest

from gpuprune.storage import Journal, read
from tests.storage.files import FIRST, HEADER, SECOND, THIRD, WHOLE, refusal


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
    link.symlink_to(path)
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


def test_a_symbolic_link_that_leads_nowhere_is_named_as_one(path: Path) -> None:
    path.symlink_to("nowhere.jsonl")
    hint = "take the name of a file, or delete the link"
    reason = f"{path}: it is a symbolic link that leads nowhere"
    assert refusal(lambda: Journal.create(path, HEADER)) == (f"cannot create {reason}", hint)
    assert refusal(lambda: Journal.resume(path)) == (f"cannot continue {reason}", hint)
    assert refusal(lambda: read(path)) == (f"cannot read {reason}", hint)
    assert list(path.parent.iterdir()) == [path]


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
