"""Maps of expressions against the regions in which action units show them, beside the regions of other expressions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facebench.metrics import explanation as metrics
from facebench.probes.saliency.expressions import WORDS, expression_regions
from facebench.probes.saliency.regions import REGIONS
from facebench.schema import Estimate, Flag
from facebench.sections.explanation.judging import Tensors
from facebench.sections.explanation.writer import Explainees, Writer, is_map

Floats = NDArray[np.float64]


class _Row(NamedTuple):
    """One map: its place, its expression, and its overlap beside the nulls; None without a map or another region."""

    row: int
    name: str
    iou: float | None
    gap: float | None
    nulls: dict[str, float]


def expression_estimates(
    method: str, qualified: bool, tensors: Tensors, whom: Explainees, classes: Sequence[str], confidence: float
) -> list[Estimate]:
    """Return the overlap of maps with the region of their expression; nothing where no class is one of the six.

    Over all, and of each expression: IoU at equal area beside its nulls (chance, the map upside down, a centred
    Gaussian, the mean of the other maps, the regions of the other expressions), and the gap to those regions.
    """
    expressions = [WORDS.get(name.lower().replace("_", " ").strip()) for name in classes]
    if not any(expressions):
        return []
    writer = Writer(method, () if qualified else (Flag.UNQUALIFIED,), confidence)
    maps = tensors[f"{method}/pairs"].astype(np.float64)
    usable = [h / max(float(np.abs(h).max()), 1e-12) if is_map(h) else None for h in maps]
    total = np.sum([h for h in usable if h is not None], axis=0)
    rows: list[_Row] = []
    for row, (name, h) in enumerate(zip(expressions, usable, strict=True)):
        parts = {part: tensors["regions"][row, place].astype(bool) for place, part in enumerate(REGIONS)}
        regions = expression_regions(parts)
        if name is None:
            continue
        if h is None or name not in regions or len(regions) < 2:  # no map, or no region to set beside another
            rows.append(_Row(row, name, None, None, {}))
            continue
        gap = metrics.mismatch_gap(h, name, regions)[0]
        nulls = _nulls(h, name, regions, total - h)
        rows.append(_Row(row, name, metrics.area_matched_iou(h, regions[name]), gap, nulls))
    found = []
    for name in (None, *sorted({one.name for one in rows})):
        kept = [one for one in rows if name in (None, one.name)]
        who = whom.pair_identity[[one.row for one in kept]]
        known = [one.nulls for one in kept if one.nulls]
        means = {key: float(np.mean([nulls[key] for nulls in known])) for key in known[0]} if known else None
        fields: dict[str, Any] = {"region": "expression", "of": name}
        found.append(writer.mean("saliency_iou", [one.iou for one in kept], who, nulls=means, lowest=0.0, **fields))
        found.append(writer.mean("iou_mismatch_gap", [one.gap for one in kept], who, nulls={"chance": 0.0}, **fields))
    return found


def _nulls(h: Floats, name: str, regions: dict[str, NDArray[np.bool_]], others: Floats) -> dict[str, float]:
    own = regions[name]
    area = float(own.mean())
    found = {"chance": metrics.expected_iou(area, area)}
    wrong = [metrics.area_matched_iou(h, mask) for other, mask in regions.items() if other != name]
    found["mismatched_region"] = float(np.mean(wrong))
    for key, null in metrics.null_maps(h).items():
        found[key] = metrics.area_matched_iou(null, own)
    found["mean_map"] = metrics.area_matched_iou(others, own) if np.ptp(others) > 0 else found["chance"]
    return found
