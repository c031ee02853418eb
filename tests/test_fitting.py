"""What a narrow terminal shows."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gpuprune.report import fit, table

HEADERS = ["verdict", "what", "rate", "row_group even with dense_tf32", "reason"]
ROWS = [
    ["SLOW", "csr", "0.9", "0.84", "slower by at least 25.0 % relative to dense"],
    ["SAME", "row_group", "0.9", "≤ 0.80", ""],
]


def test_headers_are_broken_first_then_text_and_never_a_number():
    text = table(HEADERS, ROWS, markdown=False, left=[0, 1, 4])
    assert fit(text, 200) == text
    assert fit(text, 72).splitlines() == [
        "verdict  what       rate   row_group  reason",
        "                           even with",
        "                          dense_tf32",
        "-------  ---------  ----  ----------  ----------------------------------",
        "SLOW     csr         0.9        0.84  slower by at least 25.0 % relative",
        "                                      to dense",
        "SAME     row_group   0.9      ≤ 0.80",
    ]


def test_wide_characters_take_two_cells_and_are_never_cut():
    text = table(
        ["layer", "shape"], [["层名字层名字层名字", "1x2"], ["ab", "3x4"]], False, left=[0]
    )
    assert text.splitlines() == [
        "layer                 shape",
        "------------------  -------",
        "层名字层名字层名字      1x2",
        "ab                      3x4",
    ]
    assert fit(text, 24).splitlines() == [
        "layer              shape",
        "-----------------  -----",
        "层名字层名字层名     1x2",
        "字",
        "ab                   3x4",
    ]


def test_a_line_is_broken_at_its_blanks_and_keeps_its_indent():
    text = "csr,0.9,8: SLOW\n  baseline: 1.00 ms, 1.01 ms, 1.02 ms\n\nsee a/path/that/stays/whole"
    assert fit(text, 24) == (
        "csr,0.9,8: SLOW\n  baseline: 1.00 ms,\n  1.01 ms, 1.02 ms\n\nsee\na/path/that/stays/whole"
    )


CELLS = st.lists(
    st.text(
        st.characters(codec="ascii", categories=["L", "N"]) | st.sampled_from("层名字"),
        max_size=30,
    ),
    min_size=3,
    max_size=3,
)


@given(st.lists(CELLS, max_size=4), st.integers(20, 120))
def test_no_letter_of_a_table_is_lost(rows, width):
    text = table(["one", "two", "three"], rows, markdown=False, left=[0, 1])
    kept, shown = (
        Counter(character for character in one if character.isalnum())
        for one in (text, fit(text, width))
    )
    assert shown == kept


def shown_on_a_terminal(columns, *command):
    """Return what a command prints where stdout is a terminal that is so wide."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    subprocess.run(
        [sys.executable, "-m", "gpuprune", *command], stdout=follower, env=environment, check=True
    )
    os.close(follower)
    with os.fdopen(leader, "rb") as stream:
        return os.read(stream.fileno(), 1 << 16).decode().replace("\r\n", "\n")


def test_a_terminal_of_80_columns_is_never_exceeded_and_a_pipe_gets_whole_lines(run):
    command = ["bench", "--device", "fake", "--dry-run"]
    assert max(map(len, shown_on_a_terminal(80, *command).splitlines())) <= 80
    assert max(map(len, run(*command).stdout.splitlines())) > 100
