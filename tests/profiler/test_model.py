"""Predicted load efficiency: public facts, and a slow count that follows every lane."""

import math
import re
import runpy
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprune.errors import GpupruneError
from gpuprune.profiler import model
from gpuprune.profiler.loads import LoadEfficiency, count_loads, count_spans
from gpuprune.profiler.mappings import COMPRESSED_ROWS, MAPPINGS, OWN_KERNELS
from gpuprune.profiler.model import predict
from gpuprune.profiler.prediction import predict_case
from gpuprune.records import Case

DOCS = Path(__file__).parents[2] / "docs"
LANE = np.arange(32)[None, :]


def efficiency_of(addresses, width, active=None):
    found = LoadEfficiency.of(count_loads(np.asarray(addresses), width, active))
    return found.ncu_pct, found.nvprof_pct


@pytest.mark.parametrize(
    ("pattern", "addresses", "width", "ncu", "nvprof"),
    [
        ("neighbouring floats", 4 * LANE, 4, 100.0, 100.0),
        ("floats, offset by one", 4 * (LANE + 1), 4, 80.0, 80.0),
        ("floats, offset by eleven", 4 * (LANE + 11), 4, 80.0, 80.0),
        ("every second float", 8 * LANE, 4, 50.0, 50.0),
        ("one member of an array of structs of two floats", 8 * LANE + 4, 4, 50.0, 50.0),
        ("float2", 8 * LANE, 8, 100.0, 100.0),
        ("float4", 16 * LANE, 16, 100.0, 100.0),
        ("doubles, 24 bytes apart", 24 * LANE, 8, 100 / 3, 100 / 3),
        ("a column of floats", 4096 * LANE, 4, 12.5, 12.5),
        ("a column of doubles", 8192 * LANE, 8, 25.0, 25.0),
        ("a float that all lanes read", 0 * LANE, 4, 12.5, 400.0),
        ("pairs of lanes on one float", 4 * (LANE // 2), 4, 100.0, 200.0),
        ("lanes in reverse", 4 * LANE[:, ::-1], 4, 100.0, 100.0),
        (
            "reads that straddle sectors and overlap",
            14 + 8 * LANE,
            16,
            264 / 288 * 100,
            512 / 2.88,
        ),
    ],
)
def test_public_patterns_have_their_known_efficiency(pattern, addresses, width, ncu, nvprof):
    assert efficiency_of(addresses, width) == pytest.approx((ncu, nvprof)), pattern


def test_row_of_b_with_index_and_value_broadcast_is_71_percent_to_ncu_and_200_to_nvprof():
    per_nonzero = np.concatenate(
        [count_loads(0 * LANE, 4), count_loads(0 * LANE, 4), count_loads(4 * LANE, 4)]
    )
    found = LoadEfficiency.of(per_nonzero)
    assert found.ncu_pct == pytest.approx(136 / 192 * 100)
    assert found.nvprof_pct == pytest.approx(200.0)


def test_lanes_that_do_not_load_do_not_count():
    assert efficiency_of(4 * LANE, 4, LANE < 4) == pytest.approx((50.0, 50.0))
    nothing = efficiency_of(4 * LANE, 4, LANE < 0)
    assert all(math.isnan(value) for value in nothing)


@given(
    addresses=st.lists(st.integers(0, 300), min_size=1, max_size=32),
    width=st.sampled_from([1, 2, 4, 8, 16]),
)
def test_loads_count_as_sets_of_bytes_and_sectors(addresses, width):
    touched = {address + i for address in addresses for i in range(width)}
    expected = [len(touched), width * len(addresses), len({byte // 32 for byte in touched})]
    assert count_loads(np.array([addresses]), width).tolist() == [expected]


@given(start=st.integers(0, 200), lanes=st.integers(0, 32), width=st.sampled_from([2, 4, 8]))
def test_spans_count_as_the_loads_they_stand_for(start, lanes, width):
    addresses = start + width * LANE
    expected = count_loads(addresses, width, lanes > LANE)
    assert count_spans(np.array([start]), lanes, width).tolist() == expected.tolist()


class Slow:
    """A count that follows every lane of every warp, with sets of bytes."""

    def __init__(self):
        self.distinct = self.lanes = self.sectors = 0

    def load(self, array, addresses, width):
        if not addresses:
            return
        touched = {(array, address + i) for address in addresses for i in range(width)}
        self.distinct += len(touched)
        self.lanes += width * len(addresses)
        self.sectors += len({byte // 32 for _, byte in touched})


def _batch_warps(row, pointer, columns, cols, batch, itemsize, slow, *, coalesced, column_major):
    for first in range(0, batch, 32):
        mine = range(first, min(first + 32, batch))
        slow.load("pointer", [4 * row] * 32, 4)
        slow.load("pointer", [4 * (row + 1)] * 32, 4)
        nonzeros = range(pointer[row], pointer[row + 1])
        for k in nonzeros[::32] if coalesced else nonzeros:
            chunk = list(nonzeros[k - pointer[row] :][:32]) if coalesced else [k] * 32
            slow.load("column", [4 * i for i in chunk], 4)
            slow.load("value", [itemsize * i for i in chunk], itemsize)
        for k in nonzeros:
            places = [
                columns[k] + n * cols if column_major else columns[k] * batch + n for n in mine
            ]
            slow.load("B", [itemsize * place for place in places], itemsize)


def _nonzero_warps(unit, pointer, columns, cols, batch, itemsize, slow, *, lanes, operand):
    rows = [unit * (32 // lanes) + lane // lanes for lane in range(32)]
    rows = [row for row in rows if row < len(pointer) - 1]
    slow.load("pointer", [4 * row for row in rows], 4)
    slow.load("pointer", [4 * (row + 1) for row in rows], 4)
    longest = max(pointer[row + 1] - pointer[row] for row in rows)
    for start in range(0, longest, lanes):
        places = [pointer[row] + start + lane % lanes for lane, row in enumerate(rows)]
        live = [k for k, row in zip(places, rows, strict=True) if k < pointer[row + 1]]
        slow.load("column", [4 * k for k in live], 4)
        slow.load("value", [itemsize * k for k in live], itemsize)
        for n in range(batch if operand else 0):
            where = [
                columns[k] + n * cols if operand == "column_major" else columns[k] * batch + n
                for k in live
            ]
            slow.load("B", [itemsize * place for place in where], itemsize)


SLOW = {
    "row_major": (1, _batch_warps, {"coalesced": True, "column_major": False}),
    "row_major_broadcast": (1, _batch_warps, {"coalesced": False, "column_major": False}),
    "column_major": (1, _batch_warps, {"coalesced": True, "column_major": True}),
    "gather": (1, _nonzero_warps, {"lanes": 32, "operand": "column_major"}),
    "stream": (1, _nonzero_warps, {"lanes": 32, "operand": None}),
    "half_warp_stream": (2, _nonzero_warps, {"lanes": 16, "operand": None}),
    "thread_per_row": (32, _nonzero_warps, {"lanes": 1, "operand": "row_major"}),
}


def slow_count(mask, itemsize, batch, mapping):
    pointer = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).tolist()
    columns = np.nonzero(mask)[1].tolist()
    rows_per_unit, warps, how = SLOW[mapping]
    slow = Slow()
    for unit in range(-(-len(mask) // rows_per_unit)):
        warps(unit, pointer, columns, mask.shape[1], batch, itemsize, slow, **how)
    return 100 * slow.distinct / (32 * slow.sectors), 100 * slow.lanes / (32 * slow.sectors)


@pytest.mark.parametrize("mapping", COMPRESSED_ROWS)
@pytest.mark.parametrize(
    ("rows", "cols", "batch", "itemsize", "rate", "group"),
    [
        (40, 200, 50, 4, 0.8, 1),
        (33, 64, 7, 8, 0.5, 4),
        (35, 77, 33, 4, 0.9, 8),
        (1, 1, 1, 4, 0.0, 1),
        (3, 130, 40, 2, 0.0, 1),
        (5, 3, 2, 2, 1.0, 1),
        (7, 5, 1, 8, 0.6, 1),
    ],
)
def test_prediction_is_the_exact_count_of_every_lane(
    mapping, rows, cols, batch, itemsize, rate, group
):
    mask = random_mask(rows, cols, rate, group)
    found = predict(mask, itemsize, batch, mapping)
    assert (found.gld_efficiency_pct, found.nvprof_style_pct) == pytest.approx(
        slow_count(mask, itemsize, batch, mapping)
    )
    assert (found.error_points, found.sampled_rows, found.mapping) == (0.0, rows, mapping)


def test_lanes_beyond_the_batch_load_all_but_b():
    found = predict(np.ones((1, 1), bool), 4, 50, "row_major_broadcast")
    for_everybody = 2 * 4 * 32 * 4  # two warps: two row pointers, an index and a value
    sectors = 2 * 4 + 4 + 3  # and those of 32 and of 18 elements of B
    assert found.nvprof_style_pct == pytest.approx(100 * (for_everybody + 50 * 4) / (32 * sectors))


def random_mask(rows, cols, rate, group, seed=0):
    groups = -(-cols // group)
    kept = np.random.default_rng(seed).random((rows, groups)) >= rate
    return np.repeat(kept, group, axis=1)[:, :cols]


@pytest.mark.parametrize("mapping", COMPRESSED_ROWS)
def test_sampled_prediction_says_how_far_it_may_be_off(mapping, monkeypatch):
    mask = random_mask(2000, 512, 0.9, 1)
    exact = predict(mask, 4, 50, mapping)
    assert exact.error_points == 0
    monkeypatch.setattr(model, "_FEWEST_NONZEROS", 5000)
    monkeypatch.setattr(model, "_CERTAIN_POINTS", 2.0)
    inside = 0
    for seed in range(20):
        sampled = predict(mask, 4, 50, mapping, seed)
        assert 0 < sampled.error_points <= 2.0
        assert sampled.sampled_rows < 2000
        error = abs(sampled.gld_efficiency_pct - exact.gld_efficiency_pct)
        assert error <= 2 * sampled.error_points
        inside += error <= sampled.error_points
    assert inside >= 16


def test_same_seed_gives_the_same_prediction(monkeypatch):
    monkeypatch.setattr(model, "_FEWEST_NONZEROS", 5000)
    mask = random_mask(2000, 512, 0.9, 1)
    assert predict(mask, 4, 50, "stream", seed=3) == predict(mask, 4, 50, "stream", seed=3)


@settings(deadline=None, max_examples=25)
@given(
    rows=st.integers(1, 70),
    cols=st.integers(1, 40),
    batch=st.integers(1, 70),
    itemsize=st.sampled_from([2, 4, 8]),
    rate=st.floats(0, 1),
    mapping=st.sampled_from(list(COMPRESSED_ROWS)),
)
def test_prediction_lies_between_nothing_and_everything(
    rows, cols, batch, itemsize, rate, mapping
):
    found = predict(random_mask(rows, cols, rate, 1), itemsize, batch, mapping)
    assert 0 < found.gld_efficiency_pct <= 100
    assert found.gld_efficiency_pct <= found.nvprof_style_pct


def test_groups_of_eight_floats_load_whole_sectors():
    by_group = [
        round(predict(random_mask(256, 1024, 0.9, g), 4, 50, "gather").gld_efficiency_pct)
        for g in (1, 2, 4, 8, 16)
    ]
    assert by_group == [18, 30, 53, 100, 100]


def test_unknown_mapping_is_an_error_that_names_the_known():
    with pytest.raises(GpupruneError, match="unknown mapping 'tiles'") as raised:
        predict(np.ones((2, 2), bool), 4, 2, "tiles")
    assert "row_major, row_major_broadcast, column_major, gather" in raised.value.hint


@pytest.mark.parametrize("description", MAPPINGS.values())
def test_mappings_are_described_in_one_sentence(description):
    assert description.endswith(".")
    assert ". " not in description


def test_picture_in_the_documents_is_the_one_that_is_counted():
    drawn = runpy.run_path(str(DOCS / "draw_sectors.py"))["picture"]()
    assert drawn == (DOCS / "sectors.svg").read_text()
    assert re.findall(r"([\d.]+) %</text>", drawn) == [
        *("12.5", "25", "50", "100"),
        *("80", "80", "80", "100"),
    ]


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_mappings_are_described_in_the_documents(mapping):
    assert f"| `{mapping}`" in (DOCS / "load-efficiency.md").read_text()


# The default, the slowest, and those that pack the matrix.
@pytest.mark.parametrize("mapping", ["row_major", "thread_per_row", *OWN_KERNELS])
def test_papers_layer_at_90_percent_is_counted_whole_within_two_seconds(mapping):
    mask = random_mask(4096, 4096, 0.9, 1)
    orientation = "column" if mapping == "column_group" else "row"
    case = Case(rows=4096, cols=4096, batch=50, rate=0.9, group=1, orientation=orientation)
    start = time.perf_counter()
    found = predict_case(case, mask, mapping)
    assert time.perf_counter() - start < 2
    assert (found.error_points, found.sampled_rows) == (0.0, 4096)
