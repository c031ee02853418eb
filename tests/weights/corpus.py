"""Files in each of which one thing is wrong."""

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from tests.weights.samples import (
    FLOATS,
    MTX,
    csr_members,
    npy_bytes,
    npy_header,
    promise,
    safetensors_bytes,
    stored,
    zip_bytes,
)

PICKLE = "is a pickle or holds one, and loading a pickle can run code"


@dataclass(frozen=True)
class Hostile:
    """A file in which one thing is wrong, and what is to be said after its name."""

    file: str
    content: Callable[[], bytes]
    message: str
    tensor: str | None = None


def flip(content: bytes, old: bytes, new: bytes) -> bytes:
    assert content.count(old) >= 1
    return content.replace(old, new)


def _encrypted() -> bytes:
    content = bytearray(zip_bytes({"a.npy": npy_bytes(FLOATS)}, method=zipfile.ZIP_STORED))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def _bad_checksum() -> bytes:
    content = zip_bytes({"a.npy": npy_bytes(FLOATS)}, method=zipfile.ZIP_STORED)
    return flip(content, FLOATS.tobytes(), FLOATS[::-1].tobytes())


def _twice() -> bytes:
    content = zip_bytes({"a.npy": npy_bytes(FLOATS), "b.npy": npy_bytes(FLOATS)})
    return flip(content, b"b.npy", b"a.npy")


def _many_members() -> bytes:
    """200,000 entries of a directory that all point at one member."""
    content = zip_bytes({"a.npy": npy_bytes(FLOATS)})
    begin, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    directory = content[begin:end] * 200_000
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, len(directory), begin, 0)
    return content[:begin] + directory + tail


def _zip_bomb() -> bytes:
    return zip_bytes({"a.npy": promise("(4096, 8192)") + bytes(4 * 4096 * 8192)}, level=1)


def _sparse_bytes(matrix: Any) -> bytes:
    stream = io.BytesIO()
    sparse.save_npz(stream, matrix)
    return stream.getvalue()


_OVERLAP = {"a": stored("F32", [2, 2], 0, 16), "b": stored("F32", [2, 2], 8, 24)}
_GAP = {"a": stored("F32", [2, 2], 0, 16), "b": stored("F32", [2, 2], 20, 36)}

# A message ends in dots where the rest is a library's, or depends on the machine.
HOSTILE = [
    Hostile("empty.npy", lambda: b"", "is no valid .npy file: it is empty"),
    Hostile("empty.npz", lambda: b"", "is no valid .npz file: it is empty"),
    Hostile("empty.mtx", lambda: b"", "is no valid .mtx file: it is empty"),
    Hostile("empty.smtx", lambda: b"", "is no valid .smtx file: it is empty"),
    Hostile(
        "empty.safetensors",
        lambda: b"",
        "is no valid .safetensors file: it is empty",
    ),
    Hostile(
        "noise.npy",
        lambda: b"\x00\x1b[31mnoise",
        "is no valid .npy file: it begins with '\\x00\\x1b[31mno'",
    ),
    Hostile("noise.npz", lambda: b"PK\x03\x04" + bytes(100), "is no valid .npz file: ..."),
    Hostile(
        "noise.mtx",
        lambda: b"\x1b]0;noise\x07",
        "is no valid .mtx file: it begins with '\\x1b]0;nois'",
    ),
    Hostile(
        "noise.smtx",
        lambda: b"\x1b]0;noise\x07",
        "is no valid .smtx file: it begins with '\\x1b]0;nois'",
    ),
    Hostile(
        "noise.safetensors",
        lambda: b"noise" * 40,
        "is no valid .safetensors file: it begins with 'noisenoi'",
    ),
    Hostile("weights.onnx", lambda: b"\x08\x07", "has an unknown extension"),
    Hostile("weights", lambda: b"\x08\x07", "has an unknown extension"),
    Hostile(
        "torch.pt",
        lambda: zip_bytes({"torch/data.pkl": pickle.dumps([1])}),
        PICKLE,
    ),
    Hostile(
        "torch.pth",
        lambda: pickle.dumps([1]),
        PICKLE,
    ),
    Hostile(
        "torch.bin",
        lambda: pickle.dumps([1]),
        PICKLE,
    ),
    Hostile(
        "torch.pkl",
        lambda: pickle.dumps([1]),
        PICKLE,
    ),
    Hostile(
        "renamed.npy",
        lambda: pickle.dumps([1]),
        PICKLE,
    ),
    Hostile(
        "renamed.npz",
        lambda: zip_bytes({"torch/data.pkl": pickle.dumps([1])}),
        PICKLE,
    ),
    Hostile(
        "renamed.safetensors",
        lambda: pickle.dumps([1]),
        PICKLE,
    ),
    Hostile(
        "renamed.weights",
        lambda: pickle.dumps([1]),
        PICKLE,
    ),
    Hostile(
        "objects.npy",
        lambda: npy_bytes(np.array([[{}]], dtype=object), allow_pickle=True),
        PICKLE,
    ),
    Hostile(
        "objects.npz",
        lambda: zip_bytes({"a.npy": npy_bytes(np.array([[{}]], dtype=object), allow_pickle=True)}),
        PICKLE,
        tensor="a",
    ),
    Hostile(
        "vector.npy",
        lambda: npy_bytes(np.zeros(3)),
        "is 1-D, not a matrix: float64 3",
    ),
    Hostile(
        "scalar.npy",
        lambda: npy_bytes(np.zeros(())),
        "is 0-D, not a matrix: float64 scalar",
    ),
    Hostile(
        "cube.npy",
        lambda: npy_bytes(np.zeros((2, 2, 2))),
        "is 3-D, not a matrix: float64 2x2x2",
    ),
    Hostile("no_rows.npy", lambda: npy_bytes(np.zeros((0, 3))), "is empty: float64 0x3"),
    Hostile(
        "integers.npy",
        lambda: npy_bytes(np.zeros((2, 2), int)),
        "is int64, not floating-point",
    ),
    Hostile(
        "complex.npy",
        lambda: npy_bytes(np.zeros((2, 2), complex)),
        "is complex128, not floating-point",
    ),
    Hostile(
        "records.npy",
        lambda: npy_bytes(np.zeros((2, 2), [("x", "f4")])),
        "is void32, not floating-point",
    ),
    Hostile(
        "nan.npy",
        lambda: npy_bytes(np.array([[1, np.nan], [np.inf, 0]])),
        "has values that are NaN or infinite: 2 of 4",
    ),
    Hostile(
        "cut.npy",
        lambda: npy_bytes(FLOATS)[:-1],
        "is no valid .npy file: it holds 23 bytes of values and promises 24",
    ),
    Hostile(
        "cut_header.npy",
        lambda: npy_bytes(FLOATS)[:30],
        "is no valid .npy file: ...",
    ),
    Hostile(
        "longer.npy",
        lambda: npy_bytes(FLOATS) + b"x",
        "is no valid .npy file: it holds 25 bytes of values and promises 24",
    ),
    Hostile(
        "huge.npy",
        lambda: promise("(1000000, 1000000)"),
        "is no valid .npy file: it holds 0 bytes of values and promises 4000000000000",
    ),
    Hostile(
        "negative.npy",
        lambda: promise("(-2, -3)") + bytes(24),
        "is no valid .npy file: its shape is (-2, -3)",
    ),
    Hostile(
        "truth.npy",
        lambda: promise("(True, 6)") + bytes(24),
        "is no valid .npy file: its shape is (True, 6)",
    ),
    Hostile("syntax.npy", lambda: npy_header("(((("), "is no valid .npy file: ..."),
    Hostile("deep.npy", lambda: npy_header("(" * 9000), "is no valid .npy file: ..."),
    Hostile("no_dict.npy", lambda: npy_header("[1, 2]"), "is no valid .npy file: ..."),
    Hostile(
        "dtype.npy",
        lambda: promise("(2, 3)", "'\x1b[31m'"),
        "is no valid .npy file: ...",
    ),
    Hostile(
        "subarray.npy",
        lambda: promise("(2, 3)", "('<f4', (1000, 1000))"),
        "is no valid .npy file: it holds 0 bytes of values and promises 24000000",
    ),
    Hostile(
        "long_header.npy",
        lambda: npy_header("{}", version=(2, 0), length=2**32 - 1),
        "is no valid .npy file: ...",
    ),
    Hostile(
        "version.npy",
        lambda: npy_header("{}", version=(9, 9)),
        "is no valid .npy file: version (9, 9) of the format is not supported",
    ),
    Hostile(
        "cut.npz",
        lambda: zip_bytes({"a.npy": npy_bytes(FLOATS)})[:-10],
        "is no valid .npz file: ...",
    ),
    Hostile("no_members.npz", lambda: zip_bytes({}), "holds no floating-point matrix"),
    Hostile(
        "no_arrays.npz",
        lambda: zip_bytes({"readme.txt": b"hello"}),
        "holds no floating-point matrix",
    ),
    Hostile(
        "cut_member.npz",
        lambda: zip_bytes({"a.npy": npy_bytes(FLOATS)[:-1]}),
        "is no valid .npz file: it holds 23 bytes of values and promises 24",
    ),
    Hostile(
        "encrypted.npz",
        _encrypted,
        "is no valid .npz file: its member 'a.npy' is encrypted",
    ),
    Hostile(
        "lzma.npz",
        lambda: zip_bytes({"a.npy": npy_bytes(FLOATS)}, method=14),
        "is no valid .npz file: its member 'a.npy' is not stored or deflated",
    ),
    Hostile("checksum.npz", _bad_checksum, "is no valid .npz file: ..."),
    Hostile(
        "twice.npz",
        _twice,
        "is no valid .npz file: two of its members have the same name",
    ),
    Hostile(
        "many.npz",
        _many_members,
        "is no valid .npz file: its list of members takes 10200000 bytes, of 4194304",
    ),
    Hostile("bomb.npz", _zip_bomb, "unpacks from ..."),
    Hostile(
        "csr_column.npz",
        lambda: csr_members(indices=np.array([0, 3, 1])),
        "is no valid .npz file: ...",
    ),
    Hostile(
        "csr_negative.npz",
        lambda: csr_members(indices=np.array([0, -1, 1])),
        "is no valid .npz file: ...",
    ),
    Hostile(
        "csr_backwards.npz",
        lambda: csr_members(indptr=np.array([0, 4, 3])),
        "is no valid .npz file: ...",
    ),
    Hostile(
        "csr_short.npz",
        lambda: csr_members(indptr=np.array([0, 3])),
        "is no valid .npz file: ...",
    ),
    Hostile(
        "csr_float_index.npz",
        lambda: csr_members(indices=np.array([0.0, 2, 1])),
        "is no valid .npz file: its member 'indices' has a wrong type or size",
    ),
    Hostile(
        "csr_huge.npz",
        lambda: csr_members(shape=np.array([2, 10**15])),
        "needs more memory than this machine has (...",
    ),
    Hostile(
        "csr_shape.npz",
        lambda: csr_members(shape=np.array([-2, 3])),
        "is no valid .npz file: its shape is [-2, 3]",
    ),
    Hostile(
        "csr_shapes.npz",
        lambda: csr_members(shape=np.zeros(10**6, int)),
        "is no valid .npz file: its member 'shape' has a wrong type or size",
    ),
    Hostile(
        "csr_format.npz",
        lambda: csr_members(format=np.array("\x1b[31m")),
        "holds a sparse matrix in the format '\\x1b[31m'",
    ),
    Hostile(
        "csr_integers.npz",
        lambda: csr_members(data=np.array([1, 2, 3])),
        "is int64, not floating-point",
    ),
    Hostile(
        "csr_half.npz",
        lambda: csr_members(data=np.array([1, 2, 3], np.float16)),
        "is no valid .npz file: ...",
    ),
    Hostile(
        "csr_nan.npz",
        lambda: csr_members(data=np.array([1, np.nan, 3])),
        "has values that are NaN or infinite: 1 of 6",
    ),
    Hostile(
        "dia.npz",
        lambda: _sparse_bytes(sparse.dia_array(np.eye(3))),
        "holds a sparse matrix in the format 'dia'",
    ),
    Hostile(
        "coo_row.npz",
        lambda: csr_members(
            format=np.array(b"coo"), row=np.array([0, 2, 1]), col=np.array([0, 1, 2])
        ),
        "is no valid .npz file: ...",
    ),
    Hostile(
        "coo_missing.npz",
        lambda: csr_members(format=np.array(b"coo")),
        "is no valid .npz file: its member 'row' is missing",
    ),
    Hostile(
        "entries.mtx",
        lambda: f"{MTX}1000000 1000000 1000000000000\n1 1 1\n".encode(),
        "is no valid .mtx file: it promises 3000000000000 numbers and has room for 3",
    ),
    Hostile(
        "huge.mtx",
        lambda: f"{MTX}1000000000 1000000000 1\n1 1 1\n".encode(),
        "needs more memory than this machine has (...",
    ),
    Hostile(
        "array.mtx",
        lambda: b"%%MatrixMarket matrix array real general\n2 3\n1\n2\n3\n",
        "is no valid .mtx file: it promises 6 numbers and has room for 3",
    ),
    Hostile(
        "overflow.mtx",
        lambda: f"{MTX}{2**64} 1 1\n1 1 1\n".encode(),
        "is no valid .mtx file: its sizes are '18446744073709551616 1 1' instead of 3 numbers",
    ),
    Hostile(
        "negative.mtx",
        lambda: f"{MTX}2 -3 1\n1 1 1\n".encode(),
        "is no valid .mtx file: its sizes are '2 -3 1' instead of 3 numbers",
    ),
    Hostile(
        "row.mtx",
        lambda: f"{MTX}2 3 1\n3 1 1\n".encode(),
        "is no valid .mtx file: row 3 is not one of 1..2",
    ),
    Hostile(
        "zero.mtx",
        lambda: f"{MTX}2 3 1\n1 0 1\n".encode(),
        "is no valid .mtx file: column 0 is not one of 1..3",
    ),
    Hostile(
        "fraction.mtx",
        lambda: f"{MTX}2 3 1\n1.5 1 1\n".encode(),
        "is no valid .mtx file: row 1.5 is not one of 1..2",
    ),
    Hostile(
        "nan_row.mtx",
        lambda: f"{MTX}2 3 1\nnan 1 1\n".encode(),
        "is no valid .mtx file: row nan is not one of 1..2",
    ),
    Hostile(
        "nan.mtx",
        lambda: f"{MTX}2 3 1\n1 1 nan\n".encode(),
        "has values that are NaN or infinite: 1 of 6",
    ),
    Hostile(
        "overflowing.mtx",
        lambda: f"{MTX}2 3 1\n1 1 1e999\n".encode(),
        "has values that are NaN or infinite: 1 of 6",
    ),
    Hostile(
        "nul.mtx",
        lambda: f"{MTX}2 3 1\n1 1 1\0\n".encode(),
        "is no valid .mtx file: not all of its text is numbers",
    ),
    Hostile(
        "word.mtx",
        lambda: f"{MTX}2 3 1\n1 1 one\n".encode(),
        "is no valid .mtx file: not all of its text is numbers",
    ),
    Hostile(
        "cut.mtx",
        lambda: f"{MTX}2 3 2\n1 1 1\n2 3".encode(),
        "is no valid .mtx file: it promises 6 numbers and has room for 5",
    ),
    Hostile(
        "more.mtx",
        lambda: f"{MTX}2 3 1\n1 1 1\n2 2 2\n".encode(),
        "is no valid .mtx file: it promises 3 numbers and has 6",
    ),
    Hostile(
        "header.mtx",
        lambda: MTX.encode(),
        "is no valid .mtx file: its sizes are '' instead of 3 numbers",
    ),
    Hostile(
        "banner.mtx",
        lambda: b"%%MatrixMarket matrix \x1b[31m real general\n2 2 0\n",
        "is no valid .mtx file: its first line is '%%matrixmarket matrix \\x1b[31m real general'",
    ),
    Hostile(
        "complex.mtx",
        lambda: f"{MTX}2 3 1\n1 1 1 0\n".replace("real", "complex").encode(),
        "holds a matrix that is 'complex general'",
    ),
    Hostile(
        "integer.mtx",
        lambda: f"{MTX}2 3 1\n1 1 1\n".replace("real", "integer").encode(),
        "holds a matrix that is 'integer general'",
    ),
    Hostile(
        "lopsided.mtx",
        lambda: f"{MTX}2 3 1\n1 1 1\n".replace("general", "symmetric").encode(),
        "is no valid .mtx file: it is symmetric with 2 rows and 3 columns",
    ),
    Hostile(
        "signs.mtx",
        lambda: b"%%MatrixMarket matrix coordinate pattern skew-symmetric\n2 2 1\n2 1\n",
        "is no valid .mtx file: a pattern has neither an array of values nor their signs",
    ),
    Hostile(
        "sizes.smtx",
        lambda: b"2, 3\n0 1 2\n0 1\n",
        "is no valid .smtx file: its sizes are '2, 3' instead of 3 numbers",
    ),
    Hostile(
        "text.smtx",
        lambda: b"2, 3, two\n0 1 2\n0 1\n",
        "is no valid .smtx file: its sizes are '2, 3, two' instead of 3 numbers",
    ),
    Hostile(
        "huge.smtx",
        lambda: b"1000000000, 1000000000, 1\n0 1\n0\n",
        "needs more memory than this machine has (...",
    ),
    Hostile(
        "rows.smtx",
        lambda: b"3, 3, 2\n0 1 2\n0 1\n",
        "is no valid .smtx file: 3 rows take 4 offsets, it has 3",
    ),
    Hostile(
        "begin.smtx",
        lambda: b"2, 3, 2\n1 1 2\n0 1\n",
        "is no valid .smtx file: its first offset is 1 instead of 0",
    ),
    Hostile(
        "backwards.smtx",
        lambda: b"3, 3, 2\n0 2 1 2\n0 1\n",
        "is no valid .smtx file: its offsets go backwards after row 1",
    ),
    Hostile(
        "last.smtx",
        lambda: b"2, 3, 3\n0 1 2\n0 1 2\n",
        "is no valid .smtx file: it promises 3 columns, its last offset is 2 and it has 3",
    ),
    Hostile(
        "cut.smtx",
        lambda: b"2, 3, 2\n0 1 2\n0",
        "is no valid .smtx file: it promises 2 columns, its last offset is 2 and it has 1",
    ),
    Hostile(
        "column.smtx",
        lambda: b"2, 3, 2\n0 1 2\n0 3\n",
        "is no valid .smtx file: column 3 is outside of 0..2",
    ),
    Hostile(
        "minus.smtx",
        lambda: b"2, 3, 2\n0 1 2\n0 -1\n",
        "is no valid .smtx file: column -1 is outside of 0..2",
    ),
    Hostile(
        "unsorted.smtx",
        lambda: b"2, 3, 3\n0 2 3\n1 0 0\n",
        "is no valid .smtx file: the columns of a row are unsorted or stand twice",
    ),
    Hostile(
        "twice.smtx",
        lambda: b"2, 3, 3\n0 2 3\n1 1 0\n",
        "is no valid .smtx file: the columns of a row are unsorted or stand twice",
    ),
    Hostile(
        "word.smtx",
        lambda: b"2, 3, 2\n0 1 2\n0 one\n",
        "is no valid .smtx file: not all of its text is numbers",
    ),
    Hostile(
        "nul.smtx",
        lambda: b"2, 3, 2\n0 1 2\n0 1\0\n",
        "is no valid .smtx file: not all of its text is numbers",
    ),
    Hostile(
        "header.safetensors",
        lambda: struct.pack("<Q", 10**15) + b"{}",
        "is no valid .safetensors file: its header claims 1000000000000000 bytes of 10",
    ),
    Hostile(
        "json.safetensors",
        lambda: safetensors_bytes('{"a": '),
        "is no valid .safetensors file: ...",
    ),
    Hostile(
        "nested.safetensors",
        lambda: safetensors_bytes('{"a":' + "[" * 100_000),
        "is no valid .safetensors file: ...",
    ),
    Hostile(
        "escape.safetensors",
        lambda: safetensors_bytes({"a": stored("\x1b[31m", [], 0, 0)}),
        "is no valid .safetensors file: ...",
    ),
    Hostile(
        "overlap.safetensors",
        lambda: safetensors_bytes(_OVERLAP, bytes(24)),
        "is no valid .safetensors file: ...",
    ),
    Hostile(
        "gap.safetensors",
        lambda: safetensors_bytes(_GAP, bytes(36)),
        "is no valid .safetensors file: ...",
    ),
    Hostile(
        "cut.safetensors",
        lambda: safetensors_bytes({"a": stored("F32", [2, 2], 0, 16)}),
        "is no valid .safetensors file: ...",
    ),
    Hostile(
        "shape.safetensors",
        lambda: safetensors_bytes({"a": stored("F32", [2, 9], 0, 16)}, bytes(16)),
        "is no valid .safetensors file: ...",
    ),
    Hostile(
        "twice.safetensors",
        lambda: safetensors_bytes(
            '{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},'
            '"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}',
            bytes(16),
        ),
        "is no valid .safetensors file: a name stands twice in its header",
    ),
    Hostile(
        "float8.safetensors",
        lambda: safetensors_bytes({"a": stored("F8_E4M3", [2, 2], 0, 4)}, bytes(4)),
        "is F8_E4M3, not floating-point",
        tensor="a",
    ),
    Hostile(
        "integers.safetensors",
        lambda: safetensors_bytes({"a": stored("I64", [2, 2], 0, 32)}, bytes(32)),
        "holds no floating-point matrix",
    ),
    Hostile(
        "bias.safetensors",
        lambda: safetensors_bytes({"a": stored("F32", [4], 0, 16)}, bytes(16)),
        "is 1-D, not a matrix: float32 4",
        tensor="a",
    ),
    Hostile(
        "name.safetensors",
        lambda: safetensors_bytes({"\x1b[31m\n": stored("F32", [2, 2], 0, 16)}, bytes(16)),
        "has no tensor '\\x1b[32m'",
        tensor="\x1b[32m",
    ),
    Hostile(
        "nan.safetensors",
        lambda: safetensors_bytes({"a": stored("BF16", [1, 2], 0, 4)}, b"\xc0\x7f\x80\x7f"),
        "has values that are NaN or infinite: 2 of 2",
    ),
    Hostile(
        "none.safetensors",
        lambda: safetensors_bytes({}),
        "holds no floating-point matrix",
    ),
]


def write(directory: Path, hostile: Hostile) -> str:
    """Write the file and return what to ask for."""
    path = directory / hostile.file
    path.write_bytes(hostile.content())
    return str(path) if hostile.tensor is None else f"{path}::{hostile.tensor}"
