"""The mappings whose load efficiency is predicted: which loads the warps of a kernel issue."""

DEFAULT_MAPPING = "row_major"

# Row splitting, the first, is that of C. Yang, A. Buluc, J. D. Owens: Design Principles for Sparse
# Matrix Multiplication on the GPU, Euro-Par 2018.
COMPRESSED_ROWS = {
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

# gpuprune's own, of which the contenders of the same names are a launch.
OWN_KERNELS = {
    "row_group": "The kernels of row_group as an H200 launches them (132 multiprocessors, 227 KiB "
    "of shared memory a block): groups of 1 and 2 wait for windows of a row-major B in shared "
    "memory, larger ones load 4 to 32 rows of B for 64 rows of weights, and the weights are read "
    "16 bytes a lane, side by side.",
    "column_group": "The kernel of column_group as an H200 launches it (132 multiprocessors, 227 "
    "KiB of shared memory a block): for each column that a strip of rows keeps, a warp reads "
    "indices and weights with all lanes from one address, up to 16 bytes at a time, and a row of "
    "a row-major B together; in 16 bits, on tensor cores, it takes 16 such columns at a time, 8 "
    "bytes of weights a lane side by side, and 16 elements of each of 4 rows of B.",
}

MAPPINGS = COMPRESSED_ROWS | OWN_KERNELS

COMPRESSED_CONTENDER = "csr"  # what the mappings of compressed rows are models of


def mapping_of(contender: str, asked: str) -> str | None:
    """Tell which mapping a contender is predicted by, None if by none.

    The kernels of gpuprune have each their own; `asked` is for the product in compressed rows.
    """
    if contender in OWN_KERNELS:
        return contender
    compressed = contender == COMPRESSED_CONTENDER and asked in COMPRESSED_ROWS
    return asked if compressed else None
