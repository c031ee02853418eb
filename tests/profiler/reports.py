"""Writes small .ncu-rep files: ncu's report format, as far as a kernel with metrics needs it.

A mark, then blocks: a size, a header (Protocol Buffers), a payload of results, each with its
size. The names of the metrics stand in a table of strings in the first header.
"""

import struct

KINDS = {str: 1, float: 3, int: 5}  # fields of ProfileMetricValue


def report(kernels):
    """Write a report with a block for each kernel, a name and its metrics."""
    names = list(dict.fromkeys(name for _, metrics in kernels for name in metrics))
    table = b"".join(_field(1, name) for name in names)
    blocks = [_block(header=_field(4, table), payload=b"", results=0)]
    for name, metrics in kernels:
        payload = _sized(_result(name, {names.index(key): metrics[key] for key in metrics}))
        blocks.append(_block(header=b"", payload=payload, results=1))
    return b"NVR\0" + _sized(_field(1, 7)) + b"".join(blocks)


def _block(*, header, payload, results):
    header = _field(1, 0) + _field(2, results) + header + _field(5, len(payload))
    return _sized(header) + payload


def _result(name, metrics):
    size = _field(1, 4) + _field(2, 1) + _field(3, 1)
    body = b"".join(_field(at, 1) for at in (1, 2, 3, 4))
    body += b"".join(_field(at, name) for at in (5, 6, 7))
    body += _field(8, 1) + b"".join(_field(at, size) for at in (9, 10, 11))
    for at, value in metrics.items():
        body += _field(13, _field(1, at) + _field(2, _field(KINDS[type(value)], value)))
    return body + _field(15, b"")  # the source, which may be empty, but not missing


def _field(number, value):
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    if isinstance(value, float):
        return _varint(number << 3 | 1) + struct.pack("<d", value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value):
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])


def _sized(content):
    return struct.pack("<I", len(content)) + content
