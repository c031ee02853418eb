"""Numbers of four locales, and the units of ncu."""

from math import isnan

import pytest

from gpuprune.profiler.parse.ncu_units import ncu_factor
from gpuprune.profiler.parse.numerals import Numerals


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


TIME = "gpu__time_duration.sum"
BYTES = "dram__bytes_read.sum"
SPEED = "dram__bytes_read.sum.per_second"
CLOCK = "sm__cycles_elapsed.avg.per_second"
COUNT = "smsp__inst_executed.sum"


@pytest.mark.parametrize(
    ("metric", "unit", "factor"),
    [
        (COUNT, "", 1.0),
        (TIME, "", 1.0),
        ("l1tex__t_sector_hit_rate.pct", "%", 1.0),
        ("l1tex__t_sectors.sum", "sector", 1.0),
        ("l1tex__t_sectors.avg", "sectors", 1.0),
        ("smsp__branch_targets_threads_divergent", "branches", 1.0),
        ("l1tex__average.ratio", "sector/request", 1.0),
        ("launch__registers_per_thread", "register/thread", 1.0),
        ("launch__shared_mem_per_block", "Kbyte/block", 1e3),
        (COUNT, "Minst", 1e6),
        (TIME, "ps", 1e-3),
        (TIME, "psecond", 1e-3),
        (TIME, "ns", 1.0),
        (TIME, "usecond", 1e3),
        (TIME, "us", 1e3),
        (TIME, "\u00b5s", 1e3),
        (TIME, "\u03bcs", 1e3),
        (TIME, "msecond", 1e6),
        (TIME, "second", 1e9),
        (TIME, "minute", 60e9),
        (TIME, "hour", 3600e9),
        (BYTES, "Kbyte", 1e3),
        (BYTES, "kbyte", 1e3),
        (BYTES, "KB", 1e3),
        (BYTES, "GB", 1e9),
        (BYTES, "Ebyte", 1e18),
        (BYTES, "KiB", 1024.0),
        (BYTES, "Kibyte", 1024.0),
        (BYTES, "Mibyte", 1048576.0),
        (SPEED, "byte/second", 1.0),
        (SPEED, "Mbyte/s", 1e6),
        (SPEED, "Gbyte/second", 1e9),
        (CLOCK, "cycle/nsecond", 1e9),
        (CLOCK, "cycle/usecond", 1e6),
        (CLOCK, "Ghz", 1e9),
    ],
)
def test_units_of_all_versions_have_their_factor(metric, unit, factor):
    assert ncu_factor(metric, unit) == factor


@pytest.mark.parametrize(
    ("metric", "unit"),
    [
        (TIME, "fortnight"),
        (TIME, "mszcond"),
        (TIME, "cycle"),
        (TIME, "Kbyte"),
        (TIME, "ms/s"),
        (BYTES, "Mbyte/s"),
        (BYTES, "Mbyue"),
        (BYTES, "%"),
        (BYTES, "Mis"),
        (SPEED, "Mbyte"),
        (SPEED, "Mbyte/"),
        (SPEED, "Mbyte/cycle"),
        (CLOCK, "Gcycle"),
        (COUNT, "Iinst"),
        (COUNT, "kfurlong"),
        ("l1tex__t_sector_hit_rate.pct", "sector"),
    ],
)
def test_a_unit_that_is_unknown_or_of_another_kind_has_no_factor(metric, unit):
    assert isnan(ncu_factor(metric, unit))
