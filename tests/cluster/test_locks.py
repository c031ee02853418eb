import subprocess
import sys

import pytest

from gpuprune.cluster.fingerprint import fingerprint
from gpuprune.cluster.locks import lock_device

HOLD = "from gpuprune.cluster.locks import lock_device; assert lock_device('{}', 0) is not None; "
HOLD += "print('held', flush=True); input()"


@pytest.fixture
def other_process(tmp_path, monkeypatch):
    """A process that holds the GPU with the UUID 7/../x."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format("7/../x")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_device_that_somebody_holds_cannot_be_had_until_he_is_dead(other_process, tmp_path):
    assert lock_device("7/../x", 0.2) is None
    assert lock_device("8", 0) is not None
    other_process.kill()
    other_process.wait()
    assert lock_device("7/../x", 5) is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "gpuprune-7____x.lock",
        "gpuprune-8.lock",
    ]


def test_another_copy_has_the_same_fingerprint_and_another_training_has_not(tmp_path):
    content = bytearray(range(256)) * 40_000
    copies = [tmp_path / name for name in ("a", "b", "c")]
    for copy in copies:
        copy.write_bytes(content)
    copies[2].write_bytes(content[::-1])
    one, same, other = (fingerprint([copy]) for copy in copies)
    assert one == same != other
    assert fingerprint(copies[:1]) != fingerprint(copies[:2])
    copies[1].write_bytes(content[:-1])
    assert fingerprint([copies[1]]) != one
