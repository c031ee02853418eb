"""Machine code of a CUDA kernel: compiled and disassembled, its loops, and what a pass takes."""

import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from gpuprune.errors import GpupruneError

KINDS = ("multiply", "LDS", "STS", "LDG", "SHFL", "integer", "other")
_MULTIPLY = {"FFMA", "HMMA"}
_INTEGER = re.compile(r"I[A-Z]|LEA|LOP3|SHF|PRMT|VI|MOV|CS2R|SEL|P2R|R2P|U[A-Z]")

_LINE = re.compile(r"\s*/\*([0-9a-f]+)\*/\s+(?:@(!?U?P\w+)\s+)?([A-Z][\w.]*)\s*(.*?)\s*;")
_LABEL = re.compile(r"(\.L\w+):")
_CONTROL = re.compile(
    r"\s*/\* 0x([0-9a-f]{16}) \*/\s*$"
)  # of the instruction above, its upper half
_REGISTER = re.compile(r"\b(U?[RP]\d+)\b(?:\.reuse)?(\.64)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction of a warp."""

    address: int
    opcode: str  # with its modifiers, such as "LDG.E.128.CONSTANT"
    writes: tuple[str, ...]  # registers and predicates
    reads: tuple[str, ...]
    is_guarded: bool = False  # by a predicate
    target: str | None = None  # the label that it branches to
    counter: int | None = None  # which says that its results are on their way
    awaited: tuple[int, ...] = ()  # counters that it waits for, each until nothing is on its way

    @property
    def kind(self) -> str:
        """Sort the instruction, as the columns of the tables are."""
        base = self.opcode.partition(".")[0]
        if base in _MULTIPLY:
            return "multiply"
        if base in KINDS:
            return base
        return "integer" if _INTEGER.match(base) else "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What a kernel is compiled to."""

    registers: int
    spilled_bytes: int
    inner: Sequence[Sequence[Instruction]]  # innermost loops that multiply, in their order
    around: Sequence[
        Sequence[Instruction]
    ]  # a pass of the loop around them: before, between, after

    @property
    def per_iteration(self) -> int:
        """Count the multiplications of an iteration of the inner loop."""
        return count(self.inner[0])["multiply"]

    @property
    def overhead(self) -> int:
        """Count the instructions of a pass besides those of inner loops."""
        return sum(map(len, self.around))

    def cycles_alone(self, iterations: int, latencies: Mapping[str, int]) -> int:
        """Predict how long a warp alone takes for a pass of the outer loop, in cycles.

        A pass has some iterations of each inner loop. The warp issues one instruction a cycle, in
        order, and waits where one reads what is not there yet; or, where the machine code names
        a counter, where it waits for that, and for whatever else it counts.
        """
        one = [*self.around[0]]
        for loop, after in zip(self.inner, self.around[1:], strict=True):
            one += [*loop] * iterations + [*after]
        ready: dict[str | int, int] = {}  # by register and by counter
        now, ends = 0, []
        for _ in range(3):  # of which the first has nothing loaded ahead
            for instruction in one:
                needed = (*instruction.reads, *instruction.awaited)
                now = max([now + 1, *(ready.get(name, 0) for name in needed)])
                base = instruction.opcode.partition(".")[0]
                there = now + latencies.get(base, latencies["other"])
                if instruction.counter is not None:
                    ready[instruction.counter] = max(there, ready.get(instruction.counter, 0))
                else:
                    ready |= dict.fromkeys(instruction.writes, there)
            ends.append(now)
        return ends[2] - ends[1]


def count(instructions: Iterable[Instruction]) -> Counter[str]:
    """Count instructions by kind."""
    return Counter(one.kind for one in instructions)


def compile_kernel(source: Path, architecture: str, constants: Mapping[str, int]) -> Code:
    """Compile a file with one kernel for an architecture such as "90", and read what came out.

    Raises GpupruneError where the disassembler is missing, or the file is no such kernel.
    """
    from cupy_backends.cuda.libs import nvrtc

    disassembler = _disassembler()
    program = nvrtc.createProgram(source.read_text(encoding="utf-8"), source.name, (), ())
    options = [f"-arch=sm_{architecture}", "-std=c++17", "--ptxas-options=-v"]
    options += [f"-D{name}={value}" for name, value in constants.items()]
    try:
        nvrtc.compileProgram(program, tuple(options))
        # CuPy takes the last byte for the end of a text, and leaves it out.
        binary = nvrtc.getCUBIN(program) + b"\0"
        log = nvrtc.getProgramLog(program)
    except nvrtc.NVRTCError as error:
        raise GpupruneError(
            f"{source.name} does not compile for sm_{architecture}: {error}",
            hint="take an architecture that the kernel has, such as --architecture 90",
        ) from None
    finally:
        nvrtc.destroyProgram(program)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        command = [disassembler, "-c", "-hex", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    inner, around = loops(*parse(text))
    return Code(
        registers=max(int(number) for number in re.findall(r"Used (\d+) registers", log)),
        spilled_bytes=sum(int(number) for number in re.findall(r"(\d+) bytes spill", log)),
        inner=inner,
        around=around,
    )


def parse(listing: str) -> tuple[list[Instruction], dict[str, int]]:
    """Read a listing: its instructions, and the number of the one that each label is before."""
    instructions: list[Instruction] = []
    labels = {}
    for line in listing.splitlines():
        if found := _LABEL.match(line):
            labels[found[1]] = len(instructions)
        elif found := _LINE.match(line):
            address, guard, opcode, operands = found.groups()
            instructions.append(_instruction(int(address, 16), guard, opcode, operands))
        elif found := _CONTROL.match(line):
            instructions[-1] = _controlled(instructions[-1], int(found[1], 16))
    return instructions, labels


def loops(
    instructions: Sequence[Instruction], labels: Mapping[str, int]
) -> tuple[Sequence[Sequence[Instruction]], Sequence[Sequence[Instruction]]]:
    """Return the inner loops, and the pieces of a pass of the outermost loop around them.

    A loop is what a branch backwards repeats. Of those that multiply and have no such loop inside,
    an inner loop is one with most multiplications, and of such the shortest, which is for the
    operands that most people have; and those with as many in the loop around it, for what the
    compiler has unrolled. Behind the last exit lie the ways around
    where a warp diverged, which come back to the code before it.
    """
    last_exit = max(number for number, one in enumerate(instructions) if one.opcode == "EXIT")
    spans = [
        (labels[one.target], end + 1)
        for end, one in enumerate(instructions[:last_exit])
        if one.target in labels and labels[one.target] <= end
    ]
    multiplying = {span: count(instructions[slice(*span)])["multiply"] for span in spans}
    innermost = [
        span
        for span in spans
        if multiplying[span]
        and not any(multiplying[other] and _within(other, span) for other in spans)
    ]
    if not innermost:
        raise GpupruneError(
            "no loop of the kernel multiplies", hint="look at what nvdisasm prints of it"
        )
    inner = max(innermost, key=lambda span: (multiplying[span], span[0] - span[1]))
    first, last = max(
        (span for span in spans if span == inner or _within(inner, span)),
        key=lambda span: span[1] - span[0],
    )
    spent = sorted(
        span
        for span in innermost
        if multiplying[span] == multiplying[inner]
        and (span == inner or _within(span, (first, last)))
    )
    visited = _one_pass(instructions, labels, (first, last), spent)
    ends = [first, *(end for _, end in spent)]
    begins = [*(begin for begin, _ in spent), last]
    around = [
        [instructions[number] for number in visited if end <= number < begin]
        for end, begin in zip(ends, begins, strict=True)
    ]
    return [instructions[slice(*span)] for span in spent], around


def _one_pass(
    instructions: Sequence[Instruction],
    labels: Mapping[str, int],
    outer: tuple[int, int],
    inner: Sequence[tuple[int, int]],
) -> list[int]:
    """Number the instructions of a pass of the outer loop.

    It leaves out what a branch leaps over, unless that has an inner loop or as many loads as any:
    the others come once in many passes.
    """
    first, last = outer
    leaps = {
        number: labels[one.target]
        for number, one in enumerate(instructions[:last])
        if number >= first
        and one.is_guarded
        and number < labels.get(one.target, 0) <= last
        and not any(
            number < begin < labels[one.target] or begin <= number < end for begin, end in inner
        )
    }

    def loads(number: int) -> int:
        return count(instructions[number : leaps[number]])["LDG"]

    most = max(map(loads, leaps), default=0)

    def is_rare(number: int) -> bool:
        return number in leaps and loads(number) < max(most, 1)

    visited, number = [], first
    while number < last:
        visited.append(number)
        number = leaps[number] if is_rare(number) else number + 1
    return visited


def _within(span: tuple[int, int], other: tuple[int, int]) -> bool:
    return span != other and other[0] <= span[0] and span[1] <= other[1]


def _instruction(address: int, guard: str | None, opcode: str, text: str) -> Instruction:
    """Tell what an instruction writes from what it reads: results come first."""
    base, *modifiers = opcode.split(".")
    if base == "BRA":
        label = re.search(r"`\((\.L\w+)\)", text)
        target = label[1] if label else None
    else:
        target = None
    operands = [] if base in ("BRA", "BSSY", "BSYNC") else re.split(r",\s*", text)
    results = 0
    if base not in ("STS", "STG", "ST"):
        while results < len(operands) and re.fullmatch(r"U?P[T\d]\w*", operands[results]):
            results += 1
        if not base.endswith("SETP") and results < len(operands):
            results += 1
            while results < len(operands) and re.fullmatch(r"U?P\d", operands[results]):
                results += 1
    writes = [name for one in operands[:results] for name in _names(one, _width(base, modifiers))]
    reads = [] if guard is None else [guard.lstrip("!")]
    for number, one in enumerate(operands[results:]):
        stored = base in ("STS", "STG", "ST") and number == 1
        matrix = {0: 4, 1: 2, 2: 4}.get(number, 1) if base == "HMMA" else 1
        reads += _names(one, _width(base, modifiers) if stored else matrix)
    return Instruction(
        address=address,
        opcode=opcode,
        writes=tuple(writes),
        reads=tuple(reads),
        is_guarded=guard is not None,
        target=target,
    )


def _controlled(instruction: Instruction, upper: int) -> Instruction:
    """Add what the upper half of an instruction says of counters, from compute capability 7.0 on.

    Bits 110 to 112 name the counter of its results, 7 for none; bits 116 to 121 those it awaits.
    """
    counter, awaited = upper >> 46 & 7, upper >> 52 & 63
    return replace(
        instruction,
        counter=counter if counter < 7 else None,
        awaited=tuple(number for number in range(6) if awaited >> number & 1),
    )


def _width(base: str, modifiers: Sequence[str]) -> int:
    """Return how many registers an instruction writes, or stores."""
    if base == "HMMA" or "128" in modifiers:
        return 4
    return 2 if base == "CS2R" or {"64", "WIDE"} & set(modifiers) else 1


def _names(operand: str, width: int) -> list[str]:
    """List the registers of an operand, which begins at the one that it names."""
    names = []
    for name, is_pair in _REGISTER.findall(operand):
        letters, number = re.fullmatch(r"(\D+)(\d+)", name).groups()
        registers = 2 if is_pair else 1 if letters.endswith("P") else width
        names += [f"{letters}{int(number) + i}" for i in range(registers)]
    return names


def _disassembler() -> str:
    """Find `nvdisasm`, on the path or where its package puts it."""
    if found := shutil.which("nvdisasm"):
        return found
    spec = find_spec("nvidia")
    for folder in spec.submodule_search_locations or () if spec else ():
        for path in Path(folder).glob("*/bin/nvdisasm"):
            return str(path)
    raise GpupruneError(
        "there is no nvdisasm, which reads the machine code",
        hint="python -m pip install nvidia-cuda-nvdisasm",
    )
