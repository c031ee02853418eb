"""The rate and the group sizes that a mask already has."""

import numpy as np
import pytest
from numpy.typing import NDArray

from gpuprune.weights.structure import Structure, detect_structure


def mask_of_groups(
    rows: int, cols: int, group: int, rate: float, seed: int = 0
) -> NDArray[np.bool_]:
    """Keep groups of neighbouring columns at random, exactly the share 1 - rate of them."""
    groups = -(-cols // group)
    kept = np.zeros(rows * groups, bool)
    kept[: round((1 - rate) * kept.size)] = True
    np.random.default_rng(seed).shuffle(kept)
    return np.repeat(kept.reshape(rows, groups), group, axis=1)[:, :cols]


@pytest.mark.parametrize("rate", [0.8, 0.9, 0.95, 0.98])
@pytest.mark.parametrize("group", [1, 2, 3, 4, 7, 8, 16, 32, 64])
@pytest.mark.parametrize("cols", [512, 500])
def test_groups_are_found_along_rows_and_down_columns(cols: int, group: int, rate: float) -> None:
    kept = mask_of_groups(256, cols, group, rate)
    found = detect_structure([kept])
    assert found == Structure(rate=1 - kept.sum() / kept.size, row_group=group, column_group=1)
    assert detect_structure([kept.T]) == Structure(
        rate=found.rate, row_group=1, column_group=group
    )
    assert detect_structure([np.asfortranarray(kept)]) == found


@pytest.mark.parametrize("group", range(1, 65))
def test_every_group_to_64_is_found_in_a_small_layer(group: int) -> None:
    kept = mask_of_groups(96, 384, group, 0.9)
    assert detect_structure([kept]).row_group == group


@pytest.mark.parametrize("group", [4, 8, 32])
def test_stray_zeros_inside_kept_groups_do_no_harm(group: int) -> None:
    kept = mask_of_groups(256, 512, group, 0.9)
    places = np.flatnonzero(kept)
    count = places.size // (150 * group)  # two transitions each: 0.7 % of them
    stray = np.random.default_rng(1).choice(places, size=count, replace=False)
    kept.flat[stray] = False
    assert detect_structure([kept]).row_group == group


def test_more_than_one_percent_of_strays_is_no_group() -> None:
    kept = np.zeros((1, 2002), bool)
    kept[0].reshape(1001, 2)[::2] = True  # 1,000 transitions, all at even columns
    assert detect_structure([kept]).row_group == 2
    for column in range(0, 20, 4):
        kept[0, column] = False  # moves one transition to an odd column; the first adds one
    assert detect_structure([kept]).row_group == 2
    for column in range(20, 60, 4):
        kept[0, column] = False
    assert detect_structure([kept]).row_group == 1


@pytest.mark.parametrize(
    ("rows", "row_group", "column_group"),
    [
        (["...."], None, None),
        (["####"], None, None),
        (["#"], None, None),
        (["####", "...."], None, 1),
        (["##..", "##.."], 2, None),
        (["#...", "####"], 1, 1),
        (["......", "......", "######", "######"], None, 2),
        # The paper's example: three groups of two, one of them beside removed ones.
        (["....", "####", "....", "..##"], 2, 1),
        # A shorter last group, which is the only one kept.
        (["...#"], 3, None),
        (["........##", "....####..", "##########"], 4, 1),
        # Three transitions that 2 explains and 4 does not.
        (["..##....", "....##.."], 2, 1),
        # Both 2 and 4 explain these: the larger is told.
        (["####....", "....####"], 4, 1),
    ],
)
def test_small_masks_made_by_hand(
    rows: list[str], row_group: int | None, column_group: int | None
) -> None:
    kept = np.array([[letter == "#" for letter in row] for row in rows])
    found = detect_structure([kept])
    assert found == Structure(rate=1 - kept.mean(), row_group=row_group, column_group=column_group)
    assert detect_structure([kept.T]) == Structure(
        rate=found.rate, row_group=column_group, column_group=row_group
    )


def test_blocks_have_both_groups() -> None:
    small = mask_of_groups(64, 32, 1, 0.9)
    kept = np.repeat(np.repeat(small, 4, axis=0), 16, axis=1)
    found = detect_structure([kept])
    assert (found.row_group, found.column_group) == (16, 4)


@pytest.mark.parametrize("step", [1, 2, 7, 999, 3000])
def test_a_mask_in_blocks_of_rows_has_the_structure_of_the_whole(step: int) -> None:
    kept = np.kron(mask_of_groups(600, 100, 1, 0.9), np.ones((5, 7), bool))
    blocks = (kept[start : start + step] for start in range(0, len(kept), step))
    assert detect_structure(blocks) == Structure(rate=0.9, row_group=7, column_group=5)
