from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from gpuprune import config, session, twins
from gpuprune.execution import Local
from gpuprune.records import Case
from gpuprune.storage import read

BASE = Case(rows=8, cols=16, batch=2, rate=0.5, group=2, weights="m::a")


def twin_of(**changes):
    """Return whether a case of another tensor is found equal to one of the first."""
    first = replace(BASE, **{k: v for k, v in changes.items() if k != "rows"})
    return bool(twins.find([first, replace(BASE, weights="m::b", **changes)]))


@pytest.mark.parametrize(
    ("changes", "equal"),
    [
        ({}, False),  # which weights magnitudes remove differs from tensor to tensor
        ({"score": "random"}, True),
        ({"score": "random", "rows": 9}, False),
        ({"rate": 0.0}, True),
        ({"rate": 1.0}, True),
        ({"rate": 1.0, "min_groups_per_row": 1}, False),
    ],
    ids=str,
)
def test_equal_shapes_are_equal_cases_only_where_their_patterns_are(changes, equal):
    assert twin_of(**changes) is equal


def test_random_weights_are_never_told_of_each_other():
    case = replace(BASE, weights=None, score="random")
    assert twins.find([case, replace(case, rate=0.6)]) == {}


@pytest.fixture
def pruned(tmp_path):
    """Three layers of one shape: the first and the last have the same zeros."""
    random = np.random.default_rng(0)
    kept = random.random((16, 32)) < 0.25
    other = random.permutation(kept.reshape(-1)).reshape(kept.shape)
    values = {
        name: np.where(mask, random.random((16, 32)) + 1, 0).astype(np.float32)
        for name, mask in (("a", kept), ("b", other), ("c", kept))
    }
    save_file(values, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_what_was_pruned_alike_is_measured_once_and_told_twice(fake, pruned, tmp_path):
    asked = replace(
        config.paper(), weights=str(pruned), as_is=True, contenders=("csr",), device="fake"
    )
    path = tmp_path / "run.jsonl"
    job = session.resolve(asked, Local(fake))
    assert {one.weights: two.weights for one, two in job.twins.items()} == {
        f"{pruned}::c": f"{pruned}::a"
    }
    with session.start(job, path, resume=False) as running:
        assert [len(results) for results in running] == [2, 2, 2]
    told = {one.case.weights: one for one in running.results if one.contender == "csr"}
    assert told[f"{pruned}::c"].timing == told[f"{pruned}::a"].timing
    assert told[f"{pruned}::c"].reason == f"measured as {pruned}::a, which has the same pattern"
    assert told[f"{pruned}::b"].reason is None
    assert len(read(path).results) == 6


@pytest.mark.parametrize("kept", range(1, 7))
def test_a_run_stopped_before_a_case_is_told_tells_it_when_it_is_resumed(
    fake, pruned, tmp_path, kept
):
    asked = replace(config.paper(), weights=str(pruned), as_is=True, contenders=("csr",))
    path = tmp_path / "run.jsonl"
    job = session.resolve(asked, Local(fake))
    with session.start(job, path, resume=False) as running:
        list(running)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:kept]))
    with session.start(job, path, resume=True) as running:
        assert all(list(running))
    found = read(path).results
    assert len({(one["case"]["weights"], one["contender"]) for one in found}) == len(found) == 6
