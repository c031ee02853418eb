"""Load efficiencies as rows: for programs (one a kernel or case), and for people."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpuprune.config import is_papers
from gpuprune.profiler.live import Launch
from gpuprune.profiler.mappings import COMPRESSED_CONTENDER
from gpuprune.profiler.model import Prediction
from gpuprune.profiler.parse import KernelProfile, as_json, without_value
from gpuprune.profiler.parse.metrics import quantity
from gpuprune.records import Case
from gpuprune.units import format_rate

Row = dict[str, Any]

_encode = json.JSONEncoder().encode  # json.dumps asks for its settings at each row

Predicted = Mapping[tuple[str, Case], Prediction]  # by contender and case

# Hartenstein et al. 2019, section 5: nvprof on cuSPARSE's CSR product, GTX 950M.
_PAPER_PCT = {0.8: "67", 0.98: "82"}  # of groups of 1, by rate
_PAPER_WHOLE_GROUP = 8  # from which on it is ">99"

_MISSED = 0.005  # between a rate and the one reached, of which a table shows two digits
_COUNT_FROM = 1000  # what is larger is a count, and no percentage
ABSENT, NO_VALUE = "not in this file", "no value"
# What stands beside the efficiencies, by tool: what nvprof counts under a name of its own is not
# what ncu counts.
COLUMNS = {
    "ncu": {
        "sectors": "sectors",
        "requests": "requests",
        "L1 hit %": "l1_hit_pct",
        "L2 hit %": "l2_hit_pct",
        "DRAM bytes": "dram_read_bytes",
        "occupancy %": "occupancy_pct",
        "duration ns": "duration_ns",
    },
    "nvprof": {
        "transactions": "sectors",
        "requests": "requests",
        "tex hit %": "l1_hit_pct",
        "L2 tex hit %": "l2_hit_pct",
        "DRAM bytes": "dram_read_bytes",
        "occupancy %": "occupancy_pct",
        "duration ns": "duration_ns",
    },
}


def prediction_row(case: Case, found: Prediction) -> Row:
    """Turn the prediction of a case into a row for programs."""
    return {
        "predicted": True,
        **case.setting(),
        "rate": case.rate,
        "achieved_rate": found.achieved_rate,
        "group": case.group,
        "mapping": found.mapping,
        "gld_efficiency_pct": found.gld_efficiency_pct,
        "nvprof_style_pct": found.nvprof_style_pct,
        "error_points": found.error_points,
        "sampled_rows": found.sampled_rows,
    }


def launch_row(launch: Launch, predicted: Predicted) -> Row:
    """Turn a kernel of a live run into a row for programs, beside what was predicted."""
    found = predicted.get((launch.contender, launch.case))
    return {
        **as_json(launch.profile),
        **launch.case.setting(),
        "rate": launch.case.rate,
        "group": launch.case.group,
        "contender": launch.contender,
        "variant": launch.variant,
        "coverage_pct": launch.coverage_pct,
        "mapping": found.mapping if found else None,
        "predicted_pct": _by_definition(found, launch.profile.tool) if found else None,
    }


def in_one_cell(row: Row) -> Row:
    """Write the metrics of a row as text, for CSV."""
    return {**row, "metrics": _encode(row["metrics"])}


def prediction_grid(predictions: Sequence[tuple[Case, Prediction]], tool: str) -> list[Row]:
    """Lay out the predictions of one layer by the definition of a tool: rates down, groups across.

    Where the layer is the paper's, its figures stand beside them; where a group size missed its
    rates, those that it reached.
    """
    found = {(case.rate, case.group): one for case, one in predictions}
    groups = sorted({group for _, group in found})
    missed = {
        case.group for case, one in predictions if abs(case.rate - one.achieved_rate) > _MISSED
    }
    like_paper = tool == "nvprof" and all(is_papers(case) for case, _ in predictions)
    rows = []
    for rate in sorted({rate for rate, _ in found}):
        row: Row = {"rate": format_rate(rate)}
        for group in groups:
            one = found.get((rate, group))
            row[f"g={group}"] = round(_by_definition(one, tool), 1) if one else None
            if group in missed:
                row[f"reached, g={group}"] = format_rate(one.achieved_rate) if one else None
            if like_paper and group in (1, _PAPER_WHOLE_GROUP):
                row["paper" if group == 1 else f"paper, g>={group}"] = _papers(rate, group)
        rows.append(row)
    return rows


def product_rows(launches: Iterable[Launch], predicted: Predicted) -> list[Row]:
    """Lay out a live run for people: contender by contender, a row a product of all kernels."""
    products: dict[tuple[str, Case], list[Launch]] = {}
    for launch in launches:
        products.setdefault((launch.contender, launch.case), []).append(launch)
    like_paper = all(
        is_papers(case) and one.profile.tool == "nvprof"
        for (_, case), own in products.items()
        for one in own
    )
    rows = []
    for (contender, case), own in products.items():
        found = predicted.get((contender, case))
        covered = [one.coverage_pct for one in own if one.coverage_pct is not None]
        row: Row = {
            "contender": contender,
            "variant": own[0].variant,
            "layer": case.name,
            "group": case.group,
            "rate": format_rate(case.rate),
            "kernels": len(own),
            "measured %": rounded(average_efficiency(one.profile for one in own)),
            "covers %": rounded(min(covered, default=None)),
            "predicted %": rounded(_by_definition(found, own[0].profile.tool) if found else None),
        }
        if like_paper:
            papers = contender == COMPRESSED_CONTENDER
            row["paper %"] = _papers(case.rate, case.group) if papers else None
        rows.append(row)
    names = list(dict.fromkeys(contender for contender, _ in products))
    return sorted(rows, key=lambda row: names.index(row["contender"]))


def average_efficiency(profiles: Iterable[KernelProfile]) -> float | None:
    """Average load efficiency over kernels, each by the sectors it loaded, in per cent.

    None where there is no value for all that load anything.
    """
    average = Average()
    for one in profiles:
        average.add(one.gld_efficiency_pct, quantity(one.metrics, "sectors"))
    return average.value()


@dataclass(slots=True)
class Average:
    """Load efficiency of several kernels, each by the sectors it loaded."""

    loading: int = 0  # kernels that load anything
    only: float | None = None  # what the only one of them has, known sectors or not
    weighted: float = 0.0
    sectors: float = 0.0
    is_known: bool = True  # value and sectors of all of them

    def add(self, percent: float | None, sectors: float | None, launches: int = 1) -> None:
        """Take one more kernel into account, or launches of which these are the averages."""
        if sectors == 0:
            return
        self.loading += 1
        self.only = percent
        if percent is None or sectors is None:
            self.is_known = False
        else:
            self.weighted += percent * sectors * launches
            self.sectors += sectors * launches

    def value(self) -> float | None:
        """Return it in per cent; None where nothing is loaded or not all is known."""
        if self.loading == 1:
            return self.only
        return self.weighted / self.sectors if self.loading and self.is_known else None


def kernel_rows(profiles: Iterable[tuple[str | None, KernelProfile]]) -> dict[str, list[Row]]:
    """Lay out captured kernels for people, by tool, each with the file it is from if that is told.

    Columns that are empty throughout are left out.
    """
    by_tool: dict[str, list[Row]] = {}
    for source, profile in profiles:
        by_tool.setdefault(profile.tool, []).append(_kernel_cells(source, profile))
    return {tool: filled(rows) for tool, rows in by_tool.items()}


def filled(rows: Sequence[Row]) -> list[Row]:
    """Leave out the columns that are empty throughout."""
    some = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    return [{name: row[name] for name in some} for row in rows]


def rounded(value: float | None) -> float | None:
    """Round what a table shows: a percentage to one digit, a count to none."""
    if value is None:
        return None
    return round(value) if value >= _COUNT_FROM else round(value, 1)


def _kernel_cells(source: str | None, profile: KernelProfile) -> Row:
    load, low, high = (
        rounded(value)
        for value in (profile.gld_efficiency_pct, profile.gld_min_pct, profile.gld_max_pct)
    )
    blank = without_value(profile)
    absent = NO_VALUE if "load efficiency" in blank else ABSENT
    return {
        "kernel": profile.kernel,
        "source": source,
        "device": profile.device,
        "launch": profile.launch,
        "invocations": profile.invocations,
        "load %": absent if load is None else load,
        "min %": low if (low, high) != (load, load) else None,
        "max %": high if (low, high) != (load, load) else None,
        "store %": NO_VALUE
        if "store efficiency" in blank
        else rounded(profile.gst_efficiency_pct),
        **{
            label: rounded(value) if "%" in label or value is None else round(value)
            for label, name in COLUMNS[profile.tool].items()
            for value in (quantity(profile.metrics, name),)
        },
    }


def _by_definition(found: Prediction, tool: str) -> float:
    return found.nvprof_style_pct if tool == "nvprof" else found.gld_efficiency_pct


def _papers(rate: float, group: int) -> str | None:
    return ">99" if group >= _PAPER_WHOLE_GROUP else _PAPER_PCT.get(rate) if group == 1 else None
