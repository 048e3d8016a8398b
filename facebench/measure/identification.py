"""Estimates of 1:N search: rank-k in a closed set, FNIR at an FPIR target in an open one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.measure.rates import Rate, complement, rate_estimate, threshold_flags
from facebench.measure.sample import Images
from facebench.metrics import uncertainty, verification
from facebench.metrics.identification import cumulative_match, missed_searches, rank_k_rate
from facebench.schema import Curve, Estimate, Flag
from facebench.schema.identification import IdentificationSpec, OpenSetSpec
from facebench.scoring import failed_rows
from facebench.scoring.search import Searches, search

ROLES = ("gallery", "gallery-2", "probe")
SLOPE_STEP = 0.3

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Roles:
    """Who is enrolled and who is searched for.

    Attributes:
        galleries: (E,) images of each gallery; IJB has two, and every probe is searched for in both.
        probes: (P,) images searched for.
    """

    galleries: tuple[Rows, ...]
    probes: Rows

    @property
    def enrolled(self) -> Rows:
        """The images of all galleries."""
        return np.concatenate(self.galleries)


def roles_of(images: Images, spec: IdentificationSpec) -> Roles:
    """Return galleries and probes: the first image of each identity and all others, or by the roles of the dataset.

    Raises:
        InputError: the roles are missing, unknown, or leave nobody to enrol or to search for.
    """
    if spec.gallery != "role":
        _, first = np.unique(images.identity, return_index=True)
        return Roles((first,), np.setdiff1d(np.arange(images.identity.size), first))
    if images.roles is None:
        raise InputError(
            "the protocol chooses the gallery by role, but the dataset has no roles; add a column `role` to the "
            "manifest (gallery, gallery-2 or probe), or leave out identification.gallery"
        )
    strange = sorted({str(value) for value in images.roles if value is not None} - set(ROLES))
    if strange:
        raise InputError(f"column role: expected {', '.join(ROLES)} or nothing, found {', '.join(strange[:5])}")
    chosen = np.array([str(value) for value in images.roles])
    galleries, probes = [np.flatnonzero(chosen == role) for role in ROLES[:2]], np.flatnonzero(chosen == "probe")
    if not any(gallery.size for gallery in galleries) or not probes.size:
        missing = "probe" if any(gallery.size for gallery in galleries) else "gallery"
        raise InputError(f"the protocol chooses the gallery by role, but no image has the role {missing}")
    return Roles(tuple(gallery for gallery in galleries if gallery.size), probes)


def identification(
    vectors: NDArray[np.float32], images: Images, spec: IdentificationSpec, comparator: str, confidence: float
) -> tuple[list[Estimate], list[Curve]]:
    """Return the estimates of closed-set and open-set search, and the CMC curve if asked for.

    Searches in two galleries are counted together; the figures of each alone follow, as conditions ``gallery:1`` and
    ``gallery:2``.
    """
    roles = roles_of(images, spec)
    estimates: list[Estimate] = []
    curves: list[Curve] = []
    parts = [("clean", roles)]
    if len(roles.galleries) > 1:
        parts += [(f"gallery:{n}", Roles((one,), roles.probes)) for n, one in enumerate(roles.galleries, 1)]
    for condition, part in parts:
        closed = closed_set(vectors, images, part, comparator)
        found = closed_estimates(closed, spec, confidence)
        curves += cmc_curves(closed, spec, condition)
        if spec.open_set is not None:
            found += _open_set(vectors, images, part, spec.open_set, comparator, confidence)
        estimates += [estimate.model_copy(update={"condition": condition}) for estimate in found]
    return estimates, curves


@dataclass(frozen=True, eq=False)
class ClosedSet:
    """Searches for people who are enrolled.

    Attributes:
        ranks: (S,) place of the mate; ties count against it.
        identity: (S,) of the person searched for.
        enrolled: identities in all galleries.
        smallest: identities in the smallest gallery: the highest rank that says anything.
    """

    ranks: Rows
    identity: Rows
    enrolled: int
    smallest: int


def closed_set(vectors: NDArray[np.float32], images: Images, roles: Roles, comparator: str) -> ClosedSet:
    """Search every probe in each gallery that holds its identity."""
    ranks, identities, sizes = [], [], []
    for enrolled in roles.galleries:
        people, gallery = _templates(vectors, images, enrolled, comparator)
        mated = roles.probes[np.isin(images.identity[roles.probes], people)]
        identity = images.identity[mated]
        ranks.append(search(vectors[mated], gallery, np.searchsorted(people, identity), comparator).rank)
        identities.append(identity)
        sizes.append(people.size)
    return ClosedSet(np.concatenate(ranks), np.concatenate(identities), sum(sizes), min(sizes))


def cmc_curves(closed: ClosedSet, spec: IdentificationSpec, condition: str = "clean") -> list[Curve]:
    """Return the CMC curve as far as the protocol asks and the gallery goes, if it asks for one."""
    if spec.cmc is None or not closed.ranks.size or closed.smallest < 2:
        return []
    highest = min(spec.cmc, closed.smallest)
    y = tuple(cumulative_match(closed.ranks, highest).tolist())
    return [Curve(kind="cmc", name="all", condition=condition, x=tuple(range(1, highest + 1)), y=y)]


def closed_estimates(closed: ClosedSet, spec: IdentificationSpec, confidence: float) -> list[Estimate]:
    """Return the rank-k rates of searches for people who are enrolled."""
    if not closed.ranks.size or closed.smallest < 2:
        return [Estimate(metric="rank", k=k, value=None, flags=(Flag.NO_GENUINE,)) for k in spec.ranks]
    ranks = [k for k in spec.ranks if k <= closed.smallest]
    return [_rank(closed.ranks, closed.identity, k, closed.enrolled, confidence) for k in ranks]


def _templates(
    vectors: NDArray[np.float32], images: Images, enrolled: NDArray[np.int64], comparator: str
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the identities of the gallery, rising, and one template each: the mean of its working images."""
    people, person, counts = np.unique(images.identity[enrolled], return_inverse=True, return_counts=True)
    if (counts == 1).all():
        return people, vectors[enrolled[np.argsort(person, kind="stable")]]
    rows = vectors[enrolled].astype(np.float64)
    if comparator == "cosine":
        with np.errstate(invalid="ignore"):
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    works = ~failed_rows(rows)
    sums = np.zeros((people.size, vectors.shape[1]))
    np.add.at(sums, person[works], rows[works])
    used = np.bincount(person[works], minlength=people.size)
    with np.errstate(invalid="ignore"):
        return people, (sums / used[:, None]).astype(np.float32)  # NaN where no image works


def _rank(ranks: NDArray[np.int64], identity: NDArray[np.int64], k: int, n_gallery: int, confidence: float) -> Estimate:
    misses = ranks > k
    rate = _rate(misses, identity, "wilson-identity")
    miss = rate_estimate("miss", rate, confidence, k=k, n_genuine=misses.size, n_identities=n_gallery)
    return complement(miss, "rank").model_copy(update={"value": rank_k_rate(ranks, k)})


def _rate(errors: NDArray[np.bool_], identity: NDArray[np.int64], method: str, more_variance: float = 0.0) -> Rate:
    each = errors.astype(np.float64)
    variance = uncertainty.identity_variance(each - each.mean(), identity, each.size) + more_variance
    people = int(np.unique(identity).size)
    return Rate(int(errors.sum()), errors.size, variance, people, 1.0, method)


def held_out(images: Images, enrolled: NDArray[np.int64], hold_out: int) -> NDArray[np.int64]:
    """Return the identities left out of the gallery: evenly spaced in the order of their first images.

    Raises:
        InputError: so many are held out that fewer than two identities would stay.
    """
    people = np.unique(images.identity[enrolled])  # identities are numbered by their first image
    if people.size - hold_out < 2 and hold_out:
        raise InputError(f"open_set.hold_out: {hold_out} of {people.size} identities leave no gallery; hold out fewer")
    return people[(np.arange(hold_out) * people.size) // max(hold_out, 1)]


def _open_set(
    vectors: NDArray[np.float32],
    images: Images,
    roles: Roles,
    spec: OpenSetSpec,
    comparator: str,
    confidence: float,
) -> list[Estimate]:
    """Return fpir and fnir at each target; FPIR counts searches without a mate only."""
    strangers = held_out(images, roles.enrolled, spec.hold_out)
    held = np.isin(images.identity, strangers)
    probes = np.union1d(roles.probes, roles.enrolled[held[roles.enrolled]])
    identity = np.tile(images.identity[probes], len(roles.galleries))
    found, known = _search_galleries(vectors, images, roles, probes, held, comparator)
    return open_estimates(found, known, identity, spec, confidence)


def open_estimates(
    found: Searches, known: NDArray[np.bool_], identity: Rows, spec: OpenSetSpec, confidence: float
) -> list[Estimate]:
    """Return fpir and fnir at each target.

    Args:
        found: S searches.
        known: (S,) whether the person searched for is enrolled.
        identity: (S,) of the person searched for.
    """
    common: dict[str, Any] = {
        "n_genuine": int(known.sum()), "n_impostor": int((~known).sum()),
        "n_identities": int(np.unique(identity).size), "threshold_source": "non-mated searches",
    }  # fmt: skip
    if known.all() or not known.any():
        flag = Flag.NO_IMPOSTOR if known.all() else Flag.NO_GENUINE
        return [
            Estimate(metric=metric, fpir_target=f, k=k, value=None, flags=(flag,), **common)
            for f in spec.fpir_targets
            for metric, k in (("fpir", None), ("fnir", spec.rank))
        ]
    estimates: list[Estimate] = []
    for point in verification.operating_points(found.best[~known], sorted(spec.fpir_targets)):
        fields = {**common, "fpir_target": point.fmr_target, "threshold": point.threshold}
        limits: tuple[Flag, ...] = () if point.resolvable else (Flag.UNRESOLVABLE,)
        alarms = found.best[~known] >= np.float32(point.threshold)
        fpir = _rate(alarms, identity[~known], "wilson-identity")
        estimates.append(rate_estimate("fpir", fpir, confidence, flags=limits, **fields))
        missed = missed_searches(found.mate[known], found.rank[known], point.threshold, spec.rank)
        slope = _slope(found, known, point.fmr_target, spec.rank)
        of_threshold = slope**2 * (fpir.variance or 0.0)
        fnir = _rate(missed, identity[known], "wilson-delta", of_threshold)
        unsure = (*limits, *threshold_flags(fpir.errors))
        estimates.append(rate_estimate("fnir", fnir, confidence, flags=unsure, k=spec.rank, **fields))
    return estimates


def _search_galleries(
    vectors: NDArray[np.float32], images: Images, roles: Roles, probes: Rows, held: NDArray[np.bool_], comparator: str
) -> tuple[Searches, NDArray[np.bool_]]:
    """Search the probes in every gallery, one after the other, and tell which searches have a mate."""
    parts, mated = [], []
    for enrolled in roles.galleries:
        people, gallery = _templates(vectors, images, enrolled[~held[enrolled]], comparator)
        identity = images.identity[probes]
        place = np.minimum(np.searchsorted(people, identity), people.size - 1)
        known = people[place] == identity
        parts.append(search(vectors[probes], gallery, np.where(known, place, -1), comparator))
        mated.append(known)
    found = Searches(
        np.concatenate([part.rank for part in parts]),
        np.concatenate([part.mate for part in parts]),
        np.concatenate([part.best for part in parts]),
    )
    return found, np.concatenate(mated)


def _slope(found: Searches, known: NDArray[np.bool_], target: float, rank: int) -> float:
    """Return by how much the FNIR falls per FPIR gained at an operating point (a difference quotient)."""
    n = int((~known).sum())
    step = min(0.9, max(SLOPE_STEP, 2 / np.sqrt(max(target * n, 1.0))))
    shares = np.clip([target * (1 - step), target * (1 + step)], 0, 1)
    low, high = np.quantile(np.maximum(found.best[~known], np.finfo(np.float32).min), 1 - shares)
    rates: Sequence[float] = [
        float(missed_searches(found.mate[known], found.rank[known], float(t), rank).mean()) for t in (low, high)
    ]
    return max(0.0, (rates[0] - rates[1]) / float(shares[1] - shares[0]))
