"""Figures are drawn whole, or refused before anything is measured."""

import sys

import pytest

from gpuprune import plots
from gpuprune.errors import GpupruneError
from gpuprune.tradeoff import points
from tests.conftest import assert_refused
from tests.test_tradeoff import ACCURACIES, benched, header, trained

BEGINNINGS = {".png": b"\x89PNG", ".svg": b"<?xml"}


@pytest.mark.parametrize("suffix", BEGINNINGS)
def test_figures_4_and_5_are_drawn(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    other = {group: accuracy + 0.002 for group, accuracy in ACCURACIES.items()}
    outcomes = trained() + trained(other, seed=1)
    four, five = tmp_path / f"four{suffix}", tmp_path / f"five{suffix}"
    plots.draw_accuracy(outcomes, four)
    plots.draw_tradeoff(points(benched(), header(), outcomes), five)
    for path in (four, five):
        assert path.read_bytes().startswith(BEGINNINGS[suffix])
    assert len(list(tmp_path.iterdir())) == 2


def test_a_figure_names_its_groups(tmp_path):
    pytest.importorskip("matplotlib")
    plots.draw_tradeoff(points(benched(), header(), trained()), tmp_path / "five.svg")
    text = (tmp_path / "five.svg").read_text()
    assert all(f"<!-- {name} -->" in text for name in ("unpruned", "1", "8", "32"))


def test_an_unknown_kind_of_figure_is_refused_before_training(run, tmp_path):
    refused = run("accuracy", "--figure", tmp_path / "four.jpeg")
    assert_refused(refused, "cannot be written as '.jpeg'", ".png or .svg")


def test_a_missing_directory_is_refused(tmp_path):
    with pytest.raises(GpupruneError, match="there is no directory"):
        plots.check(tmp_path / "nowhere" / "four.png")


def test_without_matplotlib_the_hint_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(GpupruneError, match="figures need matplotlib") as refused:
        plots.check(tmp_path / "four.png")
    assert refused.value.hint == "pip install matplotlib"
