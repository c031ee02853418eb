"""What `calibrate` makes of verdicts on two sides that are alike."""

import pytest

from gpuprune.cli.calibrate_console import in_percent
from gpuprune.regression.calibration import drift_to_cover, floor_to_take, rows
from gpuprune.regression.verdict import Verdict


def verdict(level, contender, change, **more):
    values = {"noise": 0.01, "visible": 0.1, "threshold": 0.1} | more
    return Verdict(
        level=level, contender=contender, change=change, verdict="SAME", reason="", **values
    )


def test_a_row_tells_the_drift_of_a_level_and_what_can_be_seen():
    verdicts = [
        verdict("device", "dense", -0.04),
        verdict("cell", "csr", 0.01, visible=0.12),
        verdict("cell", "csr", -0.03, noise=0.02, threshold=0.2),
        verdict("cell", "csr", None, noise=None, visible=None, threshold=None),
        verdict("cell", "of_a_user", None),
    ]
    assert rows(verdicts) == [
        {
            "level": "device", "contender": "dense", "verdicts": 1, "noise": 0.01, "drift": 0.04,
            "drift_max": 0.04, "threshold": 0.1, "visible": 0.1, "visible_max": 0.1,
        },
        {
            "level": "cell", "contender": "csr", "verdicts": 3, "noise": 0.015, "drift": 0.02,
            "drift_max": 0.03, "threshold": 0.2, "visible": 0.11, "visible_max": 0.12,
        },
    ]  # fmt: skip
    assert drift_to_cover(rows(verdicts)) == pytest.approx(0.06)
    assert drift_to_cover([]) == 0


@pytest.mark.parametrize(
    ("drift", "floor"), [(0.121, 0.13), (0.13, 0.13), (0.07, 0.07), (1.0, 1.0), (1.001, None)]
)
def test_a_floor_covers_a_drift_in_whole_percents(drift, floor):
    assert floor_to_take(drift) == floor


def test_what_noise_leaves_open_is_told_without_its_digits():
    row = {"contender": "csr", "verdicts": 2, "drift": 0.302, "visible": 1.8e11}
    assert in_percent(row) == row | {"drift": "30.2 %", "visible": "over 1000 %"}
