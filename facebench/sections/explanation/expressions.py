"""Maps of expressions against the regions in which action units show them, beside the regions of other expressions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.metrics import explanation as metrics
from facebench.probes.saliency.expressions import WORDS, expression_regions
from facebench.probes.saliency.regions import REGIONS
from facebench.schema import Estimate, Flag
from facebench.sections.explanation.judging import Tensors
from facebench.sections.explanation.writer import Explainees, Writer, is_map

Floats = NDArray[np.float64]


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
    rows: list[tuple[int, float, float | None, dict[str, float]]] = []
    for row, (name, h) in enumerate(zip(expressions, usable, strict=True)):
        parts = {part: tensors["regions"][row, place].astype(bool) for place, part in enumerate(REGIONS)}
        regions = expression_regions(parts)
        if name is None or h is None or name not in regions:
            continue
        gap = metrics.mismatch_gap(h, name, regions)[0] if len(regions) > 1 else None
        nulls = _nulls(h, name, regions, total - h)
        rows.append((row, metrics.area_matched_iou(h, regions[name]), gap, nulls))
    found = []
    present = sorted({name for row, *_ in rows if (name := expressions[row]) is not None})
    for name in (None, *present):
        kept = [one for one in rows if name is None or expressions[one[0]] == name]
        if not kept:
            continue
        who = whom.pair_identity[[one[0] for one in kept]]
        means = {key: float(np.mean([one[3][key] for one in kept])) for key in kept[0][3]}
        fields: dict[str, Any] = {"region": "expression", "of": name}
        found.append(writer.mean("saliency_iou", [one[1] for one in kept], who, nulls=means, lowest=0.0, **fields))
        found.append(writer.mean("iou_mismatch_gap", [one[2] for one in kept], who, nulls={"chance": 0.0}, **fields))
    return found


def _nulls(h: Floats, name: str, regions: dict[str, NDArray[np.bool_]], others: Floats) -> dict[str, float]:
    own = regions[name]
    area = float(own.mean())
    found = {"chance": metrics.expected_iou(area, area)}
    wrong = [metrics.area_matched_iou(h, mask) for other, mask in regions.items() if other != name]
    if wrong:
        found["mismatched_region"] = float(np.mean(wrong))
    for key, null in metrics.null_maps(h).items():
        found[key] = metrics.area_matched_iou(null, own)
    found["mean_map"] = metrics.area_matched_iou(others, own) if np.ptp(others) > 0 else found["chance"]
    return found
