"""Sound files: which matrices are chosen, and that their values arrive as they were written."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from scipy.io import mmwrite

from gpuprune import weights
from gpuprune.errors import GpupruneError
from gpuprune.weights import Tensor
from tests.weights.samples import FLOATS, npy_bytes, safetensors_bytes, stored, zip_bytes

CODES = {"float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64"}


def write_safetensors(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    header, data = {}, b""
    for name, array in arrays.items():
        content = array.tobytes()
        code = CODES.get(array.dtype.name, "I64")
        header[name] = stored(code, list(array.shape), len(data), len(data) + len(content))
        data += content
    path.write_bytes(safetensors_bytes(header, data))


def random(rows: int, cols: int, dtype: str) -> NDArray[Any]:
    ml_dtypes.finfo(dtype)  # makes NumPy know bfloat16
    return np.random.default_rng(0).standard_normal((rows, cols)).astype(np.dtype(dtype))


def assert_same(read: NDArray[Any], written: NDArray[Any]) -> None:
    assert read.dtype == written.dtype.newbyteorder("=")
    assert read.dtype.isnative
    assert read.flags.c_contiguous
    np.testing.assert_array_equal(read, written)


def model(tmp_path: Path) -> str:
    """A small model: two layers with biases, an embedding, and positions."""
    path = tmp_path / "model.safetensors"
    write_safetensors(
        path,
        {
            "encoder.0.weight": random(4, 6, "float32"),
            "encoder.0.bias": random(1, 4, "float32")[0],
            "encoder.1.weight": random(6, 4, "bfloat16"),
            "Embeddings.word": random(9, 4, "float16"),
            "positions": np.arange(8).reshape(2, 4),
            "conv": random(2, 6, "float32").reshape(2, 2, 3),
        },
    )
    return str(path)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_safetensors_matrix_arrives_bit_for_bit(dtype: str, tmp_path: Path) -> None:
    written = random(5, 7, dtype)
    path = tmp_path / "a.safetensors"
    write_safetensors(path, {"pad": random(1, 3, "float16"), "a": written})
    (tensor,) = weights.select(f"{path}::a")
    assert tensor == Tensor(path=path, name="a", rows=5, cols=7, dtype=dtype)
    assert_same(weights.read(tensor), written)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"])
def test_npy_in_any_order_is_read_in_c_order_and_native_bytes(
    dtype: str, order: str, tmp_path: Path
) -> None:
    written = np.asarray(random(5, 7, "float64"), dtype=dtype, order=order)
    path = tmp_path / "a.NPY"
    path.write_bytes(npy_bytes(written))
    (tensor,) = weights.select(str(path))
    assert (tensor.name, tensor.dtype) == (None, written.dtype.name)
    assert_same(weights.read(tensor), written)


def test_npy_of_format_version_2_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    with path.open("wb") as stream:
        np.lib.format.write_array(stream, FLOATS, version=(2, 0))
    assert_same(weights.read(weights.select(str(path))[0]), FLOATS)


def test_a_tensor_whose_name_is_empty_is_one_like_others(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_safetensors(path, {"": FLOATS, "b": FLOATS})
    (unnamed, _) = weights.select(str(path))
    assert unnamed.label == f"{path}::"
    (again,) = weights.select(unnamed.label)
    assert_same(weights.read(again), FLOATS)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_gives_its_floating_point_matrices_by_name(
    save: Callable[..., None], tmp_path: Path
) -> None:
    path = tmp_path / "a.npz"
    save(
        path,
        first=FLOATS,
        bias=FLOATS[0],
        indices=np.eye(3, dtype=int),
        last=np.asfortranarray(FLOATS.T),
    )
    tensors = weights.select(str(path))
    assert [(t.name, t.rows, t.cols, t.dtype) for t in tensors] == [
        ("first", 2, 3, "float32"),
        ("last", 3, 2, "float32"),
    ]
    assert_same(weights.read(tensors[0]), FLOATS)
    assert_same(weights.read(tensors[1]), FLOATS.T)


@pytest.mark.parametrize("family", ["array", "matrix"])
@pytest.mark.parametrize("layout", ["csr", "csc", "bsr", "coo"])
def test_a_sparse_npz_becomes_one_dense_matrix(layout: str, family: str, tmp_path: Path) -> None:
    dense = np.zeros((6, 8))
    dense[1, 2:6], dense[5, 0] = [1, 2, 3, 4], -5
    path = tmp_path / "a.npz"
    sparse.save_npz(path, getattr(sparse, f"{layout}_{family}")(dense))
    (tensor,) = weights.select(str(path))
    assert tensor == Tensor(path=path, name=None, rows=6, cols=8, dtype="float64")
    assert_same(weights.read(tensor), dense)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("coordinate real general\n% a\n\n2 3 2\n1 1 1.5\n2 3 -2e0\n", [[1.5, 0, 0], [0, 0, -2]]),
        ("coordinate real general\n2 2 2\n1 1 1\n1 1 2\n", [[3, 0], [0, 0]]),
        ("coordinate real general\n2 2 0\n", [[0, 0], [0, 0]]),
        ("coordinate real symmetric\n2 2 2\n1 1 1\n2 1 5", [[1, 5], [5, 0]]),
        ("coordinate real skew-symmetric\n2 2 1\n2 1 5\n", [[0, -5], [5, 0]]),
        ("array real general\n2 3\n1\n2\n3\n4\n5\n6\n", [[1, 3, 5], [2, 4, 6]]),
        ("array real symmetric\n3 3\n1\n2\n3\n4\n5\n6\n", [[1, 2, 3], [2, 4, 5], [3, 5, 6]]),
        ("array real skew-symmetric\n3 3\n2\n3\n5\n", [[0, -2, -3], [2, 0, -5], [3, 5, 0]]),
    ],
)
def test_matrix_market_is_read_as_float64(
    text: str, expected: list[list[float]], tmp_path: Path
) -> None:
    path = tmp_path / "a.mtx"
    path.write_text(f"%%MatrixMarket matrix {text}")
    assert_same(weights.read(weights.select(str(path))[0]), np.array(expected, float))


@pytest.mark.parametrize("symmetry", ["general", "symmetric"])
@pytest.mark.parametrize("make", [sparse.coo_array, np.asarray])
def test_matrix_market_of_scipy_arrives_bit_for_bit(
    make: Callable[..., Any], symmetry: str, tmp_path: Path
) -> None:
    written = random(6, 6, "float64")
    written += written.T
    path = tmp_path / "a.mtx"
    mmwrite(path, make(written), comment="two\nlines", symmetry=symmetry)
    assert_same(weights.read(weights.select(str(path))[0]), written)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.smtx", "2, 3, 3\n0 2 3\n0 2 1\n"),
        ("a.smtx", "2,3,3\n0 2 3 \n0 2 1"),
        ("a.mtx", "%%MatrixMarket matrix coordinate pattern general\n2 3 3\n1 1\n1 3\n2 2\n"),
    ],
)
def test_a_pattern_is_read_as_what_is_kept_and_has_no_values(
    name: str, text: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(text)
    (tensor,) = weights.select(str(path))
    assert tensor == Tensor(path=path, name=None, rows=2, cols=3, dtype="pattern")
    assert tensor.is_pattern
    kept = weights.read_pattern(tensor)
    assert_same(kept, np.array([[True, False, True], [False, True, False]]))
    with pytest.raises(GpupruneError, match="is a pattern without values"):
        weights.read(tensor)


def test_a_pattern_without_any_weight_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.smtx"
    path.write_text("2, 3, 0\n0 0 0\n\n")
    assert_same(weights.read_pattern(weights.select(str(path))[0]), np.zeros((2, 3), bool))


def test_the_pattern_of_a_matrix_with_values_is_its_non_zeros(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(npy_bytes(FLOATS))
    assert_same(weights.read_pattern(weights.select(str(path))[0]), FLOATS != 0)


@pytest.mark.parametrize(
    ("suffix", "pattern", "names"),
    [
        ("", None, ["encoder.0.weight", "encoder.1.weight"]),
        ("", "*", ["encoder.0.weight", "encoder.1.weight", "Embeddings.word"]),
        ("", "encoder.1.*", ["encoder.1.weight"]),
        ("", "Embed*", ["Embeddings.word"]),
        ("::Embeddings.word", None, ["Embeddings.word"]),
    ],
)
def test_select_takes_matrices_and_embeddings_only_when_asked(
    suffix: str, pattern: str | None, names: list[str], tmp_path: Path
) -> None:
    source = model(tmp_path)
    tensors = weights.select(source + suffix, pattern)
    assert [tensor.name for tensor in tensors] == names
    assert [tensor.label for tensor in tensors] == [f"{source}::{name}" for name in names]


@pytest.mark.parametrize(
    ("suffix", "pattern", "message", "hint"),
    [
        (
            "::encoder.0.wieght",
            None,
            "'FILE' has no tensor 'encoder.0.wieght'",
            "did you mean 'encoder.0.weight' (float32 4x6), 'encoder.1.weight' (bfloat16 6x4), "
            "'encoder.0.bias' (float32 4)?",
        ),
        (
            "::zzz",
            None,
            "'FILE' has no tensor 'zzz'",
            "it holds 'encoder.0.weight' (float32 4x6), 'encoder.0.bias' (float32 4), "
            "'encoder.1.weight' (bfloat16 6x4), 'Embeddings.word' (float16 9x4), "
            "'positions' (I64 2x4), 1 more",
        ),
        (
            "::encoder.0.bias",
            None,
            "'FILE::encoder.0.bias' is 1-D, not a matrix: float32 4",
            "reshape it to (rows, cols): outputs by inputs",
        ),
        (
            "::conv",
            None,
            "'FILE::conv' is 3-D, not a matrix: float32 2x2x3",
            "reshape it to (rows, cols): outputs by inputs",
        ),
        (
            "::positions",
            None,
            "'FILE::positions' is I64, not floating-point",
            "convert it to float32; gpuprune reads float16, float32, float64 and, in "
            ".safetensors, bfloat16",
        ),
        (
            "",
            "decoder*",
            "no matrix of 'FILE' matches 'decoder*'",
            "--tensor chooses from 'encoder.0.weight' (float32 4x6), "
            "'encoder.1.weight' (bfloat16 6x4), 'Embeddings.word' (float16 9x4)",
        ),
        (
            "::conv",
            "conv",
            "both 'conv' and the pattern 'conv' choose tensors",
            "give either ::TENSOR or --tensor",
        ),
    ],
)
def test_a_choice_that_is_empty_or_no_matrix_says_what_there_is(
    suffix: str, pattern: str | None, message: str, hint: str, tmp_path: Path
) -> None:
    source = model(tmp_path)
    with pytest.raises(GpupruneError) as raised:
        weights.select(source + suffix, pattern)
    assert str(raised.value).replace(source, "FILE") == message
    assert raised.value.hint == hint


def test_a_file_of_embeddings_alone_asks_for_a_choice(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, embed_tokens=FLOATS)
    with pytest.raises(GpupruneError) as raised:
        weights.select(str(path))
    assert str(raised.value) == f"all matrices of {str(path)!r} are embeddings, taken only by name"
    assert raised.value.hint == "--tensor chooses from 'embed_tokens' (float32 2x3)"


@pytest.mark.parametrize(("suffix", "pattern"), [("::a", None), ("", "a")])
def test_a_file_with_one_nameless_matrix_takes_no_tensor_name(
    suffix: str, pattern: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(npy_bytes(FLOATS))
    with pytest.raises(GpupruneError) as raised:
        weights.select(f"{path}{suffix}", pattern)
    assert str(raised.value) == f"{str(path)!r} holds one matrix, and that has no name"
    assert raised.value.hint == "leave out ::TENSOR and --tensor"


def test_select_reads_no_values(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    stream = io.BytesIO()
    np.save(stream, np.full((2, 3), np.nan))
    path.write_bytes(zip_bytes({"a.npy": stream.getvalue()}))
    (tensor,) = weights.select(str(path))
    with pytest.raises(GpupruneError) as raised:
        weights.read(tensor)
    assert str(raised.value) == f"'{path}::a' has values that are NaN or infinite: 6 of 6"


@pytest.mark.parametrize("replacement", [{"b": FLOATS}, {"a": FLOATS.T}])
def test_a_file_that_changes_under_the_reader_is_an_error(
    replacement: dict[str, NDArray[Any]], tmp_path: Path
) -> None:
    for name, save in (
        ("a.npz", lambda p, a: np.savez(p, **a)),
        ("a.safetensors", write_safetensors),
    ):
        save(tmp_path / name, {"a": FLOATS})
        (tensor,) = weights.select(str(tmp_path / name))
        save(tmp_path / name, replacement)
        with pytest.raises(GpupruneError, match="it has changed since it was listed"):
            weights.read(tensor)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.safetensors"])
def test_a_matrix_of_several_chunks_arrives_whole(name: str, tmp_path: Path) -> None:
    written = random(1200, 1000, "float32")
    path = tmp_path / name
    if name == "a.npy":
        np.save(path, written)
    elif name == "a.npz":
        np.savez_compressed(path, a=written)
    else:
        write_safetensors(path, {"first": FLOATS, "a": written, "last": FLOATS})
    suffix = "::a" if name == "a.safetensors" else ""
    target = tmp_path / f"out{path.suffix}"
    weights.rewrite(path, target, lambda _, array: -array)
    for file, expected in ((path, written), (target, -written)):
        assert_same(weights.read(weights.select(f"{file}{suffix}")[0]), expected)
