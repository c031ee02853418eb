"""A changed copy: the same format, everything else as it was, whole or not at all."""

import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file
from scipy import sparse
from scipy.io import mminfo, mmread

from gpuprune import weights
from gpuprune.errors import GpupruneError
from gpuprune.weights import Tensor
from tests.weights.samples import FLOATS, MTX, npy_bytes, safetensors_bytes, stored

SAFETENSORS = safetensors_bytes(
    {
        "__metadata__": {"format": "pt", "note": "kept"},
        "embed": stored("F32", [2, 3], 0, 24),
        "layer": stored("F32", [2, 3], 24, 48),
        "half": stored("BF16", [1, 2], 48, 52),
        "steps": stored("I64", [1, 1], 52, 60),
    },
    FLOATS.tobytes() + (FLOATS + 10).tobytes() + b"\x80\x3f\x00\x40" + bytes(range(8)),
)


def drop_first_column(tensor: Tensor, array: NDArray[Any]) -> NDArray[Any]:
    changed = array.copy()
    changed[:, 0] = 0
    return changed


def listing(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.npy"
    path.write_bytes(npy_bytes(FLOATS))
    return path


def test_safetensors_differs_only_in_the_bytes_of_the_changed_tensors(tmp_path: Path) -> None:
    path, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    path.write_bytes(SAFETENSORS)
    weights.rewrite(path, target, drop_first_column)
    head = len(SAFETENSORS) - 60
    expected = bytearray(SAFETENSORS)
    for offset, width in ((24, 4), (36, 4), (48, 2)):  # both rows of `layer`, then `half`
        expected[head + offset : head + offset + width] = bytes(width)
    assert target.read_bytes() == expected
    np.testing.assert_array_equal(load_file(target)["layer"], [[0, 11, 12], [0, 14, 15]])


@pytest.mark.parametrize(("suffix", "pattern"), [("::embed", None), ("", "em*")])
def test_only_what_was_chosen_is_changed(suffix: str, pattern: str | None, tmp_path: Path) -> None:
    path, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    path.write_bytes(SAFETENSORS)
    weights.rewrite(f"{path}{suffix}", target, drop_first_column, pattern=pattern)
    arrays = load_file(target)
    np.testing.assert_array_equal(arrays["embed"], [[0, 1, 2], [0, 4, 5]])
    np.testing.assert_array_equal(arrays["layer"], FLOATS + 10)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8"])
def test_npy_keeps_type_order_and_byte_order(dtype: str, order: str, tmp_path: Path) -> None:
    path, target = tmp_path / "in.npy", tmp_path / "out.npy"
    path.write_bytes(npy_bytes(np.asarray(FLOATS, dtype=dtype, order=order)))
    weights.rewrite(path, target, drop_first_column)
    changed = np.asarray([[0, 1, 2], [0, 4, 5]], dtype=dtype, order=order)
    assert target.read_bytes() == npy_bytes(changed)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_keeps_the_other_members_and_the_compression(save: Any, tmp_path: Path) -> None:
    path, target = tmp_path / "in.npz", tmp_path / "out.npz"
    save(path, bias=FLOATS[0], weight=FLOATS, steps=np.eye(2, dtype=int))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("notes.txt", "by hand")
    weights.rewrite(path, target, drop_first_column)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target) as new:
        assert new.testzip() is None
        assert new.namelist() == old.namelist()
        for before, after in zip(old.infolist(), new.infolist(), strict=True):
            assert (after.compress_type, after.date_time) == (
                before.compress_type,
                before.date_time,
            )
            changed = npy_bytes(np.array([[0, 1, 2], [0, 4, 5]], np.float32))
            expected = changed if before.filename == "weight.npy" else old.read(before)
            assert new.read(after) == expected


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("family", ["array", "matrix"])
@pytest.mark.parametrize("layout", ["csr", "csc", "bsr", "coo"])
def test_a_sparse_npz_stays_sparse_and_loses_its_zeros(
    layout: str, family: str, compressed: bool, tmp_path: Path
) -> None:
    path, target = tmp_path / "in.npz", tmp_path / "out.npz"
    dense = np.zeros((4, 6), np.float32)
    dense[:2, :2], dense[2, 5] = [[1, 2], [3, 4]], 5
    blocks = {"blocksize": (1, 2)} if layout == "bsr" else {}
    matrix = getattr(sparse, f"{layout}_{family}")(dense, **blocks)
    sparse.save_npz(path, matrix, compressed=compressed)
    weights.rewrite(path, target, drop_first_column)
    loaded = sparse.load_npz(target)
    dense[:, 0] = 0
    assert type(loaded) is type(matrix)
    assert loaded.dtype == np.float32
    assert loaded.nnz == (6 if layout == "bsr" else 3)  # three blocks of two
    np.testing.assert_array_equal(loaded.toarray(), dense)
    with zipfile.ZipFile(target) as archive:
        assert {info.compress_type for info in archive.infolist()} == {8 if compressed else 0}


@pytest.mark.filterwarnings("ignore:The default value for `spmatrix`")  # of SciPy's mmread
def test_matrix_market_coordinates_stay_coordinates(tmp_path: Path) -> None:
    path, target = tmp_path / "in.mtx", tmp_path / "out.mtx"
    path.write_text(f"{MTX}2 3 4\n1 1 7\n1 2 0.1\n2 1 9\n2 3 1e-300\n")
    weights.rewrite(path, target, drop_first_column)
    assert mminfo(target) == (2, 3, 2, "coordinate", "real", "general")
    np.testing.assert_array_equal(mmread(target).toarray(), [[0, 0.1, 0], [0, 0, 1e-300]])


def test_a_symmetric_matrix_market_file_is_written_whole(tmp_path: Path) -> None:
    path, target = tmp_path / "in.mtx", tmp_path / "out.mtx"
    path.write_text("%%MatrixMarket matrix array real symmetric\n2 2\n1\n2\n3\n")
    weights.rewrite(path, target, drop_first_column)
    assert mminfo(target) == (2, 2, 4, "array", "real", "general")
    np.testing.assert_array_equal(mmread(target), [[0, 2], [0, 3]])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("in.smtx", "2, 3, 1\n0 1 1\n2\n"),
        ("in.mtx", "%%MatrixMarket matrix coordinate pattern general\n2 3 1\n1 1\n"),
    ],
)
def test_a_pattern_is_refused(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    before = listing(tmp_path)
    with pytest.raises(GpupruneError) as raised:
        weights.rewrite(path, tmp_path / f"out{path.suffix}", drop_first_column)
    assert (str(raised.value), raised.value.hint) == (
        f"{str(path)!r} is a pattern without values, so that nothing in it can be ranked",
        "prune a file with values",
    )
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("target", "force", "message", "hint"),
    [
        ("in.npy", True, "'DIR/in.npy' is the input itself", "give the output another name"),
        ("hard.npy", True, "'DIR/hard.npy' is the input itself", "give the output another name"),
        (
            "folder/../in.npy",
            True,
            "'DIR/folder/../in.npy' is the input itself",
            "give the output another name",
        ),
        (
            "soft.npy",
            True,
            "'DIR/soft.npy' is a symbolic link",
            "name the file that it points to",
        ),
        (
            "dangling.npy",
            False,
            "'DIR/dangling.npy' is a symbolic link",
            "name the file that it points to",
        ),
        (
            "other.npy",
            False,
            "'DIR/other.npy' exists",
            "replace it with --force, or give another name",
        ),
        (
            "folder.npy",
            True,
            "'DIR/folder.npy' is not a regular file",
            "give the output another name",
        ),
        (
            "fifo.npy",
            True,
            "'DIR/fifo.npy' is not a regular file",
            "give the output another name",
        ),
        ("none/out.npy", False, "'DIR/none' is not a directory", "create it first"),
        ("in.npy/out.npy", False, "'DIR/in.npy' is not a directory", "create it first"),
        (
            "out.npz",
            False,
            "'DIR/out.npz' has another extension than 'DIR/in.npy'",
            "the format stays as it is: end the name in .npy",
        ),
        (
            "x" * 260 + ".npy",
            False,
            "cannot write 'DIR/" + "x" * 260 + ".npy': File name too long",
            "choose a directory that is writable and has room",
        ),
    ],
)
def test_a_wrong_output_is_refused_and_nothing_is_touched(
    target: str, force: bool, message: str, hint: str, source: Path
) -> None:
    directory = source.parent
    (directory / "other.npy").write_bytes(b"precious")
    (directory / "hard.npy").hardlink_to(source)
    (directory / "soft.npy").symlink_to(source)
    (directory / "dangling.npy").symlink_to(directory / "nowhere.npy")
    (directory / "folder").mkdir()
    (directory / "folder.npy").mkdir()
    os.mkfifo(directory / "fifo.npy")
    before = listing(directory)
    with pytest.raises(GpupruneError) as raised:
        weights.rewrite(source, directory / target, drop_first_column, force=force)
    said = str(raised.value).replace(str(directory), "DIR")
    if "..." not in said:  # a long path is cut in the middle
        assert said == message
    assert raised.value.hint == hint
    assert listing(directory) == before


@pytest.mark.parametrize("directory", ["/proc/self", "/sys"])
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and /sys")
def test_an_unwritable_directory_is_an_error(directory: str, source: Path) -> None:
    with pytest.raises(GpupruneError, match=f"^cannot write '{directory}/out.npy': ") as raised:
        weights.rewrite(source, Path(directory, "out.npy"), drop_first_column)
    assert raised.value.hint == "choose a directory that is writable and has room"


def test_what_exceeds_memory_is_refused_before_anything_is_written(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpuprune.environment.free_memory_bytes", lambda: 23)
    with pytest.raises(GpupruneError, match="needs more memory than this machine has"):
        weights.rewrite(source, Path("/proc/self/out.npy"), drop_first_column)  # unwritable


def test_force_replaces_an_existing_file(source: Path) -> None:
    target = source.with_name("out.npy")
    target.write_bytes(b"old")
    weights.rewrite(source, target, drop_first_column, force=True)
    np.testing.assert_array_equal(np.load(target), [[0, 1, 2], [0, 4, 5]])
    assert sorted(listing(source.parent)) == ["in.npy", "out.npy"]


def test_the_new_file_has_the_permissions_that_the_umask_gives(source: Path) -> None:
    target = source.with_name("out.npy")
    before = os.umask(0o027)
    try:
        weights.rewrite(source, target, drop_first_column)
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, ZeroDivisionError, GpupruneError("x", hint="y")]
)
@pytest.mark.parametrize("name", ["in.npy", "in.npz", "in.mtx", "in.safetensors", "sparse.npz"])
def test_nothing_is_left_when_the_change_fails(
    name: str, error: BaseException | type[BaseException], tmp_path: Path
) -> None:
    path = write_any(tmp_path / name)

    def fail(tensor: Tensor, array: NDArray[Any]) -> NDArray[Any]:
        raise error

    before = listing(tmp_path)
    with pytest.raises(error if isinstance(error, type) else type(error)):
        weights.rewrite(path, tmp_path / f"out{path.suffix}", fail)
    assert listing(tmp_path) == before


def test_a_change_of_shape_or_type_is_a_bug_of_the_caller(source: Path) -> None:
    with pytest.raises(ValueError, match="the change gave float64"):
        weights.rewrite(source, source.with_name("out.npy"), lambda _, array: array.astype(float))
    assert sorted(listing(source.parent)) == ["in.npy"]


def test_values_that_are_not_finite_are_refused_before_they_are_ranked(tmp_path: Path) -> None:
    path = tmp_path / "in.npz"
    np.savez(path, a=FLOATS, b=np.array([[np.inf]]))
    with pytest.raises(GpupruneError, match=r"::b' has values that are NaN or infinite: 1 of 1$"):
        weights.rewrite(path, tmp_path / "out.npz", drop_first_column)
    assert sorted(listing(tmp_path)) == ["in.npz"]


FULL_DISK = """
import json, resource, sys
from pathlib import Path
from gpuprune import weights
from gpuprune.errors import GpupruneError

resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for name in sys.argv[1:]:
    path = Path(name)
    try:
        weights.rewrite(path, path.with_name("out" + path.suffix), lambda _, array: array)
    except GpupruneError as error:
        print(json.dumps([str(error), error.hint]))
"""


def test_a_disk_that_is_full_leaves_nothing_behind(tmp_path: Path) -> None:
    names = ["in.npy", "in.npz", "in.mtx", "in.safetensors", "sparse.npz"]
    paths = [write_any(tmp_path / name, rows=100, cols=100) for name in names]
    before = listing(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        [
            f"cannot write {str(path.with_name('out' + path.suffix))!r}: File too large",
            "choose a directory that is writable and has room",
        ]
        for path in paths
    ]
    assert listing(tmp_path) == before


def write_any(path: Path, rows: int = 2, cols: int = 3) -> Path:
    """Write a random matrix in the format that the name asks for."""
    array = np.random.default_rng(0).standard_normal((rows, cols))
    if path.name == "sparse.npz":
        sparse.save_npz(path, sparse.csr_array(array))
    elif path.suffix == ".npz":
        np.savez(path, a=array)
    elif path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".mtx":
        lines = [f"{i + 1} {j + 1} {float(value)!r}" for (i, j), value in np.ndenumerate(array)]
        path.write_text(f"{MTX}{rows} {cols} {array.size}\n" + "\n".join(lines))
    else:
        header = {"a": stored("F64", [rows, cols], 0, array.nbytes)}
        path.write_bytes(safetensors_bytes(header, array.tobytes()))
    return path
