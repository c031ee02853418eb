"""Write docs/sectors.svg, the picture of docs/load-efficiency.md: python docs/draw_sectors.py."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gpuprune.profiler.loads import SECTOR_BYTES, LoadEfficiency, count_loads

TARGET = Path(__file__).with_name("sectors.svg")

GROUPS = (1, 2, 4, 8)
FLOAT = 4  # bytes
PER_SECTOR = SECTOR_BYTES // FLOAT
GATHERED = (10 * PER_SECTOR, 8)  # elements of B that are shown, and how many are asked for: 90 %
STREAMED = (10 * PER_SECTOR, 32)
STARTS = {1: 19, 2: 18, 4: 20, 8: 16}  # where in the values a row begins: a multiple of the group

CELL, HEIGHT, GAP, LEFT, TOP = 9, 20, 5, 52, 24  # pixels
ROW = HEIGHT + 14
ASKED, LOADED, IDLE = "#1f5fa8", "#f2c14e", "#ececec"
STYLE = "font-family='DejaVu Sans, Verdana, sans-serif' font-size='12' fill='#222'"


def picture() -> str:
    """Return the drawing; its percentages are counted from what it shows."""
    parts = [_title(0, "Elements of one column of B that the lanes of a warp gather, 8 in 80")]
    for line, group in enumerate(GROUPS):
        parts += _row(line, 0, f"g={group}", _gathered(group), GATHERED[0])
    below = TOP + len(GROUPS) * ROW + 16
    parts.append(_title(below, "Values of a row that 32 lanes read, from where the row begins"))
    for line, group in enumerate(GROUPS):
        wanted = STARTS[group] + np.arange(STREAMED[1])
        parts += _row(line, below, f"g={group}", wanted, STREAMED[0])
    legend = below + TOP + len(GROUPS) * ROW + 8
    parts += _legend(legend)
    width = LEFT + GATHERED[0] * CELL + GATHERED[0] // PER_SECTOR * GAP + 64
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {legend + 28}' {STYLE}>"
    background = f"<rect width='{width}' height='{legend + 28}' fill='white'/>"
    return "\n".join([head, background, *parts, "</svg>\n"])


def _gathered(group: int) -> np.ndarray:
    """Draw groups at random places; of single weights no two in one sector, as is likely."""
    shown, wanted = GATHERED
    random = np.random.default_rng(4)
    sectors = np.sort(random.permutation(shown // PER_SECTOR)[: wanted // group])
    places = random.integers(0, PER_SECTOR // group, len(sectors)) * group
    return (sectors * PER_SECTOR + places)[:, None] + np.arange(group)


def _row(line: int, below: int, label: str, wanted: np.ndarray, shown: int) -> Iterator[str]:
    top = below + TOP + line * ROW
    asked = set(wanted.ravel().tolist())
    loaded = {element // PER_SECTOR for element in asked}
    percent = LoadEfficiency.of(count_loads(wanted.reshape(1, -1) * FLOAT, FLOAT)).ncu_pct
    yield f"<text x='6' y='{top + 15}'>{label}</text>"
    for element in range(shown):
        sector = element // PER_SECTOR
        fill = ASKED if element in asked else LOADED if sector in loaded else IDLE
        x = LEFT + element * CELL + sector * GAP
        yield f"<rect x='{x}' y='{top}' width='{CELL - 1}' height='{HEIGHT}' fill='{fill}'/>"
    end = LEFT + shown * CELL + shown // PER_SECTOR * GAP
    yield f"<text x='{end + 6}' y='{top + 15}' font-weight='bold'>{percent:.4g} %</text>"


def _title(top: int, text: str) -> str:
    return f"<text x='6' y='{top + 15}'>{text}</text>"


def _legend(top: int) -> Iterator[str]:
    words = (
        (ASKED, "asked for"),
        (LOADED, "loaded with it, for nothing"),
        (IDLE, "not loaded; each block of 8 floats is a sector of 32 bytes"),
    )
    x = LEFT
    for fill, text in words:
        yield f"<rect x='{x}' y='{top}' width='12' height='12' fill='{fill}'/>"
        yield f"<text x='{x + 18}' y='{top + 11}'>{text}</text>"
        x += 40 + 7 * len(text)


if __name__ == "__main__":
    TARGET.write_text(picture(), encoding="utf-8")
