"""The terminal summary: the same figures as the report, as rows of plain words."""

from __future__ import annotations

from facebench.report import format as fmt
from facebench.report.reading import Reading, comparisons, short_label
from facebench.report.wording import flag_words, measure
from facebench.schema import Estimate, Result

HEADER = ["measure", "value", "interval", "counts", "notes"]


def summary_rows(result: Result) -> list[list[str]]:
    """Return a header and one row per leading figure: all operating points, then the largest differentials."""
    reading = Reading(result)
    rows = [HEADER]
    for target in reading.targets:
        for metric in ("tar", "fmr"):
            found = reading.find(metric, target=target)
            if found:
                name = measure(metric).short if metric == "tar" else f"achieved {measure(metric).short}"
                rows.append(_row(f"{name} at {fmt.point(target)}", found, accepted=metric == "tar"))
    for metric in ("eer", "auc"):
        found = reading.find(metric)
        if found:
            rows.append(_row(measure(metric).label, found))
    for grouping in reading.differential_groupings():
        for metric in ("fmr_gap", "fmr_max_min", "fnmr_gap", "fnmr_max_min"):
            found = reading.find(metric, target=reading.primary, group=grouping)
            if found:
                rows.append(_row(f"{measure(metric).label} by {grouping}", found))
    return rows


def _row(name: str, estimate: Estimate, *, accepted: bool = False) -> list[str]:
    write = measure(estimate.metric).write
    limits = fmt.interval(estimate.ci_low, estimate.ci_high, write)
    n = comparisons(estimate)
    k = round(estimate.value * n) if accepted and estimate.value is not None and n is not None else estimate.errors
    words = [flag_words(estimate.flags)] if estimate.flags else []
    if estimate.left_out:
        words.insert(0, f"leaves out {fmt.clip(', '.join(short_label(group) for group in estimate.left_out))}")
    if estimate.excess is not None:
        times = estimate.excess_as == "ratio"
        words.insert(
            0, f"{write(estimate.excess)} times chance" if times else f"excess over chance {write(estimate.excess)}"
        )
    return [fmt.visible(fmt.clip(name)), write(estimate.value), limits, fmt.k_of_n(k, n), "; ".join(words)]
