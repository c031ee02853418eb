from dataclasses import replace
from pathlib import Path

import pytest

from gpuprune.config import Sweep, load, paper, parse_groups, parse_rates, parse_shapes, quick
from gpuprune.errors import GpupruneError

CONFIGS = Path(__file__).parents[1] / "bench_configs"


def test_the_default_is_the_papers_sweep():
    sweep = paper()
    assert sweep.rates == (0.8, 0.82, 0.84, 0.86, 0.88, 0.9, 0.92, 0.94, 0.96, 0.98)
    assert sweep.groups == (1, 2, 4, 8, 16, 32, 64)
    assert sweep.shape == ((4096, 4096, 50),)


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("0.9", (0.9,)),
        ("0.8,0.9", (0.8, 0.9)),
        (" .8 , 0.95 ", (0.8, 0.95)),
        ("0.8:0.86", (0.8, 0.82, 0.84, 0.86)),
        ("0.8:0.95:0.1", (0.8, 0.9, 0.95)),
        ("0:1:0.5", (0.0, 0.5, 1.0)),
        ("0.9:0.9", (0.9,)),
        ("0.1:0.3:0.1", (0.1, 0.2, 0.3)),
        ([0.1, "0.2"], (0.1, 0.2)),
        ("0.9,0.90", (0.9,)),
    ],
)
def test_rates_are_decimal_and_end_where_they_say(text, rates):
    assert parse_rates(text) == rates


@pytest.mark.parametrize(
    "text", ["0.98:0.8", "1.2", "-0.1", "nan", "inf", "", ",", "a", "0.8:", "0.1:0.2:0", "1:2:3:4",
             "0.1:0.2:-0.1", "0.8:0.9:nan", "0:1:1e-9", True, None, [], [True]]
)  # fmt: skip
def test_other_rates_are_refused_with_a_hint(text):
    with pytest.raises(GpupruneError) as error:
        parse_rates(text)
    assert error.value.hint


@pytest.mark.parametrize("text", ["0", "-1", "a", "", "1,,2", "1.5", "1e3", "9" * 30, True, []])
def test_other_groups_are_refused(text):
    with pytest.raises(GpupruneError, match="group"):
        parse_groups(text)


@pytest.mark.parametrize("text", ["4096", "0x4x4", "4x-4x4", "4x4", "4x4x4x4", "axbxc", ""])
def test_other_shapes_are_refused(text):
    with pytest.raises(GpupruneError, match="shape"):
        parse_shapes(text)


def test_options_win_over_the_file_and_the_file_over_the_default(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text('rates = "0.5"\ngroups = [1, 2]\nmin-groups-per-row = 3\n')
    sweep = load(path, paper(), {"groups": "8", "seed": None})
    assert (sweep.rates, sweep.groups, sweep.seed) == ((0.5,), (8,), 0)
    assert sweep.min_groups_per_row == 3  # a key may be written as the option is


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ratez = [0.5]", "unknown key 'ratez'"),
        ("rates = [nan]", "not between 0 and 1"),
        ("groups = [true]", "group"),
        ("seed = 1.5", "whole number"),
        ("as_is = 1", "neither true nor false"),
        ('dtype = "int8"', "unknown dtype 'int8'"),
        ("budget = inf", "budget"),
        ("weights = 3", "no text"),
        ("rates = ", "cannot read"),
        ("[rates]\na = 1", "rates"),
        ("contenders = []", "contenders is empty"),
        ("groups = [1000000000000000000]", r"group 10{18} is not in 1 to 10\^18 - 1"),
    ],
)
def test_a_bad_file_is_refused_and_named(tmp_path, text, message):
    path = tmp_path / "sweep.toml"
    path.write_text(text)
    with pytest.raises(GpupruneError, match=message):
        load(path, paper(), {})


def test_a_value_of_the_file_is_checked_though_an_option_overrides_it(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text("rates = 1.5")
    with pytest.raises(GpupruneError, match=r"rate 1\.5 is not between 0 and 1"):
        load(path, paper(), {"rates": "0.9"})


def test_a_missing_a_huge_and_a_binary_file_are_refused(tmp_path):
    huge, binary = tmp_path / "huge.toml", tmp_path / "binary.toml"
    huge.write_text("#" * 2**21)
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "missing.toml", tmp_path, huge, binary):
        with pytest.raises(GpupruneError):
            load(path, paper(), {})


@pytest.mark.parametrize(
    "options",
    [
        {"as_is": True, "weights": "a.npy", "rates": "0.9"},
        {"as_is": True, "weights": "a.npy", "groups": "1"},
        {"as_is": True},
        {"weights": "a.npy", "shape": "4x4x4"},
        {"tensor": "*"},
        {"batch": "8"},
        {"as_is": True, "weights": "a.npy", "score": "mean"},
        {"as_is": True, "weights": "a.npy", "min_groups_per_row": "1"},
        {"rates": "0:1:0.0001", "groups": ",".join(map(str, range(1, 100)))},
    ],
)
def test_options_that_exclude_each_other_are_refused(options):
    with pytest.raises(GpupruneError) as error:
        load(None, paper(), options)
    assert error.value.hint


def test_a_sweep_survives_the_run_file():
    sweep = replace(quick(), contenders=("dense",), shape=((1, 2, 3), (4, 5, 6)))
    assert Sweep.from_json(sweep.to_json()) == sweep


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_configuration_of_the_repository_loads(path):
    assert load(path, paper(), {}).rates


def test_the_papers_configuration_is_the_default_and_quick_is_quick():
    assert load(CONFIGS / "paper.toml", quick(), {}) == paper()
    assert load(CONFIGS / "quick.toml", paper(), {}) == quick()
