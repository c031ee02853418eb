"""Whole experiments on small data: same bits however often they are stopped."""

import itertools
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gpuprune import session as bench
from gpuprune.accuracy import checkpoint, experiment
from gpuprune.accuracy.records import Outcome
from gpuprune.accuracy.runner import Progress
from gpuprune.accuracy.settings import Settings
from gpuprune.errors import GpupruneError
from tests.accuracy.digits import dataset

SMALL = Settings(epochs=1, retrain_epochs=2, groups=(1, 8), layers=7, seeds=2, batch=32)
HERE = {"node": "here", "device": "cpu", "device_name": "a cpu", "threads": 1, "packages": {}}


def often():
    """A clock by which a step takes eight seconds: every fourth is kept, so half an epoch."""
    count = itertools.count()
    return lambda: 8.0 * next(count)


def start(cpu, output=None, settings=SMALL, resume=False, **changes):
    return experiment.start(
        settings, changes.get("data") or dataset(), cpu, HERE, output, resume=resume
    )


def outcomes(events):
    return [one for one in events if isinstance(one, Outcome)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What a run that nothing interrupts finds, and its result lines."""
    from gpuprune.backends import open_backend

    cpu, _ = open_backend("cpu", 1)
    path = tmp_path_factory.mktemp("run") / "run.jsonl"
    with start(cpu, path) as running:
        found = outcomes(running)
    cpu.close()
    return found, result_lines(path)


def result_lines(path):
    return [line for line in path.read_bytes().splitlines() if b'"record":"result"' in line]


def test_a_run_tells_every_network_of_every_seed(cpu, whole):
    found, lines = whole
    assert [(one.seed, one.group) for one in found] == [
        (seed, group) for seed in (0, 1) for group in (None, 1, 8)
    ]
    assert [Outcome.from_record(json.loads(line)) for line in lines] == found
    unpruned, single, eight = found[:3]
    assert unpruned.rate == 0.0
    assert unpruned.achieved_rate == 0.0
    assert unpruned.one_shot_accuracy is None
    assert single.matrices[0].rows == 128
    assert single.matrices[0].removed_groups == pytest.approx(0.9, abs=1e-5)
    assert eight.matrices[-1].removed_groups == pytest.approx(576 / 640)
    assert 0.1 < single.matrices[0].energy_kept < 1
    assert unpruned.accuracy > 0.3


def test_the_tail_group_makes_the_share_of_weights_another_one(cpu):
    settings = Settings(epochs=1, retrain_epochs=1, groups=(32,), layers=7)
    with start(cpu, settings=settings) as running:
        facts = outcomes(running)[1].matrices[0]
    assert facts.removed_groups == pytest.approx(0.9)
    assert facts.removed_weights != pytest.approx(0.9, abs=1e-5)


def test_epochs_are_told_as_they_pass(cpu):
    settings = Settings(epochs=2, retrain_epochs=3, groups=(8,), layers=7)
    with start(cpu, settings=settings) as running:
        told = [one for one in running if isinstance(one, Progress)]
    assert [(one.doing, one.epoch, one.epochs, one.epochs_left) for one in told] == [
        ("seed 0, unpruned", 1, 2, 4),
        ("seed 0, unpruned", 2, 2, 3),
        ("seed 0, group 8", 1, 3, 2),
        ("seed 0, group 8", 2, 3, 1),
        ("seed 0, group 8", 3, 3, 0),
    ]
    assert all(one.loss > 0 for one in told)


def test_the_same_seed_gives_the_same_bits(cpu, whole, tmp_path):
    with start(cpu, tmp_path / "again.jsonl") as running:
        assert outcomes(running) == whole[0]


@pytest.mark.parametrize("events", [1, 2, 3, 4, 5, 8, 10, 15])
def test_a_run_cut_off_at_any_epoch_goes_on_to_the_same_bits(cpu, whole, tmp_path, events):
    path = tmp_path / "run.jsonl"
    with start(cpu, path) as running:
        running.clock = often()
        for _ in zip(range(events), running, strict=False):
            pass
    with start(cpu, path, resume=True) as running:
        list(running)
    assert result_lines(path) == whole[1]
    assert [one.name for one in tmp_path.iterdir()] == ["run.jsonl"]


KILLED = """
import os, signal, sys
from pathlib import Path
from gpuprune.accuracy import checkpoint
from gpuprune.backends import open_backend
from tests.accuracy import test_run

at, path = int(sys.argv[1]), Path(sys.argv[2])
write, count = checkpoint.write, 0

def write_or_die(*arguments):
    global count
    count += 1
    write(*arguments)
    if count == at:
        os.kill(os.getpid(), signal.SIGKILL)

checkpoint.write = write_or_die
cpu, _ = open_backend("cpu", 1)
with test_run.start(cpu, path, resume=True) as running:
    running.clock = test_run.often()
    list(running)
"""


def test_a_run_killed_again_and_again_goes_on_to_the_same_bits(whole, tmp_path):
    path = tmp_path / "run.jsonl"
    for at in (1, 7):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(at), str(path)],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert checkpoint.path_beside(path).exists()
    last = [sys.executable, "-c", KILLED, "0", str(path)]
    subprocess.run(last, check=True, cwd=Path(__file__).parents[2])
    assert result_lines(path) == whole[1]
    assert [one.name for one in tmp_path.iterdir()] == ["run.jsonl"]


def test_a_lost_checkpoint_costs_time_and_no_bit(cpu, whole, tmp_path):
    path = tmp_path / "run.jsonl"
    with start(cpu, path) as running:
        for _ in zip(range(5), running, strict=False):
            pass
    checkpoint.path_beside(path).unlink()
    with start(cpu, path, resume=True) as running:
        list(running)
    assert result_lines(path) == whole[1]


def cut_off(cpu, path):
    with start(cpu, path) as running:
        running.clock = often()
        for _ in zip(range(2), running, strict=False):
            pass
    return checkpoint.path_beside(path)


def test_a_checkpoint_of_another_configuration_is_refused(cpu, tmp_path):
    theirs = cut_off(cpu, tmp_path / "theirs.jsonl").read_bytes()
    settings = Settings(epochs=2, retrain_epochs=1, groups=(1,), layers=7)
    with start(cpu, tmp_path / "ours.jsonl", settings):
        pass
    checkpoint.path_beside(tmp_path / "ours.jsonl").write_bytes(theirs)
    with (
        pytest.raises(GpupruneError, match="belongs to a run with another configuration"),
        start(cpu, tmp_path / "ours.jsonl", settings, resume=True),
    ):
        pass


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1000] + bytes([content[-1000] ^ 1]) + content[-999:],
        lambda content: b"",
        lambda content: b"\xff" * 100,
        lambda content: content.replace(b'"crc"', b'"abc"'),
    ],
    ids=["cut", "flipped bit", "empty", "no safetensors", "no checksum"],
)
def test_a_damaged_checkpoint_is_refused(cpu, tmp_path, spoil):
    path = cut_off(cpu, tmp_path / "run.jsonl")
    path.write_bytes(spoil(path.read_bytes()))
    with (
        pytest.raises(GpupruneError, match=r"run\.jsonl\.checkpoint") as refused,
        start(cpu, tmp_path / "run.jsonl", resume=True),
    ):
        pass
    assert "delete" in refused.value.hint


def test_another_configuration_or_other_data_do_not_resume(cpu, tmp_path):
    path = tmp_path / "run.jsonl"
    cut_off(cpu, path)
    other = replace(SMALL, epochs=4)
    with (
        pytest.raises(GpupruneError, match="has epochs 1, and now it is 4"),
        start(cpu, path, other, resume=True),
    ):
        pass
    changed = dataset()
    object.__setattr__(changed, "sha256", "1" * 64)
    with (
        pytest.raises(GpupruneError, match="has sha256"),
        start(cpu, path, data=changed, resume=True),
    ):
        pass


def test_a_new_run_takes_no_file_that_is_there(cpu, tmp_path):
    path = tmp_path / "run.jsonl"
    kept = cut_off(cpu, path)
    content = kept.read_bytes()
    with pytest.raises(GpupruneError, match="cannot create"), start(cpu, path):
        pass
    assert kept.read_bytes() == content
    path.unlink()
    with pytest.raises(GpupruneError, match="left from another run"), start(cpu, path):
        pass


def test_runs_of_bench_and_of_accuracy_are_not_mixed_up(cpu, tmp_path):
    path = tmp_path / "run.jsonl"
    with start(cpu, path):
        pass
    with pytest.raises(GpupruneError, match="gpuprune bench"):
        bench.load(path)
    path.write_text('{"record":"run","schema":1}\n')
    with pytest.raises(GpupruneError, match="is no run of gpuprune accuracy"):
        experiment.load(path)


@pytest.mark.filterwarnings("error")
def test_a_diverging_loss_says_when_and_what_to_lower(cpu):
    settings = Settings(epochs=3, retrain_epochs=1, groups=(1,), layers=7, learning_rate=100)
    with (
        pytest.raises(GpupruneError, match=r"the loss diverged in epoch \d of 3") as refused,
        start(cpu, settings=settings) as running,
    ):
        list(running)
    assert refused.value.hint == "lower it: --learning-rate 0.1"


def test_an_output_matrix_without_weights_for_a_class_is_told(cpu):
    settings = Settings(epochs=1, retrain_epochs=1, groups=(512,), layers=7)
    with start(cpu, settings=settings) as running:
        pruned = outcomes(running)[1]
    assert pruned.dead_classes == 9  # 10 groups, 1 of them kept
    assert pruned.empty_rows > 9


@pytest.mark.parametrize("changes", [{"min_groups_per_row": 1}, {"skip_last": True}])
def test_both_remedies_bring_dead_classes_to_life(cpu, changes):
    settings = Settings(epochs=1, retrain_epochs=1, groups=(64,), layers=7, **changes)
    with start(cpu, settings=settings) as running:
        assert outcomes(running)[1].dead_classes == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": 1.0}, "rate 1 is not between 0 and 1"),
        ({"rate": float("nan")}, "rate nan is not between"),
        ({"epochs": 0}, "epochs 0 is not in 1 to"),
        ({"retrain_epochs": 0}, "retrain-epochs 0 is not in 1 to"),
        ({"seeds": 0}, "seeds 0"),
        ({"groups": (1, 785)}, "group 785 is not in 1 to 784"),
        ({"groups": (800,), "orientation": "column"}, "group 800 is not in 1 to 784"),
        ({"layers": 9}, "no network of 9 layers"),
        ({"learning_rate": 0.0}, "learning rate 0 is not above 0"),
        ({"min_groups_per_row": -1}, "min-groups-per-row -1"),
    ],
)
def test_what_makes_no_experiment_is_refused(changes, message):
    with pytest.raises(GpupruneError, match=message):
        Settings(**changes)


def test_groups_longer_than_some_columns_are_told():
    settings = Settings(groups=(8, 16), orientation="column")
    assert settings.shortened() == [
        "Groups of 16: some matrices have columns of 10, and there a group is the whole column."
    ]
