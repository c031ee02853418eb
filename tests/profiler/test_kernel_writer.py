"""Kernels written from templates are what they are when each is laid out by itself."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprune.profiler.parse import KernelProfile, as_json
from gpuprune.report import CSV_HEADER, csv_text, kernel_writer

TEXT = st.text(alphabet='%s{}k<8>", =\né\x1b', min_size=1, max_size=8)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
KERNELS = st.builds(
    KernelProfile,
    kernel=TEXT,
    tool=st.sampled_from(["ncu", "nvprof"]),
    device=st.none() | TEXT,
    launch=st.none() | st.integers(0, 1 << 40),
    invocations=st.none() | st.integers(0, 1 << 40),
    gld_efficiency_pct=st.none() | NUMBER,
    gld_min_pct=st.none() | NUMBER,
    gld_max_pct=st.none() | NUMBER,
    gld_definition=st.sampled_from([None, "ncu", "nvprof"]),
    gst_efficiency_pct=st.none() | NUMBER,
    metrics=st.dictionaries(TEXT, NUMBER, max_size=3),
    no_value=st.dictionaries(TEXT, TEXT, max_size=2),
)


@given(st.lists(KERNELS, min_size=1, max_size=4))
def test_json_is_that_of_each_kernel_by_itself(kernels):
    write = kernel_writer("json")
    for kernel in [*kernels, *kernels]:
        assert write(kernel) == json.dumps(as_json(kernel))


@given(st.lists(KERNELS, min_size=1, max_size=4))
def test_csv_is_that_of_each_kernel_by_itself(kernels):
    write = kernel_writer("csv")
    for kernel in [*kernels, *kernels]:
        row = as_json(kernel._replace(no_value={})) | {"metrics": json.dumps(kernel.metrics)}
        assert f"{CSV_HEADER}\n{write(kernel)}" == csv_text([row])


@pytest.mark.parametrize("output_format", ["json", "csv"])
def test_thousands_of_kinds_of_kernels_are_each_written_right(output_format):
    write = kernel_writer(output_format)
    for number in range(1500):
        kernel = KernelProfile(
            *("k", "ncu", None, number, None, *[None] * 5), {f"metric_{number}": 1.0}
        )
        assert f"metric_{number}" in write(kernel)
