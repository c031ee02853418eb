"""Data sets to try things on: made-up pictures, written as MNIST's own files."""

import gzip
import struct
from pathlib import Path

import numpy as np

from gpuprune.accuracy.data import FILES, Dataset


def pictures(count, seed=0):
    """Images (count, 28, 28) of ten blurred patterns and noise, and which pattern each shows."""
    patterns = np.random.default_rng(99).integers(0, 200, (10, 7, 7)).repeat(4, 1).repeat(4, 2)
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 10, count).astype(np.uint8)
    noise = generator.integers(0, 56, (count, 28, 28))
    return (patterns[labels] + noise).astype(np.uint8), labels


def dataset(count=300):
    images, labels = pictures(count)
    tests, test_labels = pictures(50, seed=1)
    return Dataset(
        name="pictures",
        sha256="0" * 64,
        images=images.reshape(count, -1),
        labels=labels,
        test_images=tests.reshape(50, -1),
        test_labels=test_labels,
    )


def idx_bytes(values):
    magic = 0x803 if values.ndim == 3 else 0x801
    return struct.pack(f">{1 + values.ndim}I", magic, *values.shape) + values.tobytes()


def idx_files(folder: Path, count=300, suffix=""):
    """Write the four files of a data set; returns their paths."""
    folder.mkdir(exist_ok=True)
    parts = [*pictures(count), *pictures(50, seed=1)]
    paths = [folder / f"{name}{suffix}" for name in FILES]
    for path, part in zip(paths, parts, strict=True):
        content = idx_bytes(part)
        path.write_bytes(gzip.compress(content) if suffix else content)
    return paths
