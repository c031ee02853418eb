"""ncu's binary reports, through the ncu-report package or an ncu on this machine."""

import importlib
import os
import re
import shutil
import signal
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from gpuprune.errors import GpupruneError
from gpuprune.profiler.errors import diagnose
from gpuprune.profiler.parse.findings import Draft, Findings
from gpuprune.profiler.parse.metrics import efficiency_in_rule
from gpuprune.profiler.parse.ncu_csv import device_label
from gpuprune.profiler.parse.quantities import ncu_factor
from gpuprune.profiler.tools import find_tool

MAGIC = b"NVR\0"
IMPORT_TIMEOUT_S = 300

# Its name is ours: a broadcast counts as ideal here, so it is not the load efficiency.
SECTOR_IDEALITY = "ldg_sector_ideality_pct"

_INSTALL = "pip install 'gpuprune[profiler]'"
_THEORETICAL = "memory_l2_theoretical_sectors_global"
_OF_THE_DEVICE = "device__attribute_"
_PAYLOAD_SIZE = 5  # the field of a block's header
_MAX_HEADER = 1 << 28  # bytes; it holds the block's strings

# What the package raises on contents that its C++ half reads and its Python half cannot.
_UNREADABLE = (LookupError, OSError, RuntimeError, SystemError, TypeError, ValueError)


def read_package(path: Path, findings: Findings) -> bool:
    """Read a report with the ncu-report package; False where that is not installed."""
    try:
        package: Any = importlib.import_module("ncu_report")
    except ImportError:
        return False
    with _whole_blocks(path, findings) as whole:
        try:
            context = package.load_report(str(whole))
            for at in range(context.num_ranges()):
                actions = context.range_by_idx(at)
                for action_at in range(actions.num_actions()):
                    _add_action(actions.action_by_idx(action_at), findings)
        except _UNREADABLE as error:
            findings.warnings[f"the report is damaged: {error}"] += 1
    return True


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
        _run(command, page, log)
        said = log.read_text(errors="replace")[-100_000:]
        with page.open(errors="replace") as file:
            said += file.read(100_000)
        if (error := diagnose(said, path, command)) is not None:
            raise error
        yield page


def _run(command: list[str], page: Path, log: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "LC_ALL"}
    with page.open("wb") as out, log.open("wb") as err:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=environment | {"LC_NUMERIC": "C"},
            start_new_session=True,
        )
        try:
            process.wait(IMPORT_TIMEOUT_S)
        except subprocess.TimeoutExpired as late:
            raise GpupruneError(
                f"{command[0]} did not read the report within {IMPORT_TIMEOUT_S} s",
                hint=_INSTALL,
            ) from late
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _add_action(action: Any, findings: Findings) -> None:
    """Keep a launch; one without a single metric is what is left of a damaged one."""
    draft = Draft(
        kernel=findings.name(action.name(action.NameBase_DEMANGLED) or "(unnamed kernel)"),
        tool="ncu",
        launch=findings.next_launch(),
    )
    texts: dict[str, str] = {}
    for name in action.metric_names():
        try:
            value, unit = _value(action.metric_by_name(name))
        except _UNREADABLE:
            findings.warnings["the report is damaged: metrics without a readable name"] += 1
            continue
        if isinstance(value, str):
            texts[name] = value
        elif value is not None:
            texts[name] = f"{value:.0f}"
            if not name.startswith(_OF_THE_DEVICE):
                draft.add_scaled(findings.name(name), ncu_factor(unit), [value])
    if not draft.metrics:
        findings.warnings["the report is damaged: kernels without a metric were passed over"] += 1
        return
    draft.device = _device(texts)
    if (ideality := _sector_ideality(action)) is not None:
        draft.add(SECTOR_IDEALITY, ideality)
    for result in action.rule_results_as_dicts():
        stated = efficiency_in_rule(str(result.get("rule_message")))
        draft.stated_pct = draft.stated_pct if stated is None else stated
    findings.begin(draft)


def _value(metric: Any) -> tuple[float | str | None, str]:
    """Read a metric; the package gives 0 for one that has no value."""
    if metric is None or not getattr(metric, "has_value", lambda: True)():
        return None, ""
    value = metric.value()
    if isinstance(value, int | float):
        return float(value), str(metric.unit())
    return (value, "") if isinstance(value, str) else (None, "")


def _device(texts: dict[str, str]) -> str | None:
    name, major, minor = (
        texts.get(_OF_THE_DEVICE + fact, "")
        for fact in ("display_name", "compute_capability_major", "compute_capability_minor")
    )
    capability = f"{major}.{minor}" if major and minor else ""
    return device_label(name, texts.get("launch__device_id", ""), capability)


def _sector_ideality(action: Any) -> float | None:
    """Compare the fewest sectors that the LDG instructions need with those of their addresses."""
    sectors = [
        _by_instruction(action.metric_by_name(_THEORETICAL + form)) for form in ("_ideal", "")
    ]
    loads = [
        pc
        for pc in sectors[1]
        if pc in sectors[0] and re.search(r"\bLDG\b", action.sass_by_pc(pc))
    ]
    ideal, theoretical = (sum(counts[pc] for pc in loads) for counts in sectors)
    return 100 * ideal / theoretical if theoretical else None


def _by_instruction(metric: Any) -> dict[int, int]:
    if metric is None or not metric.has_correlation_ids():
        return {}
    addresses = metric.correlation_ids()
    return {addresses.as_uint64(at): metric.as_uint64(at) for at in range(metric.num_instances())}


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
