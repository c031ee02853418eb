"""What each figure draws: its rows to the letter, and what a reader relies on of its look."""

from dataclasses import replace
from math import log

import numpy as np
import pytest

from gpuprune import plots
from gpuprune.analysis import break_even
from gpuprune.errors import GpupruneError
from gpuprune.evidence import read
from gpuprune.plots.theme import DARK, MARKER_RADIUS, PAPER
from tests.made_runs import (
    ACCURACIES,
    made_result,
    made_results,
    made_run,
    predicted_row,
    trained,
    write_profile,
    write_run,
    write_training,
)

DRAWN = (("rate", float), ("speedup", log))  # the axes of a line of speedups


@pytest.fixture
def evidence(tmp_path):
    """Read two runs, a training of two seeds and a prediction."""
    other = {group: accuracy - 0.002 for group, accuracy in ACCURACIES.items()}
    return read(
        [
            write_run(tmp_path / "a.jsonl"),
            write_run(tmp_path / "b.jsonl", run=made_run(device_name="GPU B")),
            write_training(tmp_path / "accuracy.jsonl", trained() + trained(other, seed=1)),
            write_profile(
                tmp_path / "efficiency.jsonl", predicted_row(), predicted_row(rate=0.9, group=8)
            ),
        ]
    )


def of_one_run(tmp_path, results=None):
    return read([write_run(tmp_path / "run.jsonl", results)])


def rows_of(name, evidence):
    return plots.draw(name, evidence)(PAPER).rows


def spec_of(name, evidence):
    return plots.specification(plots.draw(name, evidence), PAPER)


def marks(spec):
    """List the kinds of marks of a facetted figure, from the lowest to the uppermost."""
    return [layer["mark"]["type"] for layer in spec["spec"]["layer"]]


def test_speedups_have_an_interval_and_a_break_even_a_line(tmp_path):
    common = {"run": "GPU A", "layer": "64x100x10", "panel": "", "contender": "csr"}
    at = [
        (1, "measured", 0.8, 0.5),
        (1, "break-even", 0.85, 1.0),
        (1, "measured", 0.9, 1.5),
        (8, "measured", 0.8, 1.25),
        (8, "measured", 0.9, 2.0),
    ]
    rows = [
        row for row in rows_of("speedup", of_one_run(tmp_path)) if row["kind"] != "interpolated"
    ]
    assert rows == [
        {
            **common,
            "kind": kind,
            "is_alone": False,
            "group": group,
            "rate": pytest.approx(rate),
            "speedup": pytest.approx(speedup),
            "low": pytest.approx(speedup * 0.9 / 1.2),
            "high": pytest.approx(speedup * 1.2 / 0.9),
        }
        for group, kind, rate, speedup in at
    ]


def test_a_line_is_drawn_as_break_even_rates_are_interpolated(tmp_path):
    rows = rows_of("speedup", of_one_run(tmp_path, made_results({1: {0.5: 0.05, 0.98: 9.0}})))
    told = break_even([(0.5, 0.05), (0.98, 9.0)]).rate
    assert [row["rate"] for row in rows if row["kind"] == "break-even"] == [pytest.approx(told)]
    rates = np.linspace(0.5, 0.98, 500)
    # What the eye follows is straight on a logarithmic axis.
    drawn = np.exp(np.interp(rates, *([f(row[name]) for row in rows] for name, f in DRAWN)))
    assert drawn == pytest.approx(np.interp(rates, (0.5, 0.98), (0.05, 9.0)), rel=0.003)


def test_of_one_rate_the_interval_is_a_bar(tmp_path):
    spec = spec_of("speedup", of_one_run(tmp_path, made_results({1: {0.9: 1.5}, 8: {0.9: 2.0}})))
    assert marks(spec) == ["rule", "rule", "point"]
    bar = spec["spec"]["layer"][0]["encoding"]
    assert (bar["y"]["field"], bar["y2"]["field"]) == ("low", "high")
    assert spec["title"]["subtitle"][1] == (
        "dashed: dense; bar: between the quartiles of both products' samples"
    )


def test_the_speedup_figure_has_dense_at_one_on_a_logarithmic_scale(tmp_path):
    spec = spec_of("speedup", of_one_run(tmp_path))
    assert marks(spec) == ["area", "rule", "line", "point", "point"]
    band, dense, line, points, even = spec["spec"]["layer"]
    assert dense["data"]["values"] == [{"speedup": 1}]
    assert dense["mark"]["strokeDash"] == [6, 3]
    assert (band["encoding"]["y"]["field"], band["encoding"]["y2"]["field"]) == ("low", "high")
    assert line["encoding"]["y"]["scale"]["type"] == "log"
    assert line["encoding"]["y"]["title"] == "speedup over dense"
    assert points["encoding"]["x"]["title"] == "pruning rate"
    assert points["encoding"]["shape"]["scale"] == {
        "domain": [1, 8], "range": ["circle", "square"]
    }  # fmt: skip
    assert points["encoding"]["color"]["scale"] == {
        "domain": [1, 8], "range": [PAPER.steps[0], PAPER.steps[-1]]
    }  # fmt: skip
    assert even["transform"] == [{"filter": {"field": "kind", "equal": "break-even"}}]
    assert points["transform"] == [{"filter": {"field": "kind", "equal": "measured"}}]
    assert spec["title"]["subtitle"] == [
        "64x100x10 · float32 · row groups · cold caches · GPU A",
        "dashed: dense; band: between the quartiles of both products' samples; "
        "outlined on the dashed line: break-even",
    ]


def test_where_nothing_breaks_even_within_the_rates_nothing_is_marked(tmp_path):
    spec = spec_of("speedup", of_one_run(tmp_path, made_results({1: {0.8: 1.5, 0.9: 2.0}})))
    assert marks(spec) == ["area", "rule", "line", "point"]


def rate_axis(figure):
    axis = figure["spec"]["layer"][-1]["encoding"]["x"]["axis"]
    return axis["values"], axis["format"]


@pytest.mark.parametrize(
    ("rates", "digits"),
    [((0.9,), ".2f"), ((0.8, 0.9), ".2f"), ((0.995, 0.999), ".3f"), ((0.5, 0.9995), ".4f")],
)
def test_ticks_stand_at_the_rates_measured_with_the_digits_that_tell_them(tmp_path, rates, digits):
    results = made_results({1: dict.fromkeys(rates, 1.5)})
    figure = spec_of("speedup", of_one_run(tmp_path, results))
    assert rate_axis(figure) == (list(rates), digits)


def test_of_very_many_rates_only_some_have_a_tick(tmp_path):
    rates = [round(0.5 + i / 1000, 3) for i in range(300)]
    results = made_results({1: dict.fromkeys(rates, 1.5)})
    values, _ = rate_axis(spec_of("speedup", of_one_run(tmp_path, results)))
    assert values == rates[::25]


def test_load_efficiency_has_ticks_at_its_rates(tmp_path):
    profile = write_profile(tmp_path / "efficiency.jsonl", predicted_row(rate=0.9))
    axis = spec_of("efficiency", read([profile]))["spec"]["layer"][0]["encoding"]["x"]["axis"]
    assert (axis["values"], axis["format"]) == ([0.9], ".2f")


def test_several_runs_stand_in_rows_of_their_own(evidence):
    spec = spec_of("speedup", evidence)
    assert spec["facet"]["row"]["sort"] == ["GPU A", "GPU B"]
    assert spec["facet"]["column"]["sort"] == ["csr"]


def test_more_layers_than_fit_a_figure_are_refused(tmp_path):
    results = [one for batch in range(1, 14) for one in made_results(batch=batch)]
    with pytest.raises(GpupruneError) as refused:
        plots.specification(plots.draw("speedup", of_one_run(tmp_path, results)), PAPER)
    assert str(refused.value) == "13 layers do not fit one figure of speedups"
    assert "--layer" in refused.value.hint


def test_a_map_tells_the_break_even_rate_of_each_shape(tmp_path):
    results = made_results() + made_results({1: {0.8: 0.2, 0.9: 0.5}}, batch=256)
    common = {"run": "GPU A", "matrix": "64x100", "size": 6400, "matrices": 1}
    single, eight = {"panel": "single weights", "group": 1}, {"panel": "groups of 8", "group": 8}
    assert rows_of("breakeven", of_one_run(tmp_path, results)) == [
        {**common, **single, "batch": 10, "step": "up to 0.9", "cell": "0.850", "told": "0.850"},
        {
            **common, **single,
            "batch": 256, "step": "not reached, or lost", "cell": "> 0.90", "told": "not reached",
        },
        {**common, **eight, "batch": 10, "step": "up to 0.8", "cell": "≤ 0.80", "told": "≤ 0.80"},
    ]  # fmt: skip


def test_of_several_tensors_of_a_shape_the_last_to_break_even_counts(tmp_path):
    results = made_results({1: {0.8: 0.5, 0.9: 1.5}}, weights="m.npz::a")
    results += made_results({1: {0.8: 0.5, 0.9: 0.75}}, weights="m.npz::b")
    (row,) = rows_of("breakeven", of_one_run(tmp_path, results))
    assert (row["told"], row["matrices"]) == ("not reached", 2)


def test_a_map_marks_what_is_lost_again_and_rates_near_one(tmp_path):
    table = {1: {0.8: 1.5, 0.9: 0.5}, 8: {0.995: 0.5, 0.999: 0.6}, 32: {0.995: 1.5}}
    evidence = of_one_run(tmp_path, made_results(table))
    cells = {row["group"]: row["cell"] for row in rows_of("breakeven", evidence)}
    assert cells == {1: "lost again", 8: "> 0.999", 32: "≤ 0.995"}
    assert (
        "lost again: faster at some rate, slower at a higher one"
        in spec_of("breakeven", evidence)["title"]["subtitle"]
    )


def test_a_map_orders_matrices_by_size(tmp_path):
    shapes = ({"rows": 512}, {"rows": 64}, {"rows": 128})
    results = [one for shape in shapes for one in made_results(**shape)]
    spec = spec_of("breakeven", of_one_run(tmp_path, results))
    cells, _ = spec["spec"]["layer"]
    assert cells["encoding"]["y"]["sort"] == ["64x100", "128x100", "512x100"]


def test_a_roofline_counts_only_what_is_multiplied(tmp_path):
    case = made_results()[0].case
    evidence = of_one_run(
        tmp_path, [made_result(case, "dense", 1e-6), made_result(case, "csr", 1e-6)]
    )
    dense, csr, *roofs = rows_of("roofline", evidence)
    common = {"run": "GPU A", "layer": "64x100x10", "rate": 0.8, "group": 1, "bound": "memory"}
    assert dense == {
        **common,
        "contender": "dense",
        "intensity": pytest.approx(2 * 6400 * 10 / (4 * (6400 + 1640))),
        "gflops": pytest.approx(128.0),
        "share": pytest.approx(0.5),
    }
    assert csr == {
        **common,
        "contender": "csr",
        "intensity": pytest.approx(2 * 1280 * 10 / (4 * (1280 + 1640))),
        "gflops": pytest.approx(25.6),
        "share": pytest.approx(0.5),
    }
    for roof in roofs:  # the memory binds wherever there are so few operations a byte
        assert roof["gflops"] == pytest.approx(100 * roof["intensity"])
    assert {roof["roof"] for roof in roofs} == {"float32: 10000 GFLOP/s, memory 93.1 GiB/s"}


def test_a_roof_bends_where_memory_and_arithmetic_meet(tmp_path):
    results = made_results(rows=4096, cols=4096, batch=4096)
    roofs = [row for row in rows_of("roofline", of_one_run(tmp_path, results)) if "roof" in row]
    low, ridge, high = sorted(roofs, key=lambda roof: roof["intensity"])
    assert ridge["intensity"] == pytest.approx(100)
    assert (ridge["gflops"], high["gflops"]) == (pytest.approx(10000), pytest.approx(10000))
    assert low["gflops"] == pytest.approx(100 * low["intensity"])


def test_definitions_of_load_efficiency_never_share_a_panel(evidence):
    spec = spec_of("efficiency", evidence)
    assert spec["facet"]["column"]["sort"] == [
        "distinct bytes, as ncu counts",
        "every lane, as nvprof counts",
    ]
    assert [row["percent"] for row in spec["datasets"]["rows"]] == [60.0, 70.0, 60.0, 70.0]
    line, _ = spec["spec"]["layer"]
    # The padding keeps a marker at 100 % off the frame.
    assert line["encoding"]["y"]["scale"] == {"domain": [60.0, 100.0], "padding": MARKER_RADIUS}


def test_load_efficiencies_of_two_types_share_no_line(tmp_path):
    rows = [predicted_row(dtype=dtype) for dtype in ("float64", "float32")]
    spec = spec_of("efficiency", read([write_profile(tmp_path / "a.jsonl", *rows)]))
    assert spec["facet"]["row"]["sort"] == [
        "64x100x10\nfloat64\npredicted, row_major",
        "64x100x10\nfloat32\npredicted, row_major",
    ]
    assert {row["layer"] for row in spec["datasets"]["rows"]} == {
        "64x100x10 · float64",
        "64x100x10 · float32",
    }


def test_accuracy_has_the_seeds_and_the_unpruned_network(evidence):
    unpruned, *pruned = rows_of("accuracy", evidence)
    assert unpruned == {
        "run": "",
        "group": None,
        "percent": pytest.approx(97.7),
        "sd": pytest.approx(0.1414, abs=1e-4),
        "low": pytest.approx(97.6),
        "high": pytest.approx(97.8),
        "seeds": 2,
        "rate": 0.0,
    }
    assert [(row["group"], row["percent"]) for row in pruned] == [
        (1, pytest.approx(97.1)),
        (8, pytest.approx(96.6)),
        (32, pytest.approx(89.9)),
    ]


def test_a_tradeoff_marks_the_front_in_each_run(evidence):
    rows = rows_of("tradeoff", evidence)
    assert [(row["run"], row["name"], row["is_front"]) for row in rows] == [
        (run, name, True) for run in ("GPU A", "GPU B") for name in ("unpruned", "1", "8")
    ]
    assert [row["speedup"] for row in rows[:3]] == [1.0, pytest.approx(1.5), pytest.approx(2.0)]


def test_points_that_lie_together_share_a_name(tmp_path):
    together = {1: {0.9: 2.0}, 8: {0.9: 2.01}, 32: {0.9: 2.02}, 64: {0.9: 2.02}}
    accuracies = {None: 0.9, 1: 0.801, 8: 0.8, 32: 0.802, 64: 0.7}
    evidence = read(
        [
            write_run(tmp_path / "run.jsonl", made_results(together)),
            write_training(tmp_path / "accuracy.jsonl", trained(accuracies)),
        ]
    )
    assert [(row["name"], row["label"]) for row in rows_of("tradeoff", evidence)] == [
        ("unpruned", "unpruned"), ("1", ""), ("8", ""), ("32", "1, 8, 32"), ("64", "64")
    ]  # fmt: skip


@pytest.mark.parametrize("name", plots.FIGURES)
def test_a_figure_is_the_same_in_either_theme_but_for_its_colours(evidence, name):
    on_paper, in_page = (
        plots.specification(plots.draw(name, evidence), theme) for theme in (PAPER, plots.PAGE)
    )
    assert on_paper["datasets"] == in_page["datasets"]
    assert on_paper["facet"] == in_page["facet"]
    assert on_paper["config"]["background"] == "#ffffff"
    assert in_page["config"]["axis"]["labelColor"] == "var(--ink)"


@pytest.mark.parametrize(
    ("kept", "name"),
    [
        (["a"], "speedup"),
        (["a", "b"], "speedup"),
        (["wide"], "breakeven"),
        (["accuracy"], "accuracy"),
        (["a", "accuracy"], "tradeoff"),
        (["efficiency"], "efficiency"),
        (["a", "efficiency"], "speedup"),
    ],
)
def test_the_records_choose_the_figure(evidence, tmp_path, kept, name):
    write_run(tmp_path / "wide.jsonl", made_results() + made_results(batch=1))
    assert plots.default_figure(read([tmp_path / f"{one}.jsonl" for one in kept])) == name


@pytest.mark.parametrize(
    ("kept", "name", "message"),
    [
        ("efficiency", "speedup", "the files hold nothing to draw speedup from"),
        ("accuracy", "breakeven", "the files hold nothing to draw breakeven from"),
        ("accuracy", "roofline", "the files hold nothing to draw roofline from"),
        ("accuracy", "tradeoff", "the files hold nothing to draw tradeoff from"),
        ("a", "tradeoff", "the files hold nothing to draw tradeoff from"),
        ("a", "accuracy", "the files hold nothing to draw accuracy from"),
        ("a", "efficiency", "load efficiency is in no run of `gpuprune bench`"),
    ],
)
@pytest.mark.usefixtures("evidence")
def test_records_that_lack_a_figure_are_told_what_they_lack(tmp_path, kept, name, message):
    with pytest.raises(GpupruneError, match=message) as refused:
        plots.specification(plots.draw(name, read([tmp_path / f"{kept}.jsonl"])), PAPER)
    assert "gpuprune" in refused.value.hint


@pytest.mark.parametrize("name", ["speedup", "breakeven"])
def test_a_run_of_dense_alone_has_no_speedup_to_draw(tmp_path, name):
    dense = [one for one in made_results() if one.contender == "dense"]
    with pytest.raises(GpupruneError, match="no sparse product was measured beside a dense one"):
        plots.specification(plots.draw(name, of_one_run(tmp_path, dense)), PAPER)


def test_a_run_without_any_time_has_no_roofline(tmp_path):
    broken = replace(made_results()[0], status="failed", timing=None)
    with pytest.raises(GpupruneError, match="no product of the run has a time"):
        plots.specification(plots.draw("roofline", of_one_run(tmp_path, [broken])), PAPER)


def luminance(colour):
    """Return the relative luminance of an sRGB colour (WCAG 2.2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [PAPER, DARK], ids=["paper", "dark"])
def test_colours_stand_out_from_the_background(theme):
    assert contrast(theme.ink, theme.background) >= 7
    for colour in (*theme.steps[:-1], *theme.kinds):
        assert contrast(colour, theme.background) >= 3, colour
    assert contrast(theme.steps[-1], theme.background) >= 2.5


@pytest.mark.parametrize("theme", [PAPER, DARK], ids=["paper", "dark"])
def test_group_sizes_differ_in_brightness_where_no_hue_is_seen(theme):
    brightness = [luminance(colour) for colour in theme.steps]
    assert brightness == sorted(brightness)
    assert brightness[-1] > 4 * brightness[0]
