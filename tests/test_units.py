import pytest

from gpuprune.units import (
    format_bytes,
    format_crossing,
    format_minutes,
    format_percent,
    format_rate,
    format_seconds,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (2.5, "2.50 s"),
        (0.0167, "16.7 ms"),
        (123e-6, "123 µs"),
        (5e-9, "5.00 ns"),
        (0.0, "0.00 ns"),
    ],
)
def test_durations_have_three_digits_and_a_prefix(seconds, text):
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(5, "0:05"), (125, "2:05"), (3725, "1:02:05")])
def test_waiting_times_are_minutes_and_seconds(seconds, text):
    assert format_minutes(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(17, "17 B"), (7040000, "6.71 MiB"), (2**31, "2.00 GiB")]
)
def test_sizes_have_binary_prefixes(size, text):
    assert format_bytes(size) == text


def test_shares_are_percentages():
    assert format_percent(0.9375) == "93.8 %"
    assert format_percent(0.9375, 0) == "94 %"


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0.0, "0.00"),
        (0.9, "0.90"),
        (1.0, "1.00"),
        (0.875, "0.875"),
        (0.9991, "0.9991"),
        (0.9994, "0.9994"),
        (0.99991, "0.99991"),
        (0.99999, "0.99999"),
        (0.8999023437, "0.8999"),
        (0.9999959468, "0.999995947"),
        (0.00000123456, "0.000001235"),
    ],
)
def test_rates_have_the_digits_that_tell_them_apart(rate, text):
    assert format_rate(rate) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [(0.85, "0.850"), (0.99, "0.990"), (0.99666, "0.9967"), (0.99996, "0.999960"), (1.0, "1.000")],
)
def test_a_crossing_never_reads_as_one_where_it_is_less(rate, text):
    assert format_crossing(rate) == text
