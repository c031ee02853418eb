"""Names of marks: beside them, inside the frame, none on another."""

import numpy as np
import pytest

from gpuprune.plots.placing import HEADROOM, Label, Mark, place

WIDTH, HEIGHT = 400, 240
ABOVE = -13.0


def named(*places):
    marks = [Mark(x=x, y=y, name=name) for x, y, name in places]
    return place(marks, WIDTH, HEIGHT, rule_x=20)


def test_a_name_stands_above_its_mark():
    assert named((200, 100, "8")) == [Label(text="8", dx=0, dy=ABOVE)]


def test_a_mark_on_the_line_has_its_name_beside_the_line():
    (label,) = named((20, 100, "unpruned"))
    assert (label.dx, label.dy) == (pytest.approx(8 * 6.7 / 2 + 4), ABOVE)


def test_below_the_upper_edge_a_name_stands_under_its_mark_unless_it_has_its_room():
    assert [label.dy for label in named((200, 10, "8"), (300, HEADROOM, "16"))] == [13, ABOVE]


def test_marks_that_cover_each_other_share_one_name_at_the_uppermost():
    assert named((200, 106, "8"), (203, 100, "16"), (300, 100, "1"), (198, 112, "32")) == [
        Label(text=""),
        Label(text="8, 16, 32", dx=0, dy=ABOVE),
        Label(text="1", dx=0, dy=ABOVE),
        Label(text=""),
    ]


@pytest.mark.parametrize("seed", range(20))
def test_no_name_lies_on_another_or_outside(seed):
    random = np.random.default_rng(seed)
    marks = [
        Mark(x=x, y=y, name=str(2**i))
        for i, (x, y) in enumerate(random.uniform([40, HEADROOM], [380, 220], (8, 2)))
    ]
    boxes = [
        (mark.x + label.dx, mark.y + label.dy, 6.7 * len(label.text.replace(", ", "")))
        for mark, label in zip(marks, place(marks, WIDTH, HEIGHT, rule_x=20), strict=True)
        if label.text
    ]
    for nth, (x, y, width) in enumerate(boxes):
        assert width / 2 <= x <= WIDTH - width / 2
        assert 6 <= y <= HEIGHT - 6
        for other_x, other_y, other_width in boxes[:nth]:
            assert abs(x - other_x) >= (width + other_width) / 2 or abs(y - other_y) >= 12
