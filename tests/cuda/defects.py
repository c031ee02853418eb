"""Defects to plant in the kernels, which the tests must find, and a program that looks for them.

    python -m tests.cuda.defects NAME

runs the small cases with the defect of that name, or with none, and exits with 9 where a product
is wrong; sanitizers, and the operating system, end it in their own way.
"""

import sys
from dataclasses import dataclass
from itertools import product

import numpy as np

from gpuprune.backends.fake import FakeBackend
from tests.conftest import problem_of
from tests.cuda.cases import DEVICES, excess, odd_views
from tests.cuda.on_cpu import SANITIZE, LaunchError, gpu

CLEAN = "none"
SEEDS = (0, 1)
WRONG = 9  # exit code, of a program that found what it looks for

# Small, for threads are slow under sanitizers: every depth, several chunks, slabs, parts, strips.
CASES = [
    {"rows": 70, "cols": 150, "batch": 33, "group": 1, "rate": 0.3},
    {"rows": 9, "cols": 37, "batch": 34, "group": 2, "rate": 0.5},
    {"rows": 130, "cols": 700, "batch": 3, "group": 4, "rate": 0.6},
    {"rows": 70, "cols": 75, "batch": 40, "group": 40, "rate": 0.2},
    {"rows": 70, "cols": 5, "batch": 1, "group": 40, "rate": 0.5, "seed": 1},
    {"rows": 3, "cols": 9, "batch": 1, "group": 8, "rate": 0.0},
]


@dataclass(frozen=True, kw_only=True)
class Defect:
    """A text of the kernels, and what stands there instead."""

    name: str
    right: str
    wrong: str
    orientation: str = "row"
    dtype: str = "float32"


# What gives a wrong product, or none, in one order of warps or another.
IN_RESULTS = [
    Defect(
        name="a chunk is replaced while it is read (panels)",
        right="__syncwarp();  // everyone has done with the chunk that goes\n#pragma",
        wrong="\n#pragma",
    ),
    Defect(
        name="a chunk is replaced while it is read (windows)",
        right="__syncwarp();  // everyone has done with the chunk that goes\n"
        + 16 * " "
        + "chunk_w",
        wrong="chunk_w",
    ),
    Defect(
        name="steps are read before they are there",
        right="next_places;\n                __syncwarp();",
        wrong="next_places;",
    ),
    Defect(
        name="sums are added before they are there",
        right="    }\n    __syncthreads();\n\n    // Each warp",
        wrong="    }\n\n    // Each warp",
    ),
    Defect(
        name="windows are read before they are there",
        right="= operand;\n    }\n    __syncthreads();",
        wrong="= operand;\n    }",
    ),
    Defect(
        name="records are read once only",
        right="if (known == 0 && coming",
        wrong="if (coming == begin && coming",
    ),
    Defect(
        name="a record ends where it begins",
        right="starts[coming + lane + 1]",
        wrong="starts[coming + lane]",
    ),
    Defect(
        name="a row keeps its last entry only",
        right="totals[e] = *to[e];",
        wrong="totals[e] = {};",
    ),
    Defect(
        name="the last of an odd number of entries is left out",
        right="if (place < pause) {",
        wrong="if (place > pause) {",
    ),
    Defect(
        name="splits write over each other",
        right="static_cast<long long>(split) * height + to_row",
        wrong="to_row",
    ),
    Defect(name="a slice is counted for all", right="(s * blockDim.y + of)", wrong="of"),
    Defect(
        name="the last part is not added",
        right="part < count; ++part",
        wrong="part < count - 1; ++part",
    ),
    Defect(
        name="a group's second weight meets its first column",
        right="(at.at[i / DEPTH] + i % DEPTH)",
        wrong="at.at[i / DEPTH]",
    ),
    Defect(
        name="rows are taken to lie without gaps",
        right="(slab + those[u] * row_bytes)",
        wrong="(slab + those[u] * (batch * 4))",
        orientation="column",
    ),
    Defect(
        name="a strip writes rows of the next group",
        right="min(min(row + DEPTH, top + group), rows)",
        wrong="min(row + DEPTH, rows)",
        orientation="column",
    ),
    Defect(
        name="warps add sums that are not there",
        right="        }\n        __syncthreads();\n        if (warp < half) {",
        wrong="        }\n        if (warp < half) {",
        orientation="column",
    ),
    Defect(
        name="a chunk is replaced while it is read (strips)",
        right="__syncwarp();  // everyone has done with the chunk that goes\n        if (P",
        wrong="if (P",
        orientation="column",
    ),
    Defect(
        name="weights are read before they are there",
        right="            staged[lane] = next_weights;\n        }\n        __syncwarp();",
        wrong="            staged[lane] = next_weights;\n        }",
        orientation="column",
    ),
    Defect(
        name="a strip is written before it is there",
        right="put(shared);\n    }\n    __syncthreads();",
        wrong="put(shared);\n    }",
        orientation="column",
    ),
    Defect(
        name="half of the warps is forgotten",
        right="int half = warps / 2;",
        wrong="int half = warps / 4;",
        orientation="column",
    ),
    Defect(
        name="the halves of a pair are not swapped",
        right="even >> 16 | (odd & 0xffff0000u)",
        wrong="odd >> 16 | (even & 0xffff0000u)",
        orientation="column",
        dtype="float16",
    ),
    Defect(
        name="a pair beyond the batch's end is taken whole",
        right="left > 1 ? at[1] : 0",
        wrong="left > 1 ? at[0] : 0",
        orientation="column",
        dtype="float16",
    ),
    Defect(
        name="rows and columns of a tile are exchanged",
        right="const int to_column = first + i / (4 * PARTS) * 16 + i % 4 / 2;",
        wrong="const int to_column = first + i / (4 * PARTS) * 16 + i % 2;",
        orientation="column",
        dtype="bfloat16",
    ),
]

# What reads or writes where nothing is, or at an address that no GPU loads from.
IN_ADDRESSES = [
    Defect(
        name="columns beyond the matrix are read",
        right="is_there = !RAGGED || column + t < cols;",
        wrong="is_there = true;",
    ),
    Defect(
        name="columns beyond the batch are read",
        right="if (is_there && s * LANES < left) {",
        wrong="if (is_there) {",
    ),
    Defect(
        name="entries beyond the last are read",
        right="if (chunk_end + vector / (DEPTH / 4) < last_entry) {",
        wrong="{",
    ),
    Defect(
        name="rows beyond the last are written",
        right="to_row < height && first",
        wrong="first",
    ),
    Defect(
        name="steps beyond the last are read",
        right="if (from + lane < last_step) {",
        wrong="{",
    ),
    Defect(
        name="a window is larger than its memory",
        right="place < window; place",
        wrong="place < window + 2 * warps; place",
    ),
    Defect(
        name="the batch's last columns are read beyond",
        right="if (first + s * LANES < batch) {\n                    operands",
        wrong="{\n                    operands",
        orientation="column",
    ),
    Defect(
        name="sums are kept for one warp too many",
        right="put(shared + (warp - half) * (DEPTH",
        wrong="put(shared + warp * (DEPTH",
        orientation="column",
    ),
    Defect(
        name="a pair is loaded from an odd address",
        right="\n                           row_bytes % 4 == 0 &&",
        wrong="",
        orientation="column",
        dtype="float16",
    ),
]

# What only is right because of the order in which the machine happens to run.
IN_ORDER = [
    Defect(
        name="entries are read before they are there",
        right="        __syncwarp();\n        chunk_end",
        wrong="        chunk_end",
    ),
    Defect(
        name="sums are replaced while they are read",
        right="        }\n        __syncthreads();\n    }\n\n    // All",
        wrong="        }\n    }\n\n    // All",
        orientation="column",
    ),
]

DEFECTS = {defect.name: defect for defect in (*IN_RESULTS, *IN_ADDRESSES, *IN_ORDER)}


def find(defect: Defect, seeds: tuple[int, ...]) -> str | None:
    """Return what shows that a product is wrong, None if nothing does."""
    planted = 0
    for values, seed in product(CASES, seeds):
        trial = problem_of(
            FakeBackend(), **values, orientation=defect.orientation, dtype=defect.dtype
        )
        problems = [("as it is", trial.problem)]
        if seed == 0 and SANITIZE != "thread":  # views change no order
            problems += odd_views(trial.problem, np)
        for name, problem in problems:
            device = gpu(
                seed,
                defect=(defect.right, defect.wrong),
                shared_bytes=48 << 10,
                multiprocessors=1 if seed else 12,  # long shares, or many
            )
            try:
                prepared = DEVICES[defect.orientation].prepare(problem, device)
                wrong = excess(FakeBackend(), problem, prepared.multiply())
            except LaunchError as error:
                return str(error)
            planted += device.xp.defects
            if not wrong <= 1:
                return f"{values}, {name}, order {seed}: {wrong:.1e} times what is allowed"
    assert planted, "the text is in no kernel"
    return None


def main(name: str) -> int:
    """Look for one defect, or run all kernels as they are."""
    if name != CLEAN:
        found = [find(DEFECTS[name], SEEDS)]
    else:
        as_it_is = {"name": CLEAN, "right": "constexpr int LANES", "wrong": "constexpr int LANES"}
        kinds = [("row", "float32"), ("column", "float32"), ("column", "bfloat16")]
        found = [
            find(Defect(**as_it_is, orientation=orientation, dtype=dtype), SEEDS)
            for orientation, dtype in kinds
        ]
    sys.stdout.write("\n".join(filter(None, found)))
    return WRONG if any(found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
