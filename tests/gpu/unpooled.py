"""A plugin for pytest under compute-sanitizer: each array gets memory of its own.

CuPy's pool hands out what it once took, and an access beyond an array is then one inside of it.
"""

import cupy


def pytest_sessionstart() -> None:
    """Take memory from CUDA, and give it back there."""
    cupy.cuda.set_allocator(None)
