"""Names of kernels that are cut, so that a table of them fits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprune.report.kernel_table import kernel_table, shorten

CSRMM = "void cusparse::csrmm_v2_kernel<int, float, {}>(int, float const*, int const*, float*)"

LAMBDA = "main::[lambda(int) (instance 1)]::operator ()(int) const"


@pytest.mark.parametrize(
    ("name", "room", "short"),
    [
        ("sgemm(int)", 10, "sgemm(int)"),
        ("sgemm(int)", 9, "sgemm(…)"),
        (LAMBDA, 50, "main::[lambda(int) (instance 1)]::operator ()(…)"),
        (LAMBDA, 30, "main::[lambda(i…operator ()(…)"),
        (CSRMM.format(8), 60, "void cusparse::csrmm_v2_kernel<int, float, 8>(…)"),
        (CSRMM.format(8), 40, "void cusparse::csrmm…l<int, float, 8>(…)"),
    ],
)
def test_parameters_go_first_and_then_the_middle(name, room, short):
    assert shorten({name}, room) == {name: short}


def test_names_that_differ_are_cut_apart():
    names = {CSRMM.format(group) for group in (1, 2, 32)} | {
        "f(" + "int, " * 20 + tail for tail in ("a)", "b)")
    }
    assert len(set(shorten(names, 30).values())) == len(names)


@given(
    st.sets(st.text(alphabet="ab<(,)> ", min_size=1, max_size=40), min_size=1), st.integers(6, 40)
)
def test_no_name_is_longer_than_its_room(names, room):
    short = shorten(names, room)
    assert short.keys() == names
    assert max(map(len, short.values())) <= room


def test_a_table_is_wider_than_its_page_rather_than_have_two_names_alike():
    names = [f"gemm_{a}_with_a_long_name_{b}_of_a_kernel" for a in "ab" for b in "ab"]
    rows = [{"kernel": name, "launch": 0, "load %": 50.0} for name in names]
    table, _ = kernel_table(rows, width=30)
    assert len({line.split()[0] for line in table.splitlines()[2:]}) == 4


def test_columns_give_way_from_the_right_to_the_name():
    row = {"kernel": "k" * 40, "launch": 0, "load %": 50.0, "store %": 99.0, "sectors": 123456}
    table, left_out = kernel_table([row], width=50)
    assert left_out == ["sectors", "store %"]
    assert table.splitlines()[0].split() == ["kernel", "launch", "load", "%"]
