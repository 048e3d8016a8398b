"""How well a saliency map agrees with a region, beside what maps that know nothing would score.

Throughout, h is a map (H, W) and G a region (H, W) of bools with area fraction a. A raw overlap means little: on
published maps of twelve expression networks the masks of the wrong expressions score as high as the right ones, and a
centred Gaussian scores higher than every network. So every measure stands beside its nulls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError

Map = NDArray[np.floating[Any]]
Region = NDArray[np.bool_]
Floats = NDArray[np.float64]


def check(h: Map, region: Region) -> None:
    """Refuse what has no meaning.

    Raises:
        InputError: shapes differ, the map holds NaN or is constant, or the region is empty or everything.
    """
    if h.shape != region.shape:
        raise InputError(f"the map is {h.shape} and the region {region.shape}; they must be of one size")
    if not np.isfinite(h).all() or np.ptp(h) == 0:
        raise InputError("the map is constant or holds NaN: it says nothing, and must not be scored")
    if not region.any() or region.all():
        raise InputError("the region is empty or the whole picture: no map can hit or miss it")


def top_pixels(h: Map, count: int) -> Region:
    """Return the `count` highest pixels; ties at the border are cut in reading order, the same for every machine."""
    order = np.argsort(-h.ravel(), kind="stable")[:count]
    found = np.zeros(h.size, bool)
    found[order] = True
    return found.reshape(h.shape)


def intersection_over_union(first: Region, second: Region) -> float:
    """Return |A and B| / |A or B|; 0 when both are empty."""
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 0.0


def area_matched_iou(h: Map, region: Region) -> float:
    """Return the IoU of the region with the map's |G| highest pixels.

    With r the share of those pixels inside G (rank accuracy), IoU = r / (2 - r); chance is a / (2 - a).

    >>> h = np.array([[4.0, 3.0], [2.0, 1.0]])
    >>> area_matched_iou(h, np.array([[True, False], [True, False]]))
    0.3333333333333333
    """
    check(h, region)
    return intersection_over_union(top_pixels(h, int(region.sum())), region)


def otsu_threshold(h: Map, bins: int = 256) -> float:
    """Return the threshold that splits a map's values with the largest variance between the parts (Otsu 1979).

    Where several bins between the parts are empty, all are equally good; the middle is taken.
    """
    counts, edges = np.histogram(h, bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1].astype(float)
    above = counts.sum() - below
    sums = np.cumsum(counts * centres)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    between = np.nan_to_num(between)
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))
    return float(edges[1:-1][best].mean())


def binarised(h: Map, rule: str) -> Region:
    """Return the pixels a rule keeps.

    Args:
        rule: ``otsu`` (on the positive part), ``top-10`` (percent of pixels), or ``fixed-50`` (percent of the maximum).
    """
    kind, _, number = rule.partition("-")
    if rule == "otsu":
        positive = np.maximum(h, 0)
        return np.asarray(positive > otsu_threshold(positive)) if np.ptp(positive) > 0 else np.zeros(h.shape, bool)
    if kind == "top" and number.isdigit() and 0 < int(number) < 100:
        return top_pixels(h, max(1, round(h.size * int(number) / 100)))
    if kind == "fixed" and number.isdigit() and 0 < int(number) < 100:
        return np.asarray(h >= h.max() * int(number) / 100) if h.max() > 0 else np.zeros(h.shape, bool)
    raise InputError(f"unknown rule {rule!r}; known: otsu, top-<percent>, fixed-<percent>")


def expected_iou(p: float, q: float) -> float:
    """Return the IoU of two independent random sets of area fractions p and q: pq / (p + q - pq)."""
    union = p + q - p * q
    return p * q / union if union else 0.0


def chance_corrected(value: float, null: float) -> float | None:
    """Return (value - null) / (1 - null): 0 at chance, 1 at best; None when the null is 1."""
    return None if null >= 1 else (value - null) / (1 - null)


def relevance_mass(h: Map, region: Region) -> float | None:
    """Return the share of positive relevance inside the region, sum_G h+ / sum h+ (energy-based pointing game).

    None when no value is positive. Source: Wang et al. 2020 (Score-CAM); chance is a.
    """
    positive = np.maximum(np.asarray(h, np.float64), 0)
    total = float(positive.sum())
    return float(positive[region].sum()) / total if total > 0 else None


def pointing_hit(h: Map, region: Region) -> float:
    """Return 1 when the highest pixel lies in the region, else 0; of several highest, the share inside.

    Source: Zhang et al. 2018. A constant map is refused: its first pixel is no answer.
    """
    check(h, region)
    return float(region[h == h.max()].mean())


def pixel_auroc(h: Map, region: Region) -> float:
    """Return the chance that a pixel of the region ranks above one outside, ties counted half; 0.5 is chance."""
    from scipy.stats import rankdata

    check(h, region)
    ranks = rankdata(h.ravel())
    inside = region.ravel()
    n, m = int(inside.sum()), int((~inside).sum())
    return float((ranks[inside].sum() - n * (n + 1) / 2) / (n * m))


def mismatch_gap(h: Map, own: str, regions: Mapping[str, Region]) -> tuple[float, int]:
    """Return chance-corrected IoU with the own region less the mean with the others, and the own region's rank.

    Regions differ in size and a larger one is easier to hit, so each IoU is corrected for its chance first.
    """
    corrected = {}
    for name, region in regions.items():
        a = float(region.mean())
        found = chance_corrected(area_matched_iou(h, region), expected_iou(a, a))
        corrected[name] = found if found is not None else 0.0
    others = [value for name, value in corrected.items() if name != own]
    if not others:
        raise InputError("a mismatch gap needs another region to compare with")
    rank = 1 + sum(value >= corrected[own] for value in others)
    return corrected[own] - float(np.mean(others)), rank


def centred_gaussian(shape: tuple[int, int]) -> Floats:
    """Return a map that knows nothing but that faces are in the middle: sigma a quarter of each side."""
    y, x = (np.arange(n) - (n - 1) / 2 for n in shape)
    return np.asarray(np.exp(-((y[:, None] / (shape[0] / 4)) ** 2 + (x[None, :] / (shape[1] / 4)) ** 2) / 2))


def null_maps(h: Map) -> dict[str, Map]:
    """Return maps that know nothing of the region: the map upside down, and a centred Gaussian."""
    return {"upside_down": h[::-1], "centred_gaussian": centred_gaussian((h.shape[0], h.shape[1]))}


def curve_area(scores: Sequence[float]) -> float:
    """Return the area under equally spaced scores over [0, 1], by trapezoids (deletion and insertion)."""
    values = np.asarray(scores, np.float64)
    if values.size < 2:
        raise InputError("an area needs at least two points")
    return float(np.trapezoid(values, dx=1 / (values.size - 1)))


def map_correlation(first: Map, second: Map) -> float:
    """Return Pearson's correlation of two maps (normalised cross-correlation)."""
    a, b = (np.asarray(h, np.float64).ravel() - np.mean(h) for h in (first, second))
    scale = float(np.linalg.norm(a) * np.linalg.norm(b))
    if scale == 0:
        raise InputError("a constant map correlates with nothing")
    return float(a @ b) / scale


def map_distance(first: Map, second: Map) -> float:
    """Return how far two maps lie apart once each is scaled to norm 1: 0 for the same, sqrt 2 for unrelated ones.

    Its largest value over faces near the probe is max-sensitivity (Yeh et al. 2019, "On the (in)fidelity and
    sensitivity of explanations"), with the map scaled, so that methods on different scales can be compared.
    """
    a, b = (np.asarray(h, np.float64).ravel() for h in (first, second))
    lengths = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if not min(lengths) > 0:
        raise InputError("a map of zeros has no direction")
    return float(np.linalg.norm(a / lengths[0] - b / lengths[1]))


def rank_correlation(first: Map, second: Map) -> float:
    """Return Spearman's correlation of the values of two maps or two score matrices."""
    from scipy.stats import rankdata

    return map_correlation(rankdata(np.ravel(first)), rankdata(np.ravel(second)))


def clustering_tree(maps: Sequence[Map]) -> Floats:
    """Return scipy's linkage matrix (n - 1, 4) of maps: distance 1 - NCC, average linkage."""
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    n = len(maps)
    if n < 2:
        raise InputError("a tree needs at least two maps")
    distance = np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            distance[i, j] = distance[j, i] = max(0.0, 1 - map_correlation(maps[i], maps[j]))
    return np.asarray(linkage(squareform(distance), "average"))


def inpainting_path(h: Map, levels: int = 101) -> Region:
    """Return (levels, H, W) nested masks that hold a rising share 0..1 of a map's positive mass, highest pixels first.

    Pixels without positive relevance follow in order of their value once the mass is used up, at the last level.
    """
    flat = np.asarray(h, np.float64).ravel()
    order = np.argsort(-flat, kind="stable")
    mass = np.cumsum(np.maximum(flat[order], 0))
    shares = np.linspace(0, 1, levels)
    masks = np.zeros((levels, flat.size), bool)
    for level, share in enumerate(shares[1:], start=1):
        count = flat.size if mass[-1] <= 0 or level == levels - 1 else int(np.searchsorted(mass, share * mass[-1])) + 1
        masks[level, order[:count]] = True
    return masks.reshape(levels, *h.shape)


def inpainting_read(outside: Floats, twin: Region, at: float) -> float:
    """Return whether the blend is taken for the twin before more than `at` of the outside pixels were replaced.

    Args:
        outside: (levels,) share of the pixels outside the region that were replaced, rising.
        twin: (levels,) whether the blend was classified as the twin.
        at: allowed share, e.g. 0.01.

    Source: Williford, May and Byrne 2020, "Explainable face recognition": y at x = `at` for one triplet.
    """
    allowed = outside <= at
    return float(twin[allowed].any())
