"""Models in several files: folders as they are downloaded, and how they go wrong."""

import json
import os
import struct

import numpy as np
import pytest
from safetensors.numpy import save_file

from gpuprune import weights
from gpuprune.errors import GpupruneError

INDEX = "model.safetensors.index.json"
NAMES = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture
def model(tmp_path):
    """Two files with two layers and a norm between them."""
    random = np.random.default_rng(0)
    tensors = {
        NAMES[0]: {"a.weight": random.random((6, 4), np.float32), "norm": np.ones(4, np.float32)},
        NAMES[1]: {"b.weight": random.random((3, 5), np.float32)},
    }
    for name, own in tensors.items():
        save_file(own, tmp_path / name)
    write_index(tmp_path, {t: name for name, own in tensors.items() for t in own})
    return tmp_path


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


def grow_the_index(folder):
    (folder / INDEX).write_bytes(b"{" + b" " * 2**23)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (drop_a_file, "names files that are not there: 'model-00002-of-00002.safetensors'"),
        (make_a_file_a_pipe, "names files that are not there"),
        (name_what_is_elsewhere, "names '../../etc/passwd', which is no file beside it"),
        (move_a_tensor, "'a.weight' is not in 'model-00002-of-00002.safetensors', as it says"),
        (empty_the_map, "its weight_map is empty"),
        (write_a_list, "its weight_map is empty"),
        (write_numbers, "names '1', which is no file beside it"),
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


def test_pruning_a_sharded_model_points_to_its_files(model, tmp_path):
    with pytest.raises(GpupruneError, match="is a model in several files") as error:
        weights.rewrite(model, tmp_path / "pruned.safetensors", lambda _, array: array)
    assert "one by one" in error.value.hint


@pytest.mark.timeout(60)
def test_a_model_larger_than_memory_is_planned_and_listed_at_once(run, tmp_path):
    path = tmp_path / "model.safetensors"
    write_holes(path, layers=400, rows=11008, cols=4096)
    result = run("bench", "--weights", path, "--rates", "0.9", "--groups", "8", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "400 cases" in result.stdout
    assert result.stdout.count("11008x4096x50") == 400


def write_holes(path, layers, rows, cols):
    """Write a file of 36 GB in float16 that takes no room on the disk."""
    size = rows * cols * 2
    header = json.dumps(
        {
            f"layers.{i}.weight": {
                "dtype": "F16",
                "shape": [rows, cols],
                "data_offsets": [i * size, (i + 1) * size],
            }
            for i in range(layers)
        }
    ).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + layers * size)
