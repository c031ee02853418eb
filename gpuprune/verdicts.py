"""Verdicts as tables, JSON, Markdown, JUnit XML and GitHub annotations."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from xml.etree import ElementTree

from gpuprune import report
from gpuprune.gate import Comparison
from gpuprune.records import LAYER, Case
from gpuprune.regression.verdict import Verdict, Word
from gpuprune.units import format_count, format_percent, format_seconds

Row = dict[str, Any]

# GitHub drops a summary above 1024 KiB as a whole, and refuses a comment above 64 KiB.
SUMMARY_BYTES = 900 << 10
COMMENT_BYTES = 60 << 10
_MOST_ANNOTATIONS = 10  # of which GitHub shows of one step

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
# What a file must begin with for being taken as an earlier one of ours, and written over.
JUNIT_BEGINNING = f'{_DECLARATION}<testsuite name="gpuprune check" '.encode()

_ORDER: tuple[Word, ...] = ("SLOW", "MISSING", "UNSURE", "NEW", "FAST", "SAME")
_HEADERS = ("verdict", "what", "rate", "group", "change", "from", "to", "reason")
_LEFT = (0, 1, 7)


def rows(verdicts: Sequence[Verdict]) -> list[Row]:
    """Turn verdicts into rows for programs; layer and setting only where there are several."""
    several = len(_layers(verdicts)) > 1
    has_settings = any(one.setting for one in verdicts)
    return [_row(one, several, has_settings) for one in verdicts]


def summary(
    comparison: Comparison, *, markdown: bool = False, most_bytes: int | None = None
) -> str:
    """Lay out what changed for people, the worst first; at most so many bytes of UTF-8."""
    told = [one for one in comparison.verdicts if one.verdict != "SAME" or one.flipped]
    changed = ordered(told)
    shown = len(changed)
    while True:
        text = _summary(comparison, changed[:shown], len(changed) - shown, markdown)
        if most_bytes is None or len(text.encode()) <= most_bytes or shown == 0:
            return text
        shown = min(shown - 1, int(shown * 0.9 * most_bytes / len(text.encode())))


def ordered(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Put decisions that flipped first, then what is worst."""
    levels = ("device", "contender", "profile", "cell")
    return sorted(
        verdicts,
        key=lambda one: (
            not one.flipped,
            _ORDER.index(one.verdict),
            levels.index(one.level),
            -round(abs(one.change or 0.0), 3),  # as it shows; otherwise in the table's order
        ),
    )


def annotations(comparison: Comparison) -> list[str]:
    """Write workflow commands for GitHub; at most ten, the last of which counts the rest.

    What fails is an error, a decision that flipped and does not fail a warning.
    """
    told = [one for one in ordered(comparison.verdicts) if comparison.fails(one) or one.flipped]
    lines = [
        _annotation(
            "error" if comparison.fails(one) else "warning",
            f"gpuprune: {one.verdict}",
            _sentence(one),
        )
        for one in told
    ]
    if len(lines) > _MOST_ANNOTATIONS:
        kept = _MOST_ANNOTATIONS - 1
        rest = told[kept:]
        kind = "error" if any(map(comparison.fails, rest)) else "warning"
        more = f"and {len(rest)} more, see the summary of the job"
        lines = [*lines[:kept], _annotation(kind, "gpuprune", more)]
    return lines


def junit(comparison: Comparison) -> str:
    """Write JUnit XML, a test case a verdict."""
    cases = [(one, comparison.fails(one)) for one in comparison.verdicts]
    skipped = sum(one.verdict == "UNSURE" and not fails for one, fails in cases)
    suite = ElementTree.Element(
        "testsuite",
        name="gpuprune check",
        tests=str(len(cases)),
        failures=str(sum(fails for _, fails in cases)),
        errors="0",
        skipped=str(skipped),
    )
    for one, fails in cases:
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"gpuprune.{one.level}", name=_name(one)
        )
        message = report.printable(one.reason)
        if fails:
            ElementTree.SubElement(case, "failure", type=one.verdict, message=message)
        elif one.verdict == "UNSURE":
            ElementTree.SubElement(case, "skipped", message=message)
    ElementTree.indent(suite)
    return f"{_DECLARATION}{ElementTree.tostring(suite, encoding='unicode')}\n"


def explain(comparison: Comparison, verdict: Verdict) -> str:
    """Say how one verdict came about: the runs of both sides, the noise, the threshold."""
    lines = [f"{_name(verdict)}: {verdict.verdict}", f"  {report.printable(verdict.reason)}"]
    if verdict.change is not None:
        lines.append(
            f"  change {_signed(verdict.change)}, between {_signed(verdict.low)} and "
            f"{_signed(verdict.high)} with 99 % confidence on each side"
        )
        lines.append(
            f"  threshold {format_percent(verdict.threshold or 0)}; "
            f"runs differ by {format_percent(verdict.noise or 0, 2)} (standard deviation)"
        )
    if verdict.case is not None:
        cell = (verdict.case, verdict.contender)
        for name, arm in (("baseline", comparison.base), ("candidate", comparison.candidate)):
            times = arm.times.get(cell, ())
            shown = ", ".join(format_seconds(one) if one else "none" for one in times)
            lines.append(f"  {name}: {shown or 'not measured'}")
            if cell in arm.faults:
                lines.append(f"    {report.printable(arm.faults[cell])}")
    if verdict.level == "profile":
        lines.append("  Held against the figure that the baseline keeps.")
    elif verdict.control:
        lines.append(f"  Held against {verdict.control}, in the same run.")
    return "\n".join(lines)


_RELATIVE = (
    "A cell's change is relative to its contender's other cells, a contender's to dense: "
    "what a whole run does to everybody is no change."
)


def _row(verdict: Verdict, with_layer: bool, with_setting: bool) -> Row:
    case = verdict.case
    layer: Row = (case.layer() if case else dict.fromkeys(LAYER)) if with_layer else {}
    return {
        "level": verdict.level,
        **layer,
        "rate": case.rate if case else None,
        "group": case.group if case else None,
        "contender": verdict.contender,
        **({"setting": ", ".join(verdict.setting)} if with_setting else {}),
        "verdict": verdict.verdict,
        "change": verdict.change,
        "low": verdict.low,
        "high": verdict.high,
        "reason": verdict.reason,
    }


def _summary(
    comparison: Comparison, shown: Sequence[Verdict], left_out: int, markdown: bool
) -> str:
    parts = [_outcome(comparison, markdown)]
    if comparison.suspects:
        changed = "; ".join(comparison.suspects)
        parts.append(f"Changed between the two sides: {report.printable(changed)}.")
    if shown:
        several = len(_layers(shown)) > 1
        table = [_cells(one, several) for one in shown]
        parts.append(report.table(_HEADERS, table, markdown, left=_LEFT))
        if any(one.level in ("cell", "contender") and one.change is not None for one in shown):
            parts.append(_RELATIVE)
    if comparison.holes:
        holes = "; ".join(comparison.holes)
        parts.append(f"Incomplete: {report.printable(holes)}.")
    if left_out:
        parts.append(f"And {left_out} more, less bad: --format csv or json.")
    return "\n\n".join(parts)


def _outcome(comparison: Comparison, markdown: bool) -> str:
    count = Counter(one.verdict for one in comparison.verdicts)
    counts = ", ".join(f"{count[word]} {word}" for word in _ORDER if count[word])
    sides = f"{format_count(comparison.candidate.runs, 'run')} against {comparison.base.runs}"
    floor = format_percent(comparison.terms.floor, 0)
    line = f"{_headline(comparison)}: {counts} ({sides}, floor {floor})."
    return f"**{line}**" if markdown else line


def _headline(comparison: Comparison) -> str:
    found = comparison.verdicts
    if any(one.fails for one in found):
        return "A regression"
    parts = ["No regression"]
    if any(map(comparison.fails, found)):
        parts = ["Failed, though no regression is certain: with --strict UNSURE fails as well"]
    if flipped := sum(one.flipped for one in found):
        decisions = "a decision" if flipped == 1 else f"{flipped} decisions"
        parts.append(f"but {decisions} flipped: sparse no longer beats dense")
    for one in found:
        if one.level == "device" and one.change and abs(one.change) > (one.threshold or 0.0):
            parts.append(f"but dense itself moved by {_signed(one.change)}")
    return ", ".join(parts)


def _cells(verdict: Verdict, several_layers: bool) -> list[str]:
    case = verdict.case
    what = verdict.level if verdict.level == "device" else _subject(verdict)
    if verdict.level == "profile":
        what = f"profile: {what}"
    if case and several_layers:
        what = f"{what} {case.name}"
    return [
        verdict.verdict,
        report.printable(what),
        f"{case.rate:g}" if case else "all",
        str(case.group) if case else "all",
        _signed(verdict.change),
        _signed(verdict.low),
        _signed(verdict.high),
        report.printable(verdict.reason),
    ]


def _name(verdict: Verdict) -> str:
    case = verdict.case
    if case is None:
        return report.printable(_subject(verdict))
    cell = f"{verdict.contender},{case.rate:g},{case.group}"
    return report.printable(" ".join([cell, *verdict.setting, case.name]))


def _subject(verdict: Verdict) -> str:
    return ", ".join([verdict.contender, *verdict.setting])


def _sentence(verdict: Verdict) -> str:
    change = "" if verdict.change is None else f" {_signed(verdict.change)}"
    return f"{_name(verdict)}{change}: {verdict.reason}"


def _annotation(kind: str, title: str, message: str) -> str:
    title = _command_value(title, property_too=True)
    return f"::{kind} title={title}::{_command_value(message)}"


def _command_value(text: str, *, property_too: bool = False) -> str:
    """Escape what would end a workflow command or begin another one."""
    escapes = {"%": "%25", "\r": "%0D", "\n": "%0A"}
    if property_too:
        escapes |= {":": "%3A", ",": "%2C"}
    return "".join(escapes.get(character, character) for character in text)


def _layers(verdicts: Iterable[Verdict]) -> set[tuple[Any, ...]]:
    cases: Iterable[Case] = (one.case for one in verdicts if one.case)
    return {tuple(case.layer().values()) for case in cases}


def _signed(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:+.1f} %"
