"""ncu's pages as text: a table a section, under the line of its launch or group of launches."""

import re

from gpuprune.profiler.parse.findings import Draft, Findings, Table
from gpuprune.profiler.parse.metrics import efficiency_in_rule, metric_name
from gpuprune.profiler.parse.ncu_csv import device_label
from gpuprune.profiler.parse.numerals import counted

MAX_LINE = 20_000  # characters; the names of templates are long
MAX_PROSE = 1_000  # characters of a rule's text, which goes over several lines

# `name (4, 1, 1)x(256, 1, 1), Context 1, Stream 7, Device 0, CC 8.0` from 2022.4 on,
# `name, 2022-Jun-08 15:09:54, Context 1, Stream 7` before; in summaries `, Invocations 14`.
_KERNEL = re.compile(
    r"\s*(\S.*?)"
    r"(?: \([0-9]+, [0-9]+, [0-9]+\)x\([0-9]+, [0-9]+, [0-9]+\))?"
    r"(?:, [0-9]{4}-[A-Za-z]{3}-[0-9]{1,2} [0-9:]+)?"
    r"((?:, (?:Context|Stream|Device|CC|Invocations) [0-9.]+)+)\s*"
)
_FACT = re.compile(r", ([A-Za-z]+) ([0-9.]+)")
_GPU = re.compile(r"\s*Device ([0-9]+), CC ([0-9.]+)\s*")  # over its kernels, in a summary
_PROCESS = re.compile(r"\s*(?:\[[0-9]+\] .*@|=+)")
_SECTION = re.compile(r"(\s*)Section: (.*\S)\s*")
_RULER = re.compile(r"\s*-{3,}(?: +-{3,})+\s*")


def open_table(line: str, findings: Findings) -> Table | None:
    """Begin a page, where this line is the one of a launch or of a section."""
    if "Section: " not in line and ", Context " not in line and ", Invocations " not in line:
        return None
    page = Page(findings)
    return page if page.begins(line) else None


class Page:
    """The sections of one kernel after the other."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._gpu = _GPU.fullmatch(findings.last_line)
        self._name: str | None = None
        self._facts: dict[str, str] = {}
        self._draft: Draft | None = None
        self._sections: set[str] = set()
        self._section = ""
        self._starts: list[int] = []  # of the columns of the table that is open
        self._rows = 0
        self._prose = ""

    def take(self, line: str) -> bool:
        if len(line) > MAX_LINE:
            return False
        if self.begins(line):
            return True
        if _RULER.fullmatch(line):
            self._rule(line)
            return True
        if self._starts and line.strip():
            return self._row(line)
        self._starts = []
        self._gpu = _GPU.fullmatch(line) or self._gpu
        self._read_prose(line)
        return False

    def begins(self, line: str) -> bool:
        """Notice the line of a kernel or of a section."""
        kernel = _KERNEL.fullmatch(line) if ", " in line and len(line) <= MAX_LINE else None
        facts = dict(_FACT.findall(kernel[2])) if kernel else {}
        if kernel and ("Context" in facts or "Invocations" in facts):
            self._begin_kernel(kernel[1], facts)
            return True
        section = _SECTION.fullmatch(line)
        if section:
            self._begin_section(len(section[1]), section[2])
        return section is not None

    def _begin_kernel(self, name: str, facts: dict[str, str]) -> None:
        if self._gpu and "Device" not in facts:
            facts = facts | {"Device": self._gpu[1], "CC": self._gpu[2]}
        self._name, self._facts, self._draft = name, facts, None
        self._sections = set()
        self._starts = []

    def _begin_section(self, indent: int, section: str) -> None:
        # Pasted logs often have the bare name over the first section, set out further.
        above = self._findings.last_line
        set_out = len(above) - len(above.lstrip()) < indent
        named = bool(above) and not _PROCESS.match(above)
        if self._name is None or section in self._sections or (named and set_out):
            self._begin_kernel(above.strip() if named else "(unnamed kernel)", {})
        self._sections.add(section)
        self._section = section
        self._starts = []

    def _rule(self, line: str) -> None:
        """A line of dashes opens a table, stands under its header, or closes it."""
        if self._starts and self._rows:
            self._starts = []
        else:
            self._starts = [dashes.start() for dashes in re.finditer("-+", line)]
            self._rows = 0

    def _row(self, line: str) -> bool:
        if "Metric Name" in line and "Metric Unit" in line:
            return True
        self._rows += 1
        cells = self._cells(line)
        if self._name is None or len(cells) not in (3, 5):
            return False
        name = self._findings.name(metric_name(self._section, cells[0], cells[1]))
        values = [self._findings.numerals[cell] for cell in cells[2:]]
        if len(values) == 3:
            low, high, average = values
            values = [average, low, high]
        other = f"{self._section}: {cells[0]} [{cells[1]}]"
        draft = self._open_draft()
        if not self._findings.add_scaled(draft, name, cells[1], values, other):
            draft.lacks(name, cells[-1])
        return True

    def _cells(self, line: str) -> list[str]:
        """Cut a row where the dashes of its table begin, else where two blanks stand."""
        starts, width = self._starts, len(self._starts)
        aligned = len(line) - len(line.lstrip()) == starts[0]
        if aligned and all(line[start - 1 : start] == " " for start in starts[1:]):
            ends = [*starts[1:], len(line)]
            return [line[a:b].strip() for a, b in zip(starts, ends, strict=True)]
        cells = re.split(r"\s{2,}", line.strip())
        return [cells[0], "", *cells[1:]] if len(cells) == width - 1 else cells

    def _open_draft(self) -> Draft:
        if self._draft is None:
            invocations = counted(self._facts.get("Invocations", ""))
            device = device_label("", self._facts.get("Device", ""), self._facts.get("CC", ""))
            self._draft = self._findings.begin(
                Draft(
                    kernel=self._findings.name(self._name or ""),
                    tool="ncu",
                    device=device,
                    launch=self._findings.next_launch() if invocations is None else None,
                    invocations=invocations,
                )
            )
        return self._draft

    def _read_prose(self, line: str) -> None:
        self._prose = f"{self._prose} {line.strip()}"[-MAX_PROSE:]
        if "utilized" in line and (stated := efficiency_in_rule(self._prose)) is not None:
            if self._draft is not None:
                self._draft.stated_pct = stated
            self._prose = ""
