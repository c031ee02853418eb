"""The mappings whose load efficiency is predicted: which loads the warps of a kernel issue."""

DEFAULT_MAPPING = "row_major"

# Row splitting, the first, is that of C. Yang, A. Buluc, J. D. Owens: Design Principles for Sparse
# Matrix Multiplication on the GPU, Euro-Par 2018.
MAPPINGS = {
    "row_major": "A warp takes a row and 32 columns of a row-major B: its lanes read 32 non-zeros "
    "at a time, share them by shuffles, and read a row of B together.",
    "row_major_broadcast": "A warp takes a row and 32 columns of a row-major B: for each non-zero "
    "all its lanes read index and value from one address, then a row of B together.",
    "column_major": "A warp takes a row and 32 columns of a column-major B: its lanes read 32 "
    "non-zeros at a time, share them by shuffles, and read a row of B from 32 columns.",
    "gather": "A warp takes a row, its lanes 32 non-zeros at a time, and gathers from one column "
    "of a column-major B after the other.",
    "stream": "A warp takes a row, its lanes 32 non-zeros at a time; B is read by the texture "
    "path, so that only row pointers, indices and values count.",
    "half_warp_stream": "A warp takes two rows, its lanes 16 non-zeros of each at a time; B is "
    "read by the texture path, so that only row pointers, indices and values count.",
    "thread_per_row": "A lane takes a row, non-zero by non-zero, and reads a row of a row-major B "
    "element by element.",
}
