"""A run file, line by line, and what is asked of it."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from gpuprune.errors import GpupruneError

ROOT = Path(__file__).parents[2]

HEADER = {"record": "run", "schema": 1, "version": "0.1.0"}
FIRST = {"record": "result", "case": {"rate": 0.86, "group": 4}, "samples_s": [0.0012, 1e-05]}
SECOND = {"record": "result", "name": "größe\u2028\n", "error": None, "nnz": 2**53 + 1}
THIRD = {"record": "result", "status": "skipped", "crc32": {"crc": "00000000"}}
END = {"record": "end", "results": 3}

# The checksums were taken with gzip: printf %s "$body" | gzip -c | tail -c8 | od -tx4.
LINES = (
    b'{"record":"run","schema":1,"version":"0.1.0","crc":"15323d97"}\n',
    b'{"record":"result","case":{"rate":0.86,"group":4},"samples_s":[0.0012,1e-05],'
    b'"crc":"9e7438d9"}\n',
    b'{"record":"result","name":"gr\\u00f6\\u00dfe\\u2028\\n","error":null,'
    b'"nnz":9007199254740993,"crc":"b342b97e"}\n',
    b'{"record":"result","status":"skipped","crc32":{"crc":"00000000"},"crc":"e836199e"}\n',
    b'{"record":"end","results":3,"crc":"736c39d5"}\n',
)
WHOLE = b"".join(LINES)

PLAIN = b'{"record": "run", "schema": 1}\n{"record": "result", "rate": 0.8}\n'


def refusal(call: Callable[[], object]) -> tuple[str, str]:
    """Return message and hint of what is refused."""
    with pytest.raises(GpupruneError) as caught:
        call()
    return str(caught.value), caught.value.hint


def run_python(script: str, *arguments: object, within: Sequence[str] = ()) -> dict[str, Any]:
    """Return the JSON that a script prints in a process of its own, `within` other commands."""
    command = [*within, sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
