"""Every kernel for groups compiles for every GPU, within the registers that it has there."""

import re
from itertools import product
from pathlib import Path

import pytest

from gpuprune.contenders.column_group import device as column_device
from gpuprune.contenders.row_group import device as row_device

nvrtc = pytest.importorskip("cupy_backends.cuda.libs.nvrtc", exc_type=ImportError)

ROW, COLUMN = (Path(one.__file__).parent for one in (row_device, column_device))
ARCHITECTURES = ("75", "80", "86", "89", "90", "100", "120")


def variants(path, **constants):
    """List every choice of constants, with those that follow from the choice."""
    names = constants.keys()
    chosen = [dict(zip(names, values, strict=True)) for values in product(*constants.values())]
    return [(path, one | FOLLOWING.get(path.name, lambda _: {})(one)) for one in chosen]


FOLLOWING = {
    "panel.cu": lambda one: {
        "HEIGHT": row_device.HEIGHT,
        "CHUNK": row_device.chunk_of(one["DEPTH"]),
    },
    "gather.cu": lambda one: {"CHUNK": column_device.chunk_of(one["DEPTH"])},
    "fragments.cu": lambda _: {"CHUNK": column_device.FRAGMENTS_CHUNK},
}


KERNELS = [
    *variants(ROW / "panel.cu", DEPTH=(4, 8, 16), SLOTS=(1, 2), RAGGED=(0, 1)),
    *variants(ROW / "staged.cu", DEPTH=(1, 2), SLOTS=(1, 2)),
    *variants(ROW / "parts.cu"),
    *variants(COLUMN / "gather.cu", DEPTH=(1, 2, 4, 8, 16, 32), SLOTS=(1, 2), INDEX_BITS=(16, 32)),
    *variants(
        COLUMN / "fragments.cu",
        DEPTH=(8, 16, 32),
        TILES=(1, 2, 3, 4),
        INDEX_BITS=(16, 32),
        BFLOAT16=(0, 1),
    ),
]
# What users meet most: groups of 1 and 8, a batch of 50.
COMMON = [
    *variants(ROW / "panel.cu", DEPTH=(8,), SLOTS=(2,), RAGGED=(0,)),
    *variants(ROW / "staged.cu", DEPTH=(1,), SLOTS=(2,)),
    *variants(ROW / "parts.cu"),
    *variants(COLUMN / "gather.cu", DEPTH=(8,), SLOTS=(2,), INDEX_BITS=(16,)),
    *variants(COLUMN / "fragments.cu", DEPTH=(8,), TILES=(4,), INDEX_BITS=(16,), BFLOAT16=(1,)),
]
# Registers a thread, of 65536 a multiprocessor: for one block of 1024 threads or of 512, and at
# common depths for two blocks of these; panels fill the shared memory with one.
BUDGET = {"panel.cu": 128, "staged.cu": 64, "parts.cu": 64, "gather.cu": 128, "fragments.cu": 128}
COMMON_BUDGET = {**BUDGET, "gather.cu": 66, "fragments.cu": 64}


def compile_for(architecture, path, constants):
    """Compile as CuPy does, and return the registers of each kernel and its bytes of spills."""
    program = nvrtc.createProgram(path.read_text(), path.name, (), ())
    options = [f"-arch=sm_{architecture}", "-std=c++17", "--ptxas-options=-v"]
    options += [f"-D{name}={value}" for name, value in constants.items()]
    try:
        nvrtc.compileProgram(program, tuple(options))
    finally:
        log = nvrtc.getProgramLog(program)
        nvrtc.destroyProgram(program)
    assert "warning" not in log, log
    registers = [int(number) for number in re.findall(r"Used (\d+) registers", log)]
    spills = [int(number) for number in re.findall(r"(\d+) bytes spill", log)]
    assert registers, log
    return registers, spills


def needs(path):
    """Return the first architecture that has what a kernel uses."""
    return 80 if path.name == "fragments.cu" else 75


def check(architecture, kernels, budget):
    for path, constants in kernels:
        if int(architecture) < needs(path):
            continue
        registers, spills = compile_for(architecture, path, constants)
        assert max(registers) <= budget[path.name], (path.name, constants, registers)
        assert set(spills) == {0}, (path.name, constants, spills)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_common_kernels_compile_within_their_registers(architecture):
    check(architecture, COMMON, COMMON_BUDGET)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_all_kernels_compile_without_spilling(architecture):
    check(architecture, KERNELS, BUDGET)


def test_tensor_cores_are_not_asked_of_a_gpu_without():
    with pytest.raises(nvrtc.NVRTCError):
        compile_for("75", *COMMON[-1])


def test_no_file_of_kernels_is_left_out():
    files = {path for folder in (ROW, COLUMN) for path in folder.glob("*.cu")}
    assert files == {path for path, _ in KERNELS} == {path for path, _ in COMMON}
