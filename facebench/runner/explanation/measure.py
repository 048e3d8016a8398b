"""From saved maps to estimates and verdicts: one pure step, used by a run and by rescoring alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.metrics import explanation as metrics
from facebench.metrics.uncertainty import identity_variance
from facebench.probes.saliency.regions import PARTS, REGIONS
from facebench.runner.explanation.maps import PLANTED, is_gradient_family
from facebench.runner.rates import Rate, rate_estimate
from facebench.schema import Estimate, Flag
from facebench.schema.explanation import ControlFinding, ExplanationSpec, read_condition, saliency_condition

Tensors = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MIN_MASS, MIN_AUROC, MAX_OVER_NULLS = 0.95, 0.9, 0.05
INPAINTING_AT = {"inpainting_at_1": 0.01, "inpainting_at_5": 0.05}


@dataclass(frozen=True, eq=False)
class Explainees:
    """Whom the maps are of: identity index and groups of each pair, identity and part of each triplet."""

    pair_identity: NDArray[np.int64]
    pair_groups: Mapping[str, Mask]  # group name to (P,) members
    triplet_identity: NDArray[np.int64]
    triplet_part: tuple[str, ...]


def controls(method: str, tensors: Tensors) -> tuple[ControlFinding, ...]:
    """Return what the controls of one method showed.

    Planted attention: a gradient-family method must put at least 95 % of its relevance inside the planted mask, any
    other must reach a pixel AUROC of 0.9. Random weights: IoU with a part of the face must not exceed the best null
    (upside-down map, centred Gaussian, chance) by more than 0.05 on average over parts.
    """
    found = []
    strict = is_gradient_family(method)
    for k, name in enumerate(PLANTED):
        region = tensors["planted_masks"][k].astype(bool)
        values = [
            (metrics.relevance_mass if strict else metrics.pixel_auroc)(h, region)
            for h in _valid(tensors[f"{method}/planted"][k])
        ]
        known = [value for value in values if value is not None]
        mean = float(np.mean(known)) if known else None
        limit, measure = (MIN_MASS, "relevance_mass") if strict else (MIN_AUROC, "pixel_auroc")
        passed = mean is not None and mean >= limit
        found.append(ControlFinding(control=name, measure=measure, value=mean, limit=limit, passed=passed))
    excess = [
        _iou_over_nulls(h, tensors["regions"][row, REGIONS.index(name)].astype(bool))
        for row, h in enumerate(tensors[f"{method}/random"].astype(np.float64))
        if _is_map(h)
        for name in PLANTED
    ]
    mean = float(np.mean(excess)) if excess else None
    # a network that has learnt nothing may well give no map at all; what it must not give is a hit
    passed = mean is None or mean <= MAX_OVER_NULLS
    return (
        *found,
        ControlFinding(
            control="random weights", measure="iou_over_nulls", value=mean, limit=MAX_OVER_NULLS, passed=passed
        ),
    )


def _iou_over_nulls(h: Floats, region: Mask) -> float:
    a = float(region.mean())
    nulls = [metrics.area_matched_iou(null, region) for null in metrics.null_maps(h).values()]
    return metrics.area_matched_iou(h, region) - max(*nulls, metrics.expected_iou(a, a))


def _is_map(h: NDArray[Any]) -> bool:
    return bool(np.isfinite(h).all() and np.ptp(h) > 0)


def _valid(maps: NDArray[Any]) -> Iterator[Floats]:
    return (h.astype(np.float64) for h in maps if _is_map(h))


def estimates(
    method: str, qualified: bool, tensors: Tensors, whom: Explainees, spec: ExplanationSpec, *, confidence: float,
    threshold: float | None,
) -> list[Estimate]:  # fmt: skip
    """Return all estimates of one method."""
    writer = _Writer(method, () if qualified else (Flag.UNQUALIFIED,), confidence)
    maps = tensors[f"{method}/pairs"].astype(np.float64)
    regions = tensors["regions"].astype(bool)
    found = _region_estimates(writer, maps, regions, whom)
    found += _sensitivity(writer, maps, regions, whom, spec)
    found += _removal(writer, method, tensors, whom, threshold)
    found += _stability(writer, method, tensors, whom)
    if len(whom.triplet_identity):
        found += _triplet_estimates(writer, method, tensors, whom)
    return found


class _Writer:
    """Writes the mean of one value per pair as an estimate, with an interval over identities."""

    def __init__(self, method: str, flags: tuple[Flag, ...], confidence: float) -> None:
        self.method = method
        self.flags = flags
        self.confidence = confidence

    def mean(
        self, metric: str, values: Sequence[float | None], identity: NDArray[np.int64], *, lowest: float = -1.0,
        highest: float = 1.0, nulls: dict[str, float] | None = None, **fields: Any,
    ) -> Estimate:  # fmt: skip
        """Return the mean over pairs; pairs without a map are left out and counted in a flag."""
        from scipy.special import stdtrit

        known = np.array([value is not None and np.isfinite(value) for value in values], bool)
        x = np.array([value for value, ok in zip(values, known, strict=True) if ok], np.float64)
        who = identity[known]
        n_identities = int(np.unique(who).size)
        flags = self.flags if known.all() else (*self.flags, Flag.DEGENERATE_MAPS)
        condition = saliency_condition(self.method, fields.pop("region", None))
        common = {"metric": metric, "condition": condition, "nulls": nulls, "n_genuine": int(x.size), **fields}
        if not x.size:
            return Estimate(value=None, flags=(*flags, Flag.INSUFFICIENT), **common)
        value = float(x.mean())
        common["n_identities"] = n_identities
        if n_identities < 2:
            return Estimate(value=value, flags=(*flags, Flag.NO_INTERVAL), **common)
        variance = identity_variance(x - value, who, x.size) * n_identities / (n_identities - 1)
        if n_identities < 10:
            flags = (*flags, Flag.FEW_IDENTITIES)
        if variance == 0:  # equal values, often all 0 or all 1: no spread from which an interval could be had
            return Estimate(value=value, flags=(*flags, Flag.NO_INTERVAL), **common)
        half = float(stdtrit(n_identities - 1, 0.5 + self.confidence / 2)) * float(np.sqrt(variance))
        return Estimate(
            value=value, ci_low=max(lowest, value - half), ci_high=min(highest, value + half),
            ci_method="t-over-identities", flags=flags, **common,
        )  # fmt: skip


def _region_estimates(writer: _Writer, maps: Floats, regions: Mask, whom: Explainees) -> list[Estimate]:
    found = []
    identity = whom.pair_identity
    usable = [_is_map(h) for h in maps]
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


def _masses(writer: _Writer, maps: Floats, regions: Mask, whom: Explainees, usable: Sequence[bool]) -> list[Estimate]:
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
    known = others is not None and np.ptp(others) > 0
    found["mean_map"] = metrics.area_matched_iou(others, region) if known else found["chance"]
    return found


def _sensitivity(
    writer: _Writer, maps: Floats, regions: Mask, whom: Explainees, spec: ExplanationSpec
) -> list[Estimate]:
    """Return IoU under the other rules of binarising: the band a reader should allow for."""
    found = []
    for rule in spec.sensitivity:
        for name in PARTS:
            index = REGIONS.index(name)
            values: list[float | None] = [
                metrics.intersection_over_union(metrics.binarised(h, rule), regions[r, index]) if _is_map(h) else None
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
                            if _is_map(h)
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
    writer: _Writer, method: str, tensors: Tensors, whom: Explainees, threshold: float | None
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


def _stability(writer: _Writer, method: str, tensors: Tensors, whom: Explainees) -> list[Estimate]:
    """Return how maps change with what should change them and with what should not, beside maps of other pairs."""
    n = len(tensors[f"{method}/random"])
    maps, who = tensors[f"{method}/pairs"][:n].astype(np.float64), whom.pair_identity[:n]

    def compared(others: NDArray[Any], measure: Any) -> list[float | None]:
        return [
            float(measure(a, b)) if _is_map(a) and _is_map(b) else None
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


def _triplet_estimates(writer: _Writer, method: str, tensors: Tensors, whom: Explainees) -> list[Estimate]:
    """Return agreement with the exactly known changed pixels, and the inpainting game."""
    maps, changed = tensors[f"{method}/triplets"].astype(np.float64), tensors["changed"].astype(bool)
    identity, found = whom.triplet_identity, []
    usable = [_is_map(h) and c.any() for h, c in zip(maps, changed, strict=True)]
    chance = [metrics.expected_iou(float(c.mean()), float(c.mean())) for c in changed]
    measures: dict[str, tuple[Any, dict[str, float]]] = {
        "saliency_iou": (metrics.area_matched_iou, {"chance": float(np.mean(chance))}),
        "pixel_auroc": (metrics.pixel_auroc, {"chance": 0.5}),
        "relevance_mass": (metrics.relevance_mass, {"chance": float(changed.mean())}),
        "pointing": (metrics.pointing_hit, {"chance": float(changed.mean())}),
    }
    for name, (measure, nulls) in measures.items():
        values = [measure(h, c) if ok else None for h, c, ok in zip(maps, changed, usable, strict=True)]
        if name == "saliency_iou" and any(usable):
            for key in metrics.null_maps(changed[0]):
                known = [metrics.area_matched_iou(metrics.null_maps(h)[key], c)
                         for h, c, ok in zip(maps, changed, usable, strict=True) if ok]  # fmt: skip
                nulls = {**nulls, key: float(np.mean(known))}
        found.append(writer.mean(name, values, identity, nulls=nulls, region="changed_pixels", lowest=0.0))
    return found + _game(writer, method, tensors, whom)


def _game(writer: _Writer, method: str, tensors: Tensors, whom: Explainees) -> list[Estimate]:
    drawn = np.array([_is_map(h) for h in tensors[f"{method}/triplets"]], bool)
    admitted = tensors["admitted"].astype(bool) & drawn  # without a map there is no game, neither won nor lost
    flags = writer.flags if drawn.all() else (*writer.flags, Flag.DEGENERATE_MAPS)
    found = []
    for name, at in INPAINTING_AT.items():
        won = _won(tensors[f"{method}/game"], at)
        knowing = {key: _won(tensors[f"{key}/game"], at) for key in ("random", "centred_gaussian", "oracle")}
        for part in ("all", *dict.fromkeys(whom.triplet_part)):
            rows = admitted & ([True] * len(admitted) if part == "all" else np.array(whom.triplet_part) == part)
            common: dict[str, Any] = {
                "condition": saliency_condition(writer.method, None if part == "all" else part),
                "nulls": {key: float(w[rows].mean()) for key, w in knowing.items()} if rows.any() else None,
                "n_genuine": int(rows.sum()),
            }  # fmt: skip
            if not rows.any():
                found.append(Estimate(metric=name, value=None, flags=(*flags, Flag.INSUFFICIENT), **common))
                continue
            lost, who = 1 - won[rows], whom.triplet_identity[rows]
            variance = identity_variance(lost - lost.mean(), who, lost.size)
            rate = Rate(
                round(float(won[rows].sum())),
                int(rows.sum()),
                variance,
                int(np.unique(who).size),
                1.0,
                "wilson-identity",
            )
            written = rate_estimate(name, rate, writer.confidence, flags=flags, **common)
            found.append(written.model_copy(update={"n_identities": int(np.unique(who).size)}))
    return found


def _won(game: NDArray[Any], at: float) -> Floats:
    """Return (T,) 1 where the blend became the twin in time; game is (T, 2, levels): outside share, taken for twin."""
    return np.array([metrics.inpainting_read(row[0], row[1].astype(bool), at) for row in game])


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
