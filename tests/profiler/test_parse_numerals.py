"""Numbers of four locales, and the units of ncu."""

from math import isnan

import pytest

from gpuprune.profiler.parse.numerals import Numerals
from gpuprune.profiler.parse.quantities import ncu_factor


def settled(cell):
    numerals = Numerals()
    numerals[cell]
    return Numerals(numerals.decimal)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("12,587,520", 12587520.0),
        ("12.587.520", 12587520.0),
        ("12 587 520", 12587520.0),
        ("12\u202f587\u202f520", 12587520.0),
        ("12'587'520", 12587520.0),
        ("12\u2019587\u2019520", 12587520.0),
        ("1,278,703,122.92", 1278703122.92),
        ("1.278.703.122,92", 1278703122.92),
        ("1 278 703 122,92", 1278703122.92),
        ("1'278'703'122.92", 1278703122.92),
        ("87.60", 87.6),
        ("87,60", 87.6),
        ("0.133333", 0.133333),
        ("-4", -4.0),
        ("2.5e+03", 2500.0),
        (" 32 ", 32.0),
    ],
)
def test_a_number_that_can_be_read_one_way_is_read(cell, value):
    assert Numerals()[cell] == value


@pytest.mark.parametrize(
    "cell",
    [
        *("", "n/a", "(!) n/a", "(!) nan", "nan", "inf", "-inf", "1e999", "9" * 400),
        *("1_000", "0x10", "2024.1.1", "1.2.3", "1,23,456", "12,5875,520", "12.587,520,1"),
        "CachePreferNone",
    ],
)
def test_what_is_no_number_has_no_value(cell):
    numerals = Numerals()
    assert isnan(numerals[cell])
    assert not numerals.unread


@pytest.mark.parametrize(
    ("other", "value"),
    [
        ("87.60", 89.856),
        ("0.133333", 89.856),
        ("1,000,000", 89.856),
        ("87,60", 89856.0),
        ("12.587.520", 89856.0),
        ("1.000,5", 89856.0),
    ],
)
def test_three_digits_behind_a_point_are_read_as_the_rest_of_the_file_is(other, value):
    assert settled(other)["89.856"] == value


def test_three_digits_behind_a_point_stay_unread_where_nothing_settles_it():
    numerals = Numerals()
    assert isnan(numerals["89.856"])
    assert numerals.unread == {"89.856"}


def test_a_comma_groups_where_nothing_says_otherwise():
    assert Numerals()["524,288"] == 524288.0


def test_a_list_of_two_ports_does_not_settle_the_locale():
    numerals = Numerals()
    numerals["0,1"]
    assert numerals["87.60"] == 87.6


def test_a_number_of_another_locale_than_the_files_stays_unread():
    numerals = settled("87.60")
    assert isnan(numerals["87,60"])
    assert numerals.unread == {"87,60"}


def test_few_cells_are_remembered(monkeypatch):
    monkeypatch.setattr("gpuprune.profiler.parse.numerals.MAX_REMEMBERED", 3)
    numerals = Numerals()
    assert [numerals[str(at)] for at in range(8)] == list(range(8))
    assert len(numerals) <= 3


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("", 1.0),
        ("%", 1.0),
        ("sector", 1.0),
        ("sector/request", 1.0),
        ("register/thread", 1.0),
        ("ns", 1.0),
        ("usecond", 1e3),
        ("us", 1e3),
        ("msecond", 1e6),
        ("second", 1e9),
        ("byte/second", 1.0),
        ("Kbyte", 1e3),
        ("Mbyte/s", 1e6),
        ("Gbyte/second", 1e9),
        ("cycle/nsecond", 1e9),
        ("cycle/usecond", 1e6),
        ("Ghz", 1e9),
        ("Kbyte/block", 1e3),
        ("furlong", 1.0),
    ],
)
def test_units_of_all_versions_have_their_factor(unit, factor):
    assert ncu_factor(unit) == factor
