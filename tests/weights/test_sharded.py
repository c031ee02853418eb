"""Models in several files: folders as they are downloaded, and how they go wrong."""

import json
import os

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gpuprune import weights
from gpuprune.errors import GpupruneError

INDEX = "model.safetensors.index.json"
NAMES = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture
def model(tmp_path):
    """Two files with two layers and a norm between them."""
    folder = tmp_path / "model"
    folder.mkdir()
    random = np.random.default_rng(0)
    tensors = {
        NAMES[0]: {"a.weight": random.random((6, 4), np.float32), "norm": np.ones(4, np.float32)},
        NAMES[1]: {"b.weight": random.random((3, 5), np.float32)},
    }
    for name, own in tensors.items():
        save_file(own, folder / name)
    write_index(folder, {t: name for name, own in tensors.items() for t in own})
    return folder


def write_index(folder, weight_map):
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


@pytest.mark.parametrize("named", ["folder", "index"])
def test_a_sharded_model_is_named_by_its_folder_or_its_index(model, named):
    source = model if named == "folder" else model / INDEX
    found = weights.select(str(source))
    assert [(one.label, one.rows, one.cols) for one in found] == [
        (f"{source}::a.weight", 6, 4),
        (f"{source}::b.weight", 3, 5),
    ]
    (second,) = weights.select(f"{source}::b.weight")
    random = np.random.default_rng(0)
    random.random((6, 4), np.float32)
    np.testing.assert_array_equal(weights.read(second), random.random((3, 5), np.float32))


def test_what_a_sharded_model_stands_for_is_its_index_and_its_files(model):
    assert weights.paths(f"{model}::a.weight") == [model / INDEX, *(model / n for n in NAMES)]


def drop_a_file(folder):
    (folder / NAMES[1]).unlink()


def make_a_file_a_pipe(folder):
    drop_a_file(folder)
    os.mkfifo(folder / NAMES[1])


def name_what_is_elsewhere(folder):
    write_index(folder, {"a.weight": "../../etc/passwd"})


def move_a_tensor(folder):
    write_index(folder, {"a.weight": NAMES[1], "b.weight": NAMES[1]})


def empty_the_map(folder):
    write_index(folder, {})


def write_a_list(folder):
    (folder / INDEX).write_text('{"weight_map": ["a"]}')


def write_numbers(folder):
    (folder / INDEX).write_text('{"weight_map": {"a": 1}}')


def tear_the_index(folder):
    (folder / INDEX).write_bytes((folder / INDEX).read_bytes()[:40])


def name_what_is_too_long(folder):
    write_index(folder, {"a": "a" * 5000})


def grow_the_index(folder):
    (folder / INDEX).write_bytes(b"{" + b" " * 2**23)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (drop_a_file, "names files that are not there: 'model-00002-of-00002.safetensors'"),
        (make_a_file_a_pipe, "names files that are not there"),
        (name_what_is_elsewhere, "names '../../etc/passwd', which is no file beside it"),
        (move_a_tensor, "'a.weight' is not in 'model-00002-of-00002.safetensors', as it says"),
        (empty_the_map, "it has no weight_map that says which file holds which tensor"),
        (write_a_list, "it has no weight_map that says which file holds which tensor"),
        (write_numbers, "names '1', which is no file beside it"),
        (name_what_is_too_long, "longer than any file's name"),
        (tear_the_index, "is no valid .json file"),
        (grow_the_index, "it is longer than 8388608 bytes"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_index_that_cannot_be_believed_is_refused(model, damage, words):
    damage(model)
    with pytest.raises(GpupruneError) as error:
        weights.select(str(model))
    assert words in str(error.value)
    assert error.value.hint


def zero(_, array):
    return np.zeros_like(array)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("named", ["folder", "index"])
def test_a_pruned_model_is_a_folder_with_the_same_index_and_files(model, tmp_path, named):
    source = model if named == "folder" else model / INDEX
    (model / "notes.txt").write_text("no part of the model")
    before, target = contents(model), tmp_path / "pruned"
    weights.rewrite(source, target, zero, pattern="b.*")
    after = contents(target)
    assert set(after) == {INDEX, *NAMES}
    assert {name: after[name] for name in (INDEX, NAMES[0])} == {
        name: before[name] for name in (INDEX, NAMES[0])
    }
    changed = load_file(target / NAMES[1])
    assert list(changed) == ["b.weight"]
    np.testing.assert_array_equal(changed["b.weight"], np.zeros((3, 5), np.float32))
    del before["notes.txt"]
    assert contents(target) | contents(model) == before | {"notes.txt": b"no part of the model"}


def test_a_model_never_takes_the_place_of_what_is_there(model, tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    (tmp_path / "link").symlink_to(there)
    (tmp_path / "file").write_text("precious")
    for target, words in (
        (model, "is the input itself"),
        (there, "exists, and a model in several files becomes a new folder"),
        (tmp_path / "link", "is a symbolic link"),
        (tmp_path / "file", "exists, and a model in several files becomes a new folder"),
        (tmp_path / "none" / "out", "is not a directory"),
    ):
        with pytest.raises(GpupruneError, match=words) as error:
            weights.rewrite(model, target, zero, force=True)
        assert error.value.hint
    assert (tmp_path / "file").read_text() == "precious"
    assert list(there.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, GpupruneError("x", hint="y")])
def test_nothing_is_left_of_a_model_whose_second_file_fails(model, tmp_path, error):
    def fail(tensor, array):
        if tensor.name == "b.weight":
            raise error
        return array

    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(error if isinstance(error, type) else type(error)):
        weights.rewrite(model, tmp_path / "out", fail)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_digest_is_of_what_was_chosen_alone(model):
    def digest(pattern):
        return weights.digest(weights.select(str(model), pattern))

    first, both = digest("a.*"), digest(None)
    save_file({"b.weight": np.ones((3, 5), np.float32)}, model / NAMES[1])
    assert digest("a.*") == first
    assert len({first, both, digest(None), digest("b.*")}) == 4
