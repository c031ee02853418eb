"""Programs that are watched, and ended with whoever watches them."""

import os
import signal
import subprocess
import sys

import pytest

from gpuprune.process import run_watched


def test_a_signal_while_a_program_starts_ends_the_program(monkeypatch, tmp_path):
    started = []

    class Interrupted(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)
            signal.raise_signal(signal.SIGINT)  # it runs, and nobody holds it yet

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    argv = [sys.executable, "-c", "import time; time.sleep(600)"]
    try:
        with pytest.raises(KeyboardInterrupt):
            run_watched(argv, tmp_path / "log", os.environ, has_moved=lambda: True, stall_s=60)
        (process,) = started
        assert process.poll() == -signal.SIGTERM
    finally:
        for process in started:
            process.kill()
            process.wait()
