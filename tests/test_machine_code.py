"""What `benchmarks/kernel_instructions.py` reads from machine code."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.machine_code import Code, count, loops, parse

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "kernel_instructions.py"

# A pass has a load, one that a branch may leap over, and a loop that multiplies; behind the exit
# lies a way around that comes back.
LISTING = """
.text.multiply:
        /*0000*/                   S2R R0, SR_TID.X ;
.L_x_1:
        /*0010*/              @!P0 LDG.E.64.CONSTANT R2, desc[UR4][R8.64] ;
        /*0020*/               @P1 BRA `(.L_x_2) ;
        /*0030*/                   LDG.E R6, desc[UR4][R8.64+0x80] ;
        /*0040*/                   IADD3 R6, R6, 0x1, RZ ;
.L_x_2:
        /*0050*/                   LDS.128 R12, [R7+0x10] ;
.L_x_3:
        /*0060*/                   FFMA R20, R12.reuse, R15, R20 ;
        /*0070*/                   FFMA R21, R13, R2, R21 ;
        /*0080*/               @P2 BRA `(.L_x_3) ;
        /*0090*/                   STS.64 [R7], R20 ;
        /*00a0*/                   ISETP.GE.AND P0, PT, R0, R3, PT ;
        /*00b0*/              @!P3 BRA.U `(.L_x_1) ;
        /*00c0*/                   EXIT ;
.L_x_4:
        /*00d0*/                   BRA `(.L_x_1) ;
"""
LEAPT = """        /*0008*/               @P4 BRA `(.L_x_0) ;
        /*000c*/                   LDG.E R30, desc[UR4][R8.64] ;
        /*000e*/                   LDG.E R31, desc[UR4][R8.64] ;
.L_x_0:
"""
LATENCIES = {"LDG": 600, "LDS": 30, "other": 5}


def code_of(listing):
    inner, around = loops(*parse(listing))
    return Code(registers=32, spilled_bytes=0, inner=inner, around=around)


def counted_by(listing, address, counter, awaited=()):
    """Add to an instruction of a listing what its machine code says of counters."""
    upper = counter << 46 | sum(1 << 52 + number for number in awaited)
    before, found, after = listing.partition(f"/*{address}*/")
    line, end, rest = after.partition("\n")
    return f"{before}{found}{line}  /* 0x0000000000000000 */{end}  /* {upper:#018x} */\n{rest}"


def test_the_inner_loop_is_what_a_branch_backwards_repeats():
    code = code_of(LISTING)
    assert [[hex(one.address) for one in loop] for loop in code.inner] == [
        ["0x60", "0x70", "0x80"]
    ]
    assert count(code.inner[0]) == {"multiply": 2, "other": 1}


def test_a_pass_has_all_inner_loops_that_the_compiler_has_unrolled():
    begin, end = LISTING.index(".L_x_3:"), LISTING.index("        /*0090*/")
    again = LISTING[begin:end].replace(".L_x_3", ".L_x_5").replace("/*00", "/*10")
    code = code_of(LISTING[:end] + again + LISTING[end:])
    assert [loop[0].address for loop in code.inner] == [0x60, 0x1060]
    assert [len(piece) for piece in code.around] == [5, 0, 3]
    assert code.cycles_alone(9, LATENCIES) - code.cycles_alone(8, LATENCIES) >= 2 * 3


def test_of_branches_forwards_only_that_around_most_loads_is_not_taken():
    with_more = LISTING.replace(".L_x_1:\n", ".L_x_1:\n" + LEAPT)
    assert [hex(one.address) for one in code_of(LISTING).around[0]][2:4] == ["0x30", "0x40"]
    addresses = {hex(one.address) for piece in code_of(with_more).around for one in piece}
    assert {"0xc", "0xe", "0x50"} <= addresses
    assert not {"0x30", "0x40"} & addresses


def test_registers_that_an_instruction_writes_are_told_from_those_that_it_reads():
    read = {one.address: (one.writes, one.reads) for one in parse(LISTING)[0]}
    assert read[0x10] == (("R2", "R3"), ("P0", "UR4", "R8", "R9"))
    assert read[0x50] == (("R12", "R13", "R14", "R15"), ("R7",))
    assert read[0x90] == ((), ("R7", "R20", "R21"))
    assert read[0xA0] == (("P0",), ("R0", "R3"))


def test_a_warp_alone_waits_for_what_it_loads_only_where_it_is_read():
    chained = LISTING.replace("R6, desc[UR4][R8.64+0x80]", "R6, desc[UR4][R2.64+0x80]")
    assert 600 < code_of(LISTING).cycles_alone(1, LATENCIES) < 650  # both are on their way at once
    assert 1200 < code_of(chained).cycles_alone(1, LATENCIES) < 1250


def test_a_warp_that_waits_for_a_counter_waits_for_all_that_it_counts():
    slow = LISTING.replace("LDG.E R6", "LDG.E R30")  # which nothing in the pass reads
    counted = counted_by(counted_by(slow.replace("LDG.E.64", "LDC.64"), "0010", 4), "0030", 5)
    apart, shared = (
        code_of(counted_by(counted, "0070", 7, awaited)).cycles_alone(1, LATENCIES | {"LDC": 200})
        for awaited in ([4], [4, 5])
    )
    assert 200 < apart < 600 < shared


def test_a_missing_disassembler_is_one_error_that_says_what_to_install(tmp_path):
    pytest.importorskip("cupy_backends.cuda.libs.nvrtc", exc_type=ImportError)
    asked = [sys.executable, SCRIPT, "--side", "64", "--groups", "8", "--rates", "0.5"]
    if shutil.which("nvdisasm"):
        pytest.skip("nvdisasm is installed")
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        pytest.skip("nvdisasm is installed as a package")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "Error: there is no nvdisasm, which reads the machine code",
        "Hint: python -m pip install nvidia-cuda-nvdisasm",
    ]
