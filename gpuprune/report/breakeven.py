"""From which rate on sparse is faster, for each group size, beside what the paper measured."""

from collections.abc import Sequence

from gpuprune import analysis
from gpuprune.analysis import LOST, speedups
from gpuprune.config import PAPER_RATE, is_papers
from gpuprune.contenders import BASELINE
from gpuprune.records import Result
from gpuprune.report.layout import table

# Hartenstein et al. 2019, section 5 and Figure 5: cuSPARSE CSR against cuBLAS, GTX 950M.
PAPER_BREAK_EVEN = {1: 0.94, 32: 0.84}
PAPER_SPEEDUP = {8: 1.49, 32: 1.57}
_PAPER = "paper"
_MOST_COLUMNS = 6  # of one table: more would not fit a terminal of 80 columns

_Column = tuple[str, dict[int, str]]  # whose it is, and its text for each group size


def break_even_tables(
    results: Sequence[Result], names: Sequence[str], markdown: bool
) -> list[str]:
    """Give each group size a row: break-even rates first, then speedups at the paper's rate.

    They stand in one table where they fit, or else in one for each dense product and one of the
    speedups. A layer that was pruned elsewhere has one rate, and none to break even at.
    """
    if all(one.case.as_is for one in results):
        return []
    evens = _evens(results, names)
    told = _at_paper_rate(results, names)
    if not any([*evens.values(), told]):
        return []
    if is_papers(results[0].case):
        evens[BASELINE].append(
            (_PAPER, {g: f"{rate:.2f}" for g, rate in PAPER_BREAK_EVEN.items()})
        )
        told.append((_PAPER, {g: f"{speedup:.2f}x" for g, speedup in PAPER_SPEEDUP.items()}))
    groups = sorted({one.case.group for one in results})
    joint = [
        (f"{name} even" if over == BASELINE else f"{name} even with {over}", cells)
        for over, columns in evens.items()
        for name, cells in columns
    ]
    joint += [(f"{name} at {PAPER_RATE:.2f}", cells) for name, cells in told]
    even = "Break-even rates, from which on sparse is faster"
    if len(joint) <= _MOST_COLUMNS:
        title = f"{even}, and speedups at {PAPER_RATE:.2f}" if told else even
        return [_table(title, groups, joint, markdown)]
    parts = [
        _table(f"{even} than {over}", groups, columns, markdown) for over, columns in evens.items()
    ]
    title = f"Speedups over {BASELINE} at {PAPER_RATE:.2f}"
    return [part for part in (*parts, _table(title, groups, told, markdown)) if part]


def _evens(results: Sequence[Result], names: Sequence[str]) -> dict[str, list[_Column]]:
    """Return by dense product the break-even rates of each sparse one."""
    overs = [over for over in analysis.DENSE if any(one.contender == over for one in results)]
    found: dict[str, list[_Column]] = {BASELINE: []}
    for over in overs:
        found[over] = [
            (name, {group: str(at) for group, at in evens.items()})
            for name in names
            if (evens := analysis.break_evens(speedups(results, name, over)))
        ]
    return found


def _at_paper_rate(results: Sequence[Result], names: Sequence[str]) -> list[_Column]:
    found = []
    for name in names:
        shaky = analysis.unsteady(results, name, BASELINE)
        told = {
            case.group: f"{'~' if case in shaky else ''}{speedup:.2f}x"
            for case, speedup in speedups(results, name).items()
            if case.rate == PAPER_RATE
        }
        if told:
            found.append((name, told))
    return found


def _table(title: str, groups: Sequence[int], columns: Sequence[_Column], markdown: bool) -> str:
    """Give each group size a row, and whoever has something to say a column."""
    if not columns:
        return ""
    if any(name.startswith(_PAPER) for name, _ in columns):
        title += f"; {_PAPER}: cuSPARSE, cuBLAS, GTX 950M"
    if any(text == LOST for _, cells in columns for text in cells.values()):
        title += f"; {LOST}: faster at some rate, slower at a higher one"
    rows = [[str(group), *(cells.get(group, "") for _, cells in columns)] for group in groups]
    headers = ["group", *(name for name, _ in columns)]
    return f"{title}\n\n{table(headers, rows, markdown)}"
