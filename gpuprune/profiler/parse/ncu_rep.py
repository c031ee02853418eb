"""ncu's binary reports, through the ncu-report package or an ncu on this machine."""

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

from gpuprune.errors import GpupruneError
from gpuprune.process import running
from gpuprune.profiler.errors import diagnose, keep_words
from gpuprune.profiler.parse.findings import Draft, Findings
from gpuprune.profiler.parse.lines import Lines
from gpuprune.profiler.parse.metrics import efficiency_in_rule
from gpuprune.profiler.parse.ncu_csv import device_label
from gpuprune.profiler.tools import find_tool

MAGIC = b"NVR\0"
READ_TIMEOUT_S = 300

_PACKAGE = "ncu_report"
_DUMP = "gpuprune.profiler.parse.dump_report"
_INSTALL = "pip install 'gpuprune[profiler]'"
_OF_THE_DEVICE = "device__attribute_"
_PAYLOAD_SIZE = 5  # the field of a block's header
_MAX_HEADER = 1 << 28  # bytes; it holds the block's strings


def read_package(path: Path, findings: Findings) -> bool:
    """Read a report with the ncu-report package; False where that is not installed."""
    if find_spec(_PACKAGE) is None:
        return False
    with _whole_blocks(path, findings) as whole, tempfile.TemporaryDirectory() as folder:
        kernels = Path(folder, "kernels.jsonl")
        modules = os.pathsep.join(entry for entry in sys.path if entry)
        ended = _run(
            [sys.executable, "-P", "-m", _DUMP, str(whole)],
            dict(os.environ) | {"PYTHONPATH": modules},
            kernels,
            Path(folder, "errors.txt"),
        )
        for line in Lines(kernels):
            _add_kernel(json.loads(line), findings)
        if ended:
            findings.warnings["the report is damaged: not all of it could be read"] += 1
    return True


def upgrade() -> str:
    """Say how to come to a newer reader."""
    return "pip install --upgrade ncu-report" if find_spec(_PACKAGE) else _INSTALL


@contextmanager
def imported_csv(path: Path, findings: Findings) -> Iterator[Path]:
    """Have the machine's ncu write a report's raw page, and give the file it is in.

    Raises GpupruneError where there is no ncu, or it cannot read the report.
    """
    ncu = find_tool("ncu")
    if ncu is None:
        raise GpupruneError(
            f"{path} is a report of ncu, and nothing here can read it",
            hint=f"{_INSTALL}, or install Nsight Compute, or give what "
            f"`ncu --import {path} --csv --page raw --print-units base` prints where one is",
        )
    with _whole_blocks(path, findings) as whole, tempfile.TemporaryDirectory() as folder:
        page, log = Path(folder, "raw.csv"), Path(folder, "errors.txt")
        command = [str(ncu), "--import", str(whole), "--csv", "--page", "raw"]
        command += ["--print-units", "base"]
        plain = {key: value for key, value in os.environ.items() if key != "LC_ALL"}
        ended = _run(command, plain | {"LC_NUMERIC": "C"}, page, log)
        said = log.read_text(errors="replace")[-100_000:]
        with page.open(errors="replace") as file:
            said += file.read(100_000)
        _require_success(path, ncu, ended, said)
        yield page


def _require_success(path: Path, ncu: Path, ended: int, said: str) -> None:
    """Raise GpupruneError where ncu did not read a report; `said` is all that it printed."""
    hint = f"take an ncu at least as new as the one that wrote {path}, or {_INSTALL}"
    if ended < 0:
        message = f"{ncu} was ended by {signal.Signals(-ended).name} while it read {path}"
        raise GpupruneError(f"{message}; {keep_words(said)}", hint=hint)
    if not said.strip():
        raise GpupruneError(f"{ncu} read {path} and printed nothing", hint=hint)
    known = diagnose(said, path)
    if known is not None:
        message = str(known).partition("; its own words: ")[0]
        raise GpupruneError(f"{message}; {keep_words(said)}", hint=known.hint)
    if ended and '"Kernel Name"' not in said:
        message = f"{ncu} could not read {path}: it ended with exit code {ended}"
        raise GpupruneError(f"{message}; {keep_words(said)}", hint=hint)


def _run(command: list[str], environment: Mapping[str, str], out: Path, log: Path) -> int:
    """Run a reader of reports, and give its exit code."""
    with (
        out.open("wb") as output,
        log.open("wb") as errors,
        running(command, environment, output, errors) as process,
    ):
        try:
            return process.wait(READ_TIMEOUT_S)
        except subprocess.TimeoutExpired as late:
            raise GpupruneError(
                f"{command[0]} did not read the report within {READ_TIMEOUT_S} s",
                hint=f"profile fewer launches (--launch-count), or {_INSTALL}",
            ) from late


def _add_kernel(dumped: dict[str, Any], findings: Findings) -> None:
    """Keep a launch; one without a single number is what is left of a damaged one."""
    draft = Draft(kernel=dumped["kernel"] or "(unnamed kernel)", tool="ncu")
    values = dumped["values"]
    for name, value in values.items():
        if isinstance(value, float) and not name.startswith(_OF_THE_DEVICE):
            findings.add_scaled(draft, findings.name(name), dumped["units"][name], [value])
    if not draft.metrics:
        findings.warnings["the report is damaged: kernels without a metric were passed over"] += 1
        return
    draft.launch = findings.next_launch()
    draft.device = _device(values)
    stated = [share for rule in dumped["rules"] if (share := efficiency_in_rule(rule)) is not None]
    draft.stated_pct = stated[-1] if stated else None
    findings.begin(draft)


def _device(values: Mapping[str, float | str]) -> str | None:
    index, name, major, minor = (
        f"{value:.0f}" if isinstance(value, float) else value
        for value in (
            values.get("launch__device_id", ""),
            values.get(f"{_OF_THE_DEVICE}display_name", ""),
            values.get(f"{_OF_THE_DEVICE}compute_capability_major", ""),
            values.get(f"{_OF_THE_DEVICE}compute_capability_minor", ""),
        )
    )
    return device_label(name, index, f"{major}.{minor}" if major and minor else "")


@contextmanager
def _whole_blocks(path: Path, findings: Findings) -> Iterator[Path]:
    """Give a report without its unfinished last block, of which the readers take fragments."""
    length = path.stat().st_size
    with path.open("rb") as file:
        whole = _complete_length(file, length)
    if whole == length:
        yield path
        return
    findings.warnings["the report is cut off: its last, unfinished part was dropped"] += 1
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "whole.ncu-rep")
        shutil.copyfile(path, copy)
        os.truncate(copy, whole)
        yield copy


def _complete_length(file: BinaryIO, length: int) -> int:
    """Walk over the blocks of a report (a size, a header, a payload) to the last whole one."""
    file.seek(len(MAGIC))
    header = _sized(file)
    if header is None:
        return len(MAGIC)
    whole = file.tell()
    while (header := _sized(file)) is not None:
        payload = _field(header, _PAYLOAD_SIZE)
        if payload is None or file.tell() + payload > length:
            break
        whole = file.seek(payload, os.SEEK_CUR)
    return whole


def _sized(file: BinaryIO) -> bytes | None:
    size = file.read(4)
    wanted = struct.unpack("<I", size)[0] if len(size) == 4 else _MAX_HEADER
    content = file.read(wanted) if wanted < _MAX_HEADER else b""
    return content if size and len(content) == wanted else None


def _field(message: bytes, number: int) -> int | None:
    """Find an integer field of a Protocol Buffers message."""
    at, found = 0, None
    try:
        while at < len(message):
            key, at = _varint(message, at)
            kind = key & 7
            value, at = _varint(message, at) if kind in (0, 2) else (0, at + (8, 4)[kind == 5])
            if kind == 0 and key >> 3 == number:
                found = value
            if kind == 2:
                at += value
    except IndexError:
        return None
    return found


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        shift, at = shift + 7, at + 1
        if byte < 128:
            return value, at
