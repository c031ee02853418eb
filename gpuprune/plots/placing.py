"""Where the names of marks stand, so that none lies on another, on a mark, or outside."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_MARK = 5.0  # points from the middle of a mark to its edge
_LETTER, _COMMA, _LINE = 6.7, 3.4, 12.0  # points that a name of 12 takes in width and height
_GAP = 2.0
_SPACE = 14.0  # between two names, which else read as one

HEADROOM = 2 * _MARK + _GAP + _LINE  # above a mark, for its name


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A mark and its name; x and y are points from the upper left corner of the frame."""

    x: float
    y: float
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A name, and where its middle stands from that of its mark; empty where another has it."""

    text: str
    dx: float = 0.0
    dy: float = 0.0


@dataclass(frozen=True, slots=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "_Box") -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


def place(marks: Sequence[Mark], width: float, height: float, rule_x: float) -> list[Label]:
    """Name marks in a frame of `width` by `height` that a vertical line crosses at `rule_x`.

    Marks that cover each other share a name, such as "8, 16", at the uppermost of them. A name
    stands above its mark, or else at another side of it that is free.
    """
    labels = [Label(text="")] * len(marks)
    frame = _Box(0, 0, width, height)
    taken = [_around(mark.x, mark.y, 2 * _MARK, 2 * _MARK) for mark in marks]
    taken.append(_Box(rule_x - _GAP, 0, rule_x + _GAP, height))
    named = [(", ".join(marks[index].name for index in own), own) for own in _clusters(marks)]
    # The widest first, for which there is the least room.
    for text, cluster in sorted(named, key=lambda one: _width(one[0]), reverse=True):
        first = min(cluster, key=lambda index: marks[index].y)
        x, y = marks[first].x, marks[first].y
        across = _width(text)
        sides = _sides(across, max(marks[index].y for index in cluster) - y)
        boxes = [_around(x + dx, y + dy, across, _LINE) for dx, dy in sides]
        best = min(range(len(sides)), key=lambda i: _faults(boxes[i], taken, frame))
        labels[first] = Label(text=text, dx=sides[best][0], dy=sides[best][1])
        taken.append(_around(x + sides[best][0], y + sides[best][1], across + _SPACE, _LINE))
    return labels


def _clusters(marks: Sequence[Mark]) -> Iterator[list[int]]:
    """Yield the marks that cover each other, each with its nearest, in the order they came."""
    left = list(range(len(marks)))
    while left:
        cluster = [left.pop(0)]
        for inside in cluster:  # which grows
            near = [i for i in left if _cover(marks[inside], marks[i])]
            cluster += near
            left = [i for i in left if i not in near]
        yield sorted(cluster)


def _cover(one: Mark, other: Mark) -> bool:
    return abs(one.x - other.x) < 2 * _MARK and abs(one.y - other.y) < 2 * _MARK


def _sides(across: float, depth: float) -> list[tuple[float, float]]:
    """List the ways from the uppermost mark to a name: above all, below all, beside; best first.

    A name so wide is above and below also to the right and the left of a line through the mark.
    """
    above, below = -(_MARK + _GAP + _LINE / 2), depth + _MARK + _GAP + _LINE / 2
    clear, beside = across / 2 + 2 * _GAP, across / 2 + _MARK + _GAP
    sides = [(dx, dy) for dy in (above, below) for dx in (0.0, clear, -clear)]
    return [*sides, (beside, 0.0), (-beside, 0.0)]


def _width(text: str) -> float:
    return sum(_COMMA if letter in ", " else _LETTER for letter in text)


def _around(x: float, y: float, width: float, height: float) -> _Box:
    return _Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _faults(box: _Box, taken: Sequence[_Box], frame: _Box) -> int:
    outside = (
        box.left < frame.left
        or box.top < frame.top
        or box.right > frame.right
        or box.bottom > frame.bottom
    )
    return outside + sum(box.meets(other) for other in taken)
