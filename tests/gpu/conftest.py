"""What needs a GPU: skipped, with the reason, on machines without one."""

from collections.abc import Iterator

import pytest

from gpuprune.backends import Backend, Unavailable, open_backend


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run that is made for a GPU fail where there is none."""
    parser.addoption("--require-gpu", action="store_true", help="fail without a GPU, not skip")


@pytest.fixture(scope="session")
def gpu(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """The first GPU, opened once: making a context takes a second."""
    try:
        backend, _ = open_backend("cuda")
    except Unavailable as why:
        if request.config.getoption("--require-gpu", default=False):
            pytest.exit(f"{why}: {why.hint}", returncode=1)
        pytest.skip(f"{why}: {why.hint}")
    yield backend
    backend.close()


@pytest.fixture(autouse=True)
def _device_that_still_works(gpu: Backend) -> Iterator[None]:
    """End the session where a test has broken the device: every other one would fail for it."""
    yield
    try:
        gpu.synchronize()
    except Exception as error:
        pytest.exit(f"the device does nothing any more: {error}", returncode=1)
