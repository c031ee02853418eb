"""Numbers in text files, as `.mtx` and `.smtx` have them."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuprune.weights.files import damaged, quote

LINE_LIMIT = 2**16  # of headers and comments; data is never read by line


def counts(path: Path, line: bytes, expected: int, separator: bytes | None = None) -> list[int]:
    """Parse the `expected` sizes of a header line, none of them negative."""
    words = [word.strip() for word in line.split(separator)]
    if len(words) != expected or not all(word.isdigit() and len(word) < 20 for word in words):
        text = line.decode("latin-1").strip()
        raise damaged(path, f"its sizes are {quote(text)} instead of {expected} numbers")
    return [int(word) for word in words]


def numbers(path: Path, text: bytes, dtype: type[np.number[Any]]) -> NDArray[Any]:
    """Parse numbers separated by white space; anything else among them is an error."""
    if not text.strip():
        return np.empty(0, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # NumPy before 2.4 only warns of other text
        try:
            return np.fromstring(text, dtype=dtype, sep=" ")
        except (ValueError, DeprecationWarning) as error:
            raise damaged(path, "not all of its text is numbers") from error
