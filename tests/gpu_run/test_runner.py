"""Steps that are real programs: their limits, what is kept of them, and how a run goes on."""

import json
import os
import sys
import time
from dataclasses import replace

import pytest

from benchmarks.gpu_run.runner import JOURNAL, ROOT, Step, latest, output_files, run
from gpuprune.errors import GpupruneError

pytestmark = pytest.mark.slow  # it waits for limits of seconds

MACHINE = {"node": "a", "cpu": "a CPU", "cores": 2, "python": "3", "gpuprune": "0", "packages": {}}


def python(code):
    return (sys.executable, "-c", code)


def step(name, *codes, **more):
    values = {"does": "something", "limit_s": 20, "commands": tuple(map(python, codes))} | more
    return Step(name=name, **values)


@pytest.fixture
def go(tmp_path):
    """Run steps in a folder of their own; returns what became of them, by name."""

    def invoke(*steps, device="fake", machine=MACHINE, **more):
        run(steps, tmp_path, device, machine=machine, **more)
        return latest(tmp_path)

    return invoke


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_a_step_prints_and_its_exit_code_are_kept(go, tmp_path):
    one = step("a", "import sys; print('out'); print('err', file=sys.stderr)")
    told = []
    attempt = go(one, tell=lambda attempt: told.append(attempt.status))["a"]
    stdout, stderr = (tmp_path / name for name in output_files("a"))
    assert (stdout.read_text(), stderr.read_text()) == ("out\n", "err\n")
    assert (attempt.status, attempt.exit_code, attempt.reason) == ("done", 0, None)
    assert attempt.commands == (f"python3 -c {one.commands[0][2]}",)
    assert 0 < attempt.seconds < 20
    assert told == ["running", "done"]


def test_a_step_that_fails_says_why_and_stops_nothing(go):
    error = "import sys; sys.exit('Error: no such weights\\nHint: take others')"
    found = go(step("bad", error, "print('is never reached')"), step("good", "pass"))
    assert (found["bad"].status, found["bad"].exit_code) == ("failed", 1)
    assert found["bad"].reason == "Error: no such weights"
    assert found["good"].status == "done"


def test_a_program_that_is_not_there_is_a_failure(go, tmp_path):
    missing = str(tmp_path / "nothing")
    attempt = go(step("a", commands=((missing,),)))["a"]
    assert attempt.status == "failed"
    assert attempt.reason == f"cannot start {missing}: No such file or directory"


def test_a_step_that_lacks_something_is_skipped_with_the_sentence(go, tmp_path):
    attempt = go(step("a", "open('made', 'w')", lacks="there is no ncu"))["a"]
    assert (attempt.status, attempt.reason) == ("skipped", "there is no ncu")
    assert not (tmp_path / "made").exists()


def test_at_its_limit_a_step_ends_with_all_it_has_started_and_what_it_wrote_is_kept(go, tmp_path):
    child = "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', {!r}]);"
    stubborn = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"
    code = f"{child.format(stubborn)} print(p.pid); time.sleep(60)"
    begun = time.monotonic()
    attempt = go(step("slow", code, limit_s=1.5), step("next", "pass"))
    assert time.monotonic() - begun < 15
    assert attempt["slow"].status == "stopped"
    assert attempt["slow"].reason == "its limit of 2 s was over"
    assert attempt["next"].status == "done"
    pid = int((tmp_path / "slow.stdout.txt").read_text())
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:  # until init has noticed
        time.sleep(0.05)
    assert not alive(pid)


def test_a_program_that_does_not_hear_ctrl_c_is_ended_by_force(go):
    deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"
    begun = time.monotonic()
    assert go(step("deaf", deaf, limit_s=1), grace_s=0.3)["deaf"].status == "stopped"
    assert time.monotonic() - begun < 10


def test_one_limit_holds_for_all_commands_of_a_step(go):
    attempt = go(
        step("two", "import time; time.sleep(1)", "import time; time.sleep(60)", limit_s=2)
    )
    assert attempt["two"].status == "stopped"
    assert attempt["two"].seconds < 10


COUNT = "import os; open('count', 'a').write('x'); print(os.path.getsize('count'))"


def test_a_step_that_is_done_is_not_run_again_unless_asked(go, tmp_path):
    go(step("a", COUNT))
    go(step("a", COUNT))
    assert (tmp_path / "a.stdout.txt").read_text() == "1\n"
    go(step("a", COUNT), again=True)
    assert (tmp_path / "a.stdout.txt").read_text() == "2\n"


def test_a_step_that_reads_the_others_is_made_anew_each_time(go, tmp_path):
    for _ in range(2):
        go(step("table", COUNT, repeats=True))
    assert (tmp_path / "a.stdout.txt").exists() is False
    assert (tmp_path / "table.stdout.txt").read_text() == "2\n"


@pytest.mark.parametrize("resumes", [True, False])
def test_only_a_step_that_can_resume_finds_what_it_wrote_before_its_limit(go, tmp_path, resumes):
    code = f"{COUNT}\nimport time; time.sleep(60 if os.path.getsize('count') == 1 else 0)"
    one = step("a", code, limit_s=1.5, files=("count",), resumes=resumes)
    assert go(one)["a"].status == "stopped"
    again = go(one)["a"]
    assert again.status == ("done" if resumes else "stopped")
    assert (tmp_path / "count.old").exists() is not resumes


def test_other_commands_do_not_go_on_with_what_was_cut_off(go, tmp_path):
    one = step("a", f"{COUNT}; import time; time.sleep(60)", limit_s=1, files=("count",),
               resumes=True)  # fmt: skip
    go(one)
    assert go(replace(one, commands=(python(COUNT),)))["a"].status == "done"
    assert (tmp_path / "count").read_text() == (tmp_path / "count.old").read_text() == "x"


def test_another_machine_begins_anew_what_was_cut_off(go, tmp_path):
    code = f"{COUNT}\nimport time; time.sleep(60 if not os.path.exists('count.old') else 0)"
    one = step("a", code, limit_s=1.5, files=("count",), resumes=True)
    assert go(one)["a"].status == "stopped"
    assert go(one, machine=MACHINE | {"node": "b"})["a"].status == "done"
    assert (tmp_path / "count").read_text() == (tmp_path / "count.old").read_text() == "x"


def test_what_was_measured_is_set_aside_before_it_is_measured_again(go, tmp_path):
    write = step("a", "import time; open('f', 'x').write(str(time.time()))", files=("f",))
    go(write)
    first = (tmp_path / "f").read_text()
    assert go(write, again=True)["a"].status == "done"
    assert (tmp_path / "f.old").read_text() == first != (tmp_path / "f").read_text()


def test_after_a_crash_the_step_under_way_is_made_again(go, tmp_path):
    go(step("a", "pass"), step("b", "pass"))
    lines = (tmp_path / JOURNAL).read_text().splitlines(keepends=True)
    (tmp_path / JOURNAL).write_text("".join(lines[:3]) + lines[3][:20])  # b's end was torn off
    assert latest(tmp_path)["b"].status == "running"
    found = go(step("a", "raise SystemExit(1)"), step("b", "pass"))
    assert [one.status for one in found.values()] == ["done", "done"]
    assert json.loads((tmp_path / JOURNAL).read_text().splitlines()[-1])["step"] == "b"


def test_a_folder_belongs_to_one_device(go):
    go(step("a", "pass"))
    with pytest.raises(GpupruneError, match="holds a run on fake, and now it is cuda"):
        go(step("a", "pass"), device="cuda")


def test_commands_see_this_gpuprune_and_no_options_from_outside(go, tmp_path, monkeypatch):
    monkeypatch.setenv("GPUPRUNE_RATES", "0.5")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code = "import os, gpuprune; print(gpuprune.__file__, 'GPUPRUNE_RATES' in os.environ)"
    go(step("a", code, f"import sys; assert sys.path.index({str(tmp_path)!r})"))
    assert (tmp_path / "a.stdout.txt").read_text() == f"{ROOT / 'gpuprune/__init__.py'} False\n"
