"""From saved maps to estimates and verdicts: one pure step, used by a run and by rescoring alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.metrics import explanation as metrics
from facebench.probes.saliency.regions import PARTS, REGIONS
from facebench.schema import Estimate, Flag
from facebench.schema.explanation import ControlFinding, ExplanationSpec, read_condition
from facebench.sections.explanation.games import triplet_estimates
from facebench.sections.explanation.maps import PLANTED, is_gradient_family
from facebench.sections.explanation.writer import Explainees, Writer, is_map

Tensors = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MIN_MASS, MIN_AUROC, MAX_OVER_NULLS = 0.95, 0.9, 0.05
RANDOM = "random weights"
RESPONSE = 1e-6
"""Change of an embedding (1 - cosine) up to which a model does not look at a part."""


def controls(method: str, tensors: Tensors, whom: Explainees, confidence: float) -> tuple[ControlFinding, ...]:
    """Return what the controls of one method showed.

    Planted attention: a gradient-family method must put at least 95 % of its relevance inside the planted mask, any
    other must reach a pixel AUROC of 0.9. Random weights: IoU with a part of the face must not exceed the best null
    (upside-down map, centred Gaussian, chance) by more than 0.05 on average over parts. A control is decided when the
    interval of its mean over the control pairs lies on one side of its limit.

    Where the model does not see the part that the mask leaves (an eyes-only model shown a mouth), nothing was planted:
    such a control has no value and does not count against the method.
    """
    judge = _Judge(whom, confidence)
    found = []
    strict = is_gradient_family(method)
    measure = metrics.relevance_mass if strict else metrics.pixel_auroc
    limit, name = (MIN_MASS, "relevance_mass") if strict else (MIN_AUROC, "pixel_auroc")
    seen = (
        tensors["planted_response"].max(axis=1) > RESPONSE if "planted_response" in tensors else [True] * len(PLANTED)
    )
    for k, part in enumerate(PLANTED):
        if not seen[k]:
            found.append(ControlFinding(control=part, measure=name, value=None, limit=limit, passed=True))
            continue
        region = tensors["planted_masks"][k].astype(bool)
        values = [measure(h, region) if is_map(h) else None for h in _maps(tensors[f"{method}/planted"][k])]
        found.append(judge.finding(part, name, values, limit, at_least=True))
    regions = [REGIONS.index(part) for part in PLANTED]
    excess = [
        float(np.mean([_iou_over_nulls(h, tensors["regions"][row, index].astype(bool)) for index in regions]))
        if is_map(h)
        else None
        for row, h in enumerate(_maps(tensors[f"{method}/random"]))
    ]
    return (*found, judge.finding(RANDOM, "iou_over_nulls", excess, MAX_OVER_NULLS, at_least=False))


@dataclass(frozen=True, eq=False)
class _Judge:
    whom: Explainees
    confidence: float

    def finding(
        self, control: str, measure: str, values: Sequence[float | None], limit: float, *, at_least: bool
    ) -> ControlFinding:
        """Hold the mean over the control pairs, with its interval, against the limit."""
        mean = Writer("", (), self.confidence).mean(measure, values, self.whom.pair_identity[: len(values)])
        if mean.value is None:
            # a network that has learnt nothing may well give no map at all; what it must not give is a hit
            return ControlFinding(control=control, measure=measure, value=None, limit=limit, passed=not at_least)
        low, high = (mean.value if end is None else end for end in (mean.ci_low, mean.ci_high))
        one = (mean.n_identities or 0) < 2  # nothing is known of how far pairs scatter
        passed = not one and (low >= limit if at_least else high <= limit)
        failed = not one and (high < limit if at_least else low > limit)
        return ControlFinding(
            control=control, measure=measure, value=mean.value, ci_low=mean.ci_low, ci_high=mean.ci_high, limit=limit,
            passed=passed, decided=passed or failed,
        )  # fmt: skip


def why_not(judged: Sequence[ControlFinding]) -> str:
    """Return why a method may not score the model; empty when it may."""
    failed = [f.control for f in judged if f.decided and not f.passed]
    if failed:
        return f"failed the control: {', '.join(failed)}"
    if all(f.value is None for f in judged if f.control in PLANTED):
        return "the model looks at none of the parts that were left: nothing could be planted"
    unsure = [f.control for f in judged if not f.decided]
    return f"cannot tell on so few control pairs: {', '.join(unsure)}" if unsure else ""


def _iou_over_nulls(h: Floats, region: Mask) -> float:
    a = float(region.mean())
    nulls = [metrics.area_matched_iou(null, region) for null in metrics.null_maps(h).values()]
    return metrics.area_matched_iou(h, region) - max(*nulls, metrics.expected_iou(a, a))


def _maps(maps: NDArray[Any]) -> Iterator[Floats]:
    return (h.astype(np.float64) for h in maps)


def estimates(
    method: str, qualified: bool, tensors: Tensors, whom: Explainees, spec: ExplanationSpec, *, confidence: float,
    threshold: float | None,
) -> list[Estimate]:  # fmt: skip
    """Return all estimates of one method."""
    writer = Writer(method, () if qualified else (Flag.UNQUALIFIED,), confidence)
    maps = tensors[f"{method}/pairs"].astype(np.float64)
    regions = tensors["regions"].astype(bool)
    found = _region_estimates(writer, maps, regions, whom)
    found += _sensitivity(writer, maps, regions, whom, spec)
    found += _removal(writer, method, tensors, whom, threshold)
    found += _stability(writer, method, tensors, whom)
    if len(whom.triplet_identity):
        found += triplet_estimates(writer, method, tensors, whom)
    return found


def _region_estimates(writer: Writer, maps: Floats, regions: Mask, whom: Explainees) -> list[Estimate]:
    found = []
    identity = whom.pair_identity
    usable = [is_map(h) for h in maps]
    scaled = [
        h / max(float(np.abs(h).max()), 1e-12) if ok else np.zeros_like(h) for h, ok in zip(maps, usable, strict=True)
    ]
    total = np.sum(scaled, axis=0)
    for name in PARTS:
        index = REGIONS.index(name)
        values: dict[str, list[float | None]] = {m: [] for m in ("saliency_iou", "pixel_auroc", "pointing")}
        gaps: list[float | None] = []
        nulls: list[dict[str, float]] = []
        for row, h in enumerate(maps):
            region = regions[row, index]
            if not usable[row] or not region.any():  # an empty region can be neither hit nor missed
                for column in (*values.values(), gaps):
                    column.append(None)
                continue
            values["saliency_iou"].append(metrics.area_matched_iou(h, region))
            values["pixel_auroc"].append(metrics.pixel_auroc(h, region))
            values["pointing"].append(metrics.pointing_hit(h, region))
            own = {
                other: regions[row, REGIONS.index(other)] for other in PARTS if regions[row, REGIONS.index(other)].any()
            }
            gaps.append(metrics.mismatch_gap(h, name, own)[0] if len(own) > 1 else None)
            nulls.append(_nulls(h, region, own, name, total - scaled[row] if sum(usable) > 1 else None))
        mean_nulls = {key: float(np.mean([n[key] for n in nulls])) for key in nulls[0]} if nulls else None
        areas = regions[:, index].mean(axis=(1, 2))
        chance = float(areas.mean())
        found.append(
            writer.mean("saliency_iou", values["saliency_iou"], identity, nulls=mean_nulls, region=name, lowest=0.0)
        )
        found.append(writer.mean("iou_mismatch_gap", gaps, identity, nulls={"chance": 0.0}, region=name))
        found.append(
            writer.mean("pixel_auroc", values["pixel_auroc"], identity, nulls={"chance": 0.5}, region=name, lowest=0.0)
        )
        found.append(
            writer.mean("pointing", values["pointing"], identity, nulls={"chance": chance}, region=name, lowest=0.0)
        )
    return found + _masses(writer, maps, regions, whom, usable)


def _masses(writer: Writer, maps: Floats, regions: Mask, whom: Explainees, usable: Sequence[bool]) -> list[Estimate]:
    """Return relevance mass per region, overall and per demographic group."""
    found = []
    for index, name in enumerate(REGIONS):
        mass = [metrics.relevance_mass(h, regions[r, index]) if usable[r] else None for r, h in enumerate(maps)]
        areas = regions[:, index].mean(axis=(1, 2))
        for group, members in {"all": np.ones(len(maps), bool), **whom.pair_groups}.items():
            rows = np.flatnonzero(members)
            if rows.size:
                found.append(
                    writer.mean(
                        "relevance_mass", [mass[r] for r in rows], whom.pair_identity[rows], lowest=0.0,
                        nulls={"chance": float(areas[rows].mean())}, region=name, group=group,
                    )
                )  # fmt: skip
    return found


def _nulls(h: Floats, region: Mask, own: Mapping[str, Mask], name: str, others: Floats | None) -> dict[str, float]:
    a = float(region.mean())
    found = {"chance": metrics.expected_iou(a, a)}
    wrong = [metrics.area_matched_iou(h, mask) for other, mask in own.items() if other != name]
    if wrong:
        found["mismatched_region"] = float(np.mean(wrong))
    for key, null in metrics.null_maps(h).items():
        found[key] = metrics.area_matched_iou(null, region)
    if others is not None and np.ptp(others) > 0:
        found["mean_map"] = metrics.area_matched_iou(others, region)
    else:
        found["mean_map"] = found["chance"]
    return found


def _sensitivity(
    writer: Writer, maps: Floats, regions: Mask, whom: Explainees, spec: ExplanationSpec
) -> list[Estimate]:
    """Return IoU under the other rules of binarising: the band a reader should allow for."""
    found = []
    for rule in spec.sensitivity:
        for name in PARTS:
            index = REGIONS.index(name)
            values: list[float | None] = [
                metrics.intersection_over_union(metrics.binarised(h, rule), regions[r, index]) if is_map(h) else None
                for r, h in enumerate(maps)
            ]
            nulls = {
                "chance": float(
                    np.mean(
                        [
                            metrics.expected_iou(
                                float(metrics.binarised(h, rule).mean()), float(regions[r, index].mean())
                            )
                            for r, h in enumerate(maps)
                            if is_map(h)
                        ]
                        or [0.0]
                    )
                )
            }
            found.append(
                writer.mean("saliency_iou", values, whom.pair_identity, nulls=nulls, region=name, rule=rule, lowest=0.0)
            )
    return found


def _removal(
    writer: Writer, method: str, tensors: Tensors, whom: Explainees, threshold: float | None
) -> list[Estimate]:
    scores, blind = tensors[f"{method}/removal"], tensors["random/removal"]
    found = []
    for k, name in enumerate(("deletion_auc", "insertion_auc")):
        values = [_area(row[k]) for row in scores]
        null = float(np.mean([_area(row[k]) for row in blind]))
        found.append(writer.mean(name, values, whom.pair_identity, nulls={"random_order": null}))
    if threshold is not None:
        for k, name in enumerate(("deletion_tar", "insertion_tar")):
            values = [
                _area((row[k] >= threshold).astype(float)) if np.isfinite(row[k]).all() else None for row in scores
            ]
            null = float(np.mean([_area((row[k] >= threshold).astype(float)) for row in blind]))
            found.append(
                writer.mean(
                    name, values, whom.pair_identity, nulls={"random_order": null}, threshold=threshold, lowest=0.0
                )
            )
    return found


def _area(scores: NDArray[Any]) -> float | None:
    return metrics.curve_area(scores.tolist()) if np.isfinite(scores).all() else None


def _stability(writer: Writer, method: str, tensors: Tensors, whom: Explainees) -> list[Estimate]:
    """Return how maps change with what should change them and with what should not, beside maps of other pairs."""
    n = len(tensors[f"{method}/random"])
    maps, who = tensors[f"{method}/pairs"][:n].astype(np.float64), whom.pair_identity[:n]

    def compared(others: NDArray[Any], measure: Any) -> list[float | None]:
        return [
            float(measure(a, b)) if is_map(a) and is_map(b) else None
            for a, b in zip(maps, others.astype(np.float64), strict=True)
        ]

    def written(name: str, values: Sequence[float | None], measure: Any, **limits: float) -> Estimate:
        other = [value for shift in range(1, n) for value in compared(np.roll(maps, shift, 0), measure)]
        known = [value for value in other if value is not None]
        return writer.mean(
            name, values, who, nulls={"another_pair": float(np.mean(known))} if known else None, **limits
        )

    found = [
        written(
            "randomisation_similarity",
            compared(tensors[f"{method}/random"], metrics.rank_correlation),
            metrics.rank_correlation,
        )
    ]
    if len(tensors[f"{method}/again"]):
        again = compared(tensors[f"{method}/again"], metrics.map_correlation)
        found.append(written("seed_stability", again, metrics.map_correlation))
    near = [compared(others, metrics.map_distance) for others in tensors[f"{method}/near"]]
    # one degenerate map among the near ones is the largest change there can be, and no number
    worst = [None if None in each else max(v for v in each if v is not None) for each in zip(*near, strict=True)]
    found.append(written("max_sensitivity", worst, metrics.map_distance, lowest=0.0, highest=2.0))
    if f"{method}/gaps" in tensors:
        gaps = tensors[f"{method}/gaps"].tolist()
        found.append(writer.mean("completeness_gap", gaps, whom.pair_identity, lowest=0.0, highest=np.inf))
    return found


def rank_stability(found: Sequence[Estimate], spec: ExplanationSpec) -> float | None:
    """Return the least Kendall's tau between the methods' order by area-matched IoU and by each other rule."""
    from scipy.stats import kendalltau

    means: dict[str, dict[str, list[float]]] = {}
    for e in found:
        method, region = read_condition(e.condition) or ("", None)
        if e.metric == "saliency_iou" and region in PARTS and e.value is not None:
            means.setdefault(e.rule, {}).setdefault(method, []).append(e.value)
    base = {m: np.mean(v) for m, v in means.get("strict", {}).items()}
    if len(base) < 3:
        return None
    taus = []
    for rule in spec.sensitivity:
        other = {m: np.mean(v) for m, v in means.get(rule, {}).items()}
        if set(other) != set(base):
            raise InputError(f"the maps lack a value under the rule {rule}")
        taus.append(float(kendalltau([base[m] for m in base], [other[m] for m in base]).statistic))
    known = [tau for tau in taus if np.isfinite(tau)]
    return min(known) if known else None
