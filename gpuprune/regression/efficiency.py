"""Load efficiencies held against those that a baseline keeps: counted, so without noise."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpuprune.errors import GpupruneError
from gpuprune.records import Case
from gpuprune.regression.verdict import Verdict, Word
from gpuprune.soundness import case_fault, is_efficiency, quoted

Row = dict[str, Any]

_MOST_FILE_BYTES = 64 << 20
_HINT = "give what `gpuprune profile --format json` prints"
_CASE = ("weights", "rows", "cols", "batch", "dtype", "orientation", "score", "rate", "group")
_NEEDED = ("rows", "cols", "batch", "group")  # by every case
# What a baseline keeps of a row; two rows that agree in all but the figure are compared.
_KEPT = ("tool", "gld_definition", "mapping", "kernel", "contender", *_CASE)
# How what the name of a product leaves open is told, where it differs.
_TOLD = {
    "tool": "by {}",
    "kernel": "{}",
    "mapping": "beside {}",
    "dtype": "{}",
    "orientation": "{} groups",
    "score": "scored by {}",
}
FIGURE = "gld_efficiency_pct"


def read_profile(path: Path) -> list[Row]:
    """Read the JSON lines of `gpuprune profile`: of each row what tells it apart, and its figure.

    Raises GpupruneError for what they are not.
    """
    kept = [{name: row.get(name) for name in (*_KEPT, FIGURE)} for row in read_rows(path)]
    try:
        return [checked(row) for row in kept]
    except ValueError as error:
        raise GpupruneError(f"{path} holds no profile figures: {error}", hint=_HINT) from None


def checked(row: Mapping[str, Any]) -> Row:
    """Return what a baseline keeps of a row; raises KeyError, or ValueError that says why."""
    found = {name: row[name] for name in (*_KEPT, FIGURE)}
    for name in _KEPT[: -len(_CASE)]:
        if not (found[name] is None or isinstance(found[name], str)):
            raise ValueError(f"{name} is {quoted(found[name])}")
    if found["rate"] is not None and (fault := case_fault(_case(found))):
        raise ValueError(fault)
    figure = found[FIGURE]
    if figure is not None and not is_efficiency(figure):
        raise ValueError(f"{FIGURE} is {quoted(figure)}")
    return found


def read_rows(path: Path) -> list[Row]:
    """Read the JSON lines of `gpuprune profile`, every field of them.

    Raises GpupruneError for what they are not.
    """
    try:
        if not path.is_file() or path.stat().st_size > _MOST_FILE_BYTES:
            raise GpupruneError(f"{path} is no file of profile figures", hint=_HINT)
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise GpupruneError(f"cannot read {path}: {error}", hint=_HINT) from None
    rows = [_parse(line, f"{path}, line {i}") for i, line in enumerate(lines, start=1) if line]
    if not rows:
        raise GpupruneError(f"{path} holds no profile figures", hint=_HINT)
    return rows


def judge_efficiency(
    base: Iterable[Mapping[str, Any]], candidate: Iterable[Mapping[str, Any]], most_points: float
) -> list[Verdict]:
    """Compare figures row by row; one that fell by more than so many points is SLOW."""
    was, now = _figures(base), _figures(candidate)
    keys = list(dict.fromkeys([*was, *now]))
    rows = [dict(zip(_KEPT, key, strict=True)) for key in keys]
    return [
        _judge(row, setting, was.get(key), now.get(key), most_points)
        for key, row, setting in zip(keys, rows, name_settings(rows), strict=True)
    ]


def name_settings(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Name of each row what tells it from others of the same product, layer, rate and group."""
    values: dict[tuple[str, str], set[Any]] = {}
    for row in rows:
        for name in _TOLD:
            values.setdefault((product_of(row), name), set()).add(row[name])
    several = {name for (_, name), found in values.items() if len(found - {None}) > 1}
    return [
        tuple(
            told.format(row[name])
            for name, told in _TOLD.items()
            if name in several and row[name] is not None
        )
        for row in rows
    ]


def product_of(row: Mapping[str, Any]) -> str:
    """Name what a figure is of: a contender, a kernel, or a mapping that was predicted."""
    return str(row["contender"] or row["kernel"] or f"predicted {row['mapping']}")


def _parse(line: str, where: str) -> Row:
    try:
        row: Row = json.loads(line)
    except (ValueError, RecursionError):
        raise GpupruneError(f"{where} is no JSON: {quoted(line)}", hint=_HINT) from None
    if not (isinstance(row, dict) and FIGURE in row):
        raise GpupruneError(f"{where} has no {FIGURE}: {quoted(line)}", hint=_HINT)
    figure = row[FIGURE]
    if figure is not None and not is_efficiency(figure):
        raise GpupruneError(
            f"{where}: {FIGURE} is {quoted(figure)}, and no load efficiency", hint=_HINT
        )
    return row


def _figures(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[Any, ...], float | None]:
    """Return the figures by what tells them apart, of several launches the worst that is known."""
    found: dict[tuple[Any, ...], float | None] = {}
    for row in rows:
        key, figure = tuple(row[name] for name in _KEPT), row[FIGURE]
        known = [one for one in (found.get(key), figure) if one is not None]
        found[key] = min(known, default=None)
    return found


def _judge(
    row: Row, setting: tuple[str, ...], was: float | None, now: float | None, most_points: float
) -> Verdict:
    about: dict[str, Any] = {
        "level": "profile",
        "contender": product_of(row),
        "setting": setting,
        "case": None if row["rate"] is None else _case(row),
    }
    word: Word
    if was is None or now is None:
        word, reason = "SAME", "neither side has a load efficiency"
        if was is not None:
            word, reason = "MISSING", f"load efficiency was {was:.1f} %; the candidate has none"
        elif now is not None:
            word, reason = "NEW", f"load efficiency is {now:.1f} %; the baseline has none"
        return Verdict(**about, verdict=word, reason=reason)
    points = now - was
    word = "SLOW" if points < -most_points else "FAST" if points > most_points else "SAME"
    return Verdict(
        **about,
        verdict=word,
        change=points / 100,
        reason=f"load efficiency was {was:.1f} % and is {now:.1f} %; {most_points:g} points count",
        threshold=most_points / 100,
    )


def _case(row: Mapping[str, Any]) -> Case:
    """Make the case of a row; what it lacks, and every case has, is None there."""
    told = {name: row[name] for name in _CASE if name in _NEEDED or row[name] is not None}
    return Case(**told)
