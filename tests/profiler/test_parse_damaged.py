"""Captures that are cut off, shuffled, overwritten or no captures at all."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpuprune.errors import GpupruneError
from gpuprune.profiler.parse import as_json, notes, read_report

CAPTURES = sorted((Path(__file__).parent / "captures").iterdir())
EACH = pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.name)
LIGHT = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def read(path, content):
    """Read bytes; None where the one error a user can cause came out."""
    path.write_bytes(content)
    try:
        report = read_report(path)
    except GpupruneError as error:
        assert error.hint
        return None
    json.dumps([as_json(profile) for profile in report.kernels], allow_nan=False)
    notes(report.kernels)
    return report


def is_part_of(profile, whole):
    """Say whether every number of a profile stands in the profile of the whole file."""
    part, all_of_it = as_json(profile), as_json(whole)
    metrics, all_metrics = part.pop("metrics"), all_of_it.pop("metrics")
    return all(value in (None, all_of_it[name]) for name, value in part.items()) and all(
        all_metrics.get(name) == value for name, value in metrics.items()
    )


@EACH
def test_cut_at_any_byte_it_yields_no_number_that_the_whole_does_not_hold(capture, tmp_path):
    content, whole = capture.read_bytes(), read_report(capture).kernels
    complete = max(1, len(content.rstrip()))
    for size in range(complete):
        report = read(tmp_path / "cut", content[:size])
        for profile, original in zip(report.kernels if report else (), whole, strict=False):
            assert is_part_of(profile, original), f"cut at byte {size}: {profile}"
        if report and not content[:size].endswith(b"\n"):
            assert any("unfinished" in warning for warning in report.warnings)


def test_an_unfinished_last_line_is_dropped_with_a_warning(tmp_path):
    path = tmp_path / "cut.csv"
    path.write_bytes(
        (Path(__file__).parent / "captures/ncu_raw_blank_units.csv").read_bytes()[:-2]
    )
    report = read_report(path)
    assert [profile.launch for profile in report.kernels] == [0]
    assert report.warnings == (
        "the last line is unfinished and was dropped: "
        '"1","7","spmm","127.0.0.1","group_csr(const float *, int)","',
    )


@EACH
@LIGHT
@given(order=st.randoms(use_true_random=False))
def test_shuffled_lines_give_no_traceback(capture, tmp_path, order):
    lines = capture.read_bytes().splitlines(keepends=True)
    order.shuffle(lines)
    read(tmp_path / "shuffled", b"".join(lines))


@EACH
@LIGHT
@given(data=st.data())
def test_overwritten_bytes_give_no_traceback(capture, tmp_path, data):
    content = bytearray(capture.read_bytes())
    places = st.integers(0, len(content) - 1)
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=30)):
        content[place] = byte
    read(tmp_path / "overwritten", bytes(content))


@EACH
@LIGHT
@given(data=st.data())
def test_a_piece_taken_out_or_put_in_gives_no_traceback(capture, tmp_path, data):
    content = capture.read_bytes()
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(content))] * 2)))
    read(tmp_path / "torn", content[:first] + data.draw(st.binary(max_size=40)) + content[last:])


@LIGHT
@given(content=st.binary(max_size=4000))
def test_random_bytes_are_nothing_that_a_profiler_wrote(tmp_path, content):
    assert read(tmp_path / "random", content) is None


@LIGHT
@given(content=st.binary(max_size=400))
def test_random_bytes_behind_the_mark_of_a_report_are_no_kernel(tmp_path, content):
    read(tmp_path / "random.ncu-rep", b"NVR\0" + content)


NUMBERS = st.one_of(
    st.from_regex(r"-?[0-9]{0,4}([.,' ][0-9]{1,3}){0,3}(e[0-9]{1,4})?[%KMGBs/]{0,3}"),
    st.text(max_size=12),
)


@LIGHT
@given(cells=st.lists(NUMBERS, min_size=6, max_size=6))
def test_cells_of_any_content_give_finite_numbers(tmp_path, cells):
    load = "smsp__sass_average_data_bytes_per_sector_mem_global_op_ld"
    names = [f"{load}.ratio", f"{load}.max_rate", "gpu__time_duration.sum"]
    plain = [cell.replace('"', "").replace("\n", " ") for cell in cells]
    rows = [["ID", "Kernel Name", *names], ["", "", "Gbyte", "", "second"]]
    rows += [["0", "k", *plain[:3]], ["1", "k", *plain[3:]]]
    lines = [",".join(f'"{cell}"' for cell in row) for row in rows]
    read(tmp_path / "cells.csv", ("\n".join(lines) + "\n").encode("utf-8", "replace"))


def test_a_line_longer_than_any_profilers_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr("gpuprune.profiler.parse.lines.MAX_LINE", 1000)
    captured = (Path(__file__).parent / "captures/ncu_raw_blank_units.csv").read_bytes()
    report = read(tmp_path / "long", b"x" * 5000 + b"\n" + captured)
    assert [profile.launch for profile in report.kernels] == [0, 1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "there is no file {}"),
        (lambda path: path.mkdir(), "{} is a folder"),
        (os.mkfifo, "{} is no regular file"),
        (lambda path: path.touch(), "{} is empty"),
        (lambda path: path.write_text("hello\n"), "{} is nothing that ncu or nvprof wrote"),
        (
            lambda path: path.write_text("==PROF== Connected to process 1 (/bin/spmm)\n"),
            "{} is a profiler's log without a table of kernels",
        ),
        (
            lambda path: path.write_text('"ID","Process ID","Kernel Name","a__b.sum"\n'),
            "{} holds a profiler's table but no kernel in it",
        ),
        (
            lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(100)),
            "{} is a database, of nvprof -o or of Nsight Systems, and not a report",
        ),
    ],
)
def test_each_file_without_a_kernel_has_its_own_sentence(tmp_path, make, message):
    path = tmp_path / "captured"
    make(path)
    with pytest.raises(GpupruneError) as caught:
        read_report(path)
    assert str(caught.value) == message.format(path)
    assert caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path):
    path = tmp_path / "captured"
    path.touch(mode=0)
    with pytest.raises(GpupruneError, match="cannot be read: Permission denied"):
        read_report(path)
