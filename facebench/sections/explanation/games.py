"""Maps of part swaps: agreement with the exactly known changed pixels, and the inpainting game."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.measure.rates import Rate, rate_estimate
from facebench.metrics import explanation as metrics
from facebench.metrics.uncertainty import identity_variance
from facebench.schema import Estimate, Flag
from facebench.schema.explanation import saliency_condition
from facebench.sections.explanation.writer import Explainees, Writer, is_map

Tensors = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

INPAINTING_AT = {"inpainting_at_1": 0.01, "inpainting_at_5": 0.05}
BLIND = ("random", "centred_gaussian", "oracle")
"""Games of maps that know nothing, and of the map that knows the changed pixels."""


def triplet_estimates(writer: Writer, method: str, tensors: Tensors, whom: Explainees) -> list[Estimate]:
    """Return agreement with the exactly known changed pixels, and the inpainting game."""
    maps, changed = tensors[f"{method}/triplets"].astype(np.float64), tensors["changed"].astype(bool)
    identity, found = whom.triplet_identity, []
    usable = [is_map(h) and c.any() for h, c in zip(maps, changed, strict=True)]
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


def _game(writer: Writer, method: str, tensors: Tensors, whom: Explainees) -> list[Estimate]:
    drawn = drawn_rows(tensors, method)
    admitted = tensors["admitted"].astype(bool) & drawn
    flags = writer.flags if drawn.all() else (*writer.flags, Flag.DEGENERATE_MAPS)
    found = []
    for name, at in INPAINTING_AT.items():
        taken = won(tensors[f"{method}/game"], at)
        knowing = {key: won(tensors[f"{key}/game"], at) for key in BLIND}
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
            written = rate_estimate(
                name, game_rate(taken[rows], whom.triplet_identity[rows]), writer.confidence, flags=flags, **common
            )
            found.append(written.model_copy(update={"n_identities": int(np.unique(whom.triplet_identity[rows]).size)}))
    return found


def game_rate(taken: Floats, identity: NDArray[np.int64]) -> Rate:
    """Return the rate of games won, with identities as sampling unit."""
    mean = taken.mean()
    variance = identity_variance(mean - taken, identity, taken.size)
    n = int(np.unique(identity).size)
    return Rate(round(float(taken.sum())), int(taken.size), variance, n, 1.0, "wilson-identity")


def drawn_rows(tensors: Tensors, method: str) -> Mask:
    """Return (T,) for which triplets a method gave a map; without one there is no game, neither won nor lost."""
    return np.array([is_map(h) for h in tensors[f"{method}/triplets"]], bool)


def won(game: NDArray[Any], at: float) -> Floats:
    """Return (T,) 1 where the blend became the twin in time; game is (T, 2, levels): outside share, taken for twin."""
    return np.array([metrics.inpainting_read(row[0], row[1].astype(bool), at) for row in game])
