"""Results as rows of one table, with the fields that scripts rely on."""

from collections.abc import Sequence
from statistics import median

from gpuprune.analysis import median_s, pays_after
from gpuprune.contenders import BASELINE
from gpuprune.records import Result, Run
from gpuprune.report.layout import Row
from gpuprune.stats import interquartile_range


def flatten(
    run: Run, results: Sequence[Result], among: Sequence[Result] | None = None
) -> list[Row]:
    """Turn results into rows of one table, each told against the dense result of its case.

    The dense results are looked for `among` others, where they are not in `results`.
    """
    dense = {one.case: one for one in among or results if one.contender == BASELINE}
    return [_flat(run, result, dense.get(result.case)) for result in results]


def _flat(run: Run, result: Result, dense: Result | None) -> Row:
    case, timing = result.case, result.timing
    own_s, dense_s = median_s(result), median_s(dense)
    roofline_s = result.roofline_s
    return {
        "device": run.environment["device"],
        "device_name": result.device_name or run.environment["device_name"],
        "node": result.node or run.environment["node"],
        "threads": run.environment["threads"],
        **case.setting(),
        "rate": case.rate,
        "achieved_rate": result.achieved_rate,
        "group": case.group,
        "contender": result.contender,
        "variant": result.variant,
        "status": result.status,
        "reason": result.reason,
        "cache": run.contract.cache,
        "samples": len(timing.samples_s) if timing else None,
        "median_s": timing.median_s if timing else None,
        "iqr_s": interquartile_range(timing.samples_s) if timing else None,
        "call_median_s": median(timing.call_samples_s)
        if timing and timing.call_samples_s
        else None,
        "speedup": dense_s / own_s if dense_s and own_s else None,
        "error": result.error,
        "nnz": result.nnz,
        "bytes": result.bytes,
        "prepare_s": result.prepare_s,
        "pays_after": pays_after(result, dense),
        "predicted_s": result.predicted_s,
        "bound": result.bound,
        "roofline_s": roofline_s,
        "roofline_share": roofline_s / own_s if roofline_s and own_s else None,
    }
