"""Writing under full disks, signals, kill -9 and a second writer."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gpuprune.storage import Journal, read
from tests.storage.files import (
    END,
    FIRST,
    HEADER,
    LINES,
    ROOT,
    SECOND,
    THIRD,
    WHOLE,
    refusal,
    run_python,
)

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
