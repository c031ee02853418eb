"""Programs that are watched, and ended with whoever watches them."""

import os
import signal
import sys

import pytest

from gpuprune.process import run_watched


def test_a_signal_while_a_program_starts_ends_the_program(interrupted_start, tmp_path):
    argv = [sys.executable, "-c", "import time; time.sleep(600)"]
    with pytest.raises(KeyboardInterrupt):
        run_watched(argv, tmp_path / "log", os.environ, has_moved=lambda: True, stall_s=60)
    assert [process.poll() for process in interrupted_start] == [-signal.SIGTERM]
