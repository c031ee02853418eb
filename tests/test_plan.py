import numpy as np
import pytest

from gpuprune import plan
from gpuprune.config import load, paper
from gpuprune.errors import GpupruneError
from gpuprune.pruning import prune
from gpuprune.records import Case


def test_the_plan_goes_by_layer_then_group_then_rate():
    sweep = load(None, paper(), {"rates": "0.5,0.9", "groups": "1,8", "shape": "8x8x1,4x4x1"})
    assert [(case.rows, case.group, case.rate) for case in plan.cases(sweep)] == [
        (rows, group, rate) for rows in (8, 4) for group in (1, 8) for rate in (0.5, 0.9)
    ]


def test_the_plan_of_a_file_has_its_layers_and_the_batch(tmp_path):
    path = tmp_path / "model.npz"
    np.savez(path, a=np.ones((4, 6), np.float32), b=np.ones((3, 5)), bias=np.ones(4))
    sweep = load(None, paper(), {"weights": str(path), "batch": "9", "rates": "0.5"})
    cases = plan.cases(sweep)
    assert {(case.rows, case.cols, case.batch) for case in cases} == {(4, 6, 9), (3, 5, 9)}
    assert {case.weights for case in cases} == {f"{path}::a", f"{path}::b"}


def test_rate_and_group_of_what_others_pruned_are_detected(tmp_path):
    path = tmp_path / "pruned.npy"
    values = np.ones((64, 64), np.float32)
    values.reshape(64, 16, 4)[np.random.default_rng(0).random((64, 16)) < 0.75] = 0
    np.save(path, values)
    (case,) = plan.cases(load(None, paper(), {"weights": str(path), "as_is": True}))
    assert case.group == 4
    assert case.rate == pytest.approx(0.75, abs=0.05)
    assert case.rate == 1 - np.count_nonzero(values) / values.size


def told(path, orientation):
    options = {"weights": str(path), "as_is": True, "orientation": orientation}
    return plan.told_crosswise(plan.cases(load(None, paper(), options)))


@pytest.mark.parametrize(("pruned", "asked"), [("row", "column"), ("column", "row")])
def test_groups_that_run_in_the_other_orientation_are_told(tmp_path, pruned, asked):
    path = tmp_path / "pruned.npy"
    values = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    np.save(path, prune(values, 0.8, 8, orientation=pruned))
    assert told(path, pruned) is None
    assert told(path, asked) == (
        f"{path} has {pruned} groups of 8, and is timed as single weights: "
        f"--orientation {pruned} takes the larger groups."
    )


def test_groups_that_are_larger_in_the_other_orientation_are_told(tmp_path):
    path = tmp_path / "pruned.npz"
    values = np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32)
    blocks = np.repeat(prune(values, 0.8, 8, orientation="column"), 2, axis=1)  # of 8 x 2
    np.savez(path, a=blocks, b=blocks)
    assert told(path, "column") is None
    assert told(path, "row") == (
        f"{path}::a has column groups of 8, and is timed as row groups of 2 (and 1 more "
        "likewise): --orientation column takes the larger groups."
    )


def test_weights_that_are_zero_already_are_told_once_a_tensor(tmp_path):
    path = tmp_path / "pruned.npz"
    zeros = np.zeros((8, 8), np.float32)
    half = np.repeat(np.array([[0, 1]], np.float32), 4, axis=0)
    np.savez(path, none=zeros, half=half, full=zeros + 1)
    options = {"weights": str(path), "rates": "0,0.4,0.5,0.9", "groups": "1,2"}

    def told(**more):
        return plan.told_zeros(plan.cases(load(None, paper(), options | more)))

    assert told() == [
        f"{share} of the weights of {path}::{name} are 0 already, more than a rate of 0.4 "
        "removes. --as-is times what is there."
        for name, share in (("none", "All"), ("half", "50 %"))
    ]
    assert told(rates="0.5")[1:] == []
    assert told(as_is=True, rates=None, groups=None) == []


def test_a_case_larger_than_memory_is_refused_before_it_is_made(fake):
    case = Case(rows=10**6, cols=10**6, batch=1, rate=0.5, group=1)
    with pytest.raises(GpupruneError, match="1000000x1000000x1 needs about") as error:
        plan.check_memory([case], fake.free_bytes())
    assert "smaller" in error.value.hint
