"""Builders of weight files, byte by byte."""

import io
import json
import os
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

MTX = "%%MatrixMarket matrix coordinate real general\n"
FLOATS = np.arange(6, dtype=np.float32).reshape(2, 3)


class Canary:
    """Makes a directory when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (self.path,)


def npy_bytes(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=allow_pickle)
    return stream.getvalue()


def npy_header(
    text: str, *, version: tuple[int, int] = (1, 0), length: int | None = None
) -> bytes:
    encoded = text.encode("latin-1") + b"\n"
    size = struct.pack("<H" if version == (1, 0) else "<I", length or len(encoded))
    return b"\x93NUMPY" + bytes(version) + size + encoded


def promise(shape: str, descr: str = "'<f4'") -> bytes:
    return npy_header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}")


def safetensors_bytes(header: dict[str, Any] | str, data: bytes = b"") -> bytes:
    text = header if isinstance(header, str) else json.dumps(header)
    return struct.pack("<Q", len(text.encode())) + text.encode() + data


def stored(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def zip_bytes(
    members: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED, level: int = 9
) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method, compresslevel=level) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return stream.getvalue()


def csr_members(**changed: np.ndarray) -> bytes:
    """A SciPy file of a 2x3 matrix with the weights 1, 2 and 3."""
    arrays = {
        "indices": np.array([0, 2, 1], np.int32),
        "indptr": np.array([0, 2, 3], np.int32),
        "format": np.array(b"csr"),
        "shape": np.array([2, 3]),
        "data": np.array([1, 2, 3], np.float32),
    }
    arrays.update(changed)
    return zip_bytes({f"{name}.npy": npy_bytes(array) for name, array in arrays.items()})
