"""What needs a GPU: skipped, with the reason, on machines without one."""

from collections.abc import Iterator

import pytest

from gpuprune.backends import Backend, Unavailable, open_backend


@pytest.fixture(scope="session")
def gpu() -> Iterator[Backend]:
    """The first GPU, opened once: making a context takes a second."""
    try:
        backend, _ = open_backend("cuda")
    except Unavailable as why:
        pytest.skip(f"{why}: {why.hint}")
    yield backend
    backend.close()
