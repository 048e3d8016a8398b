"""Continuous covariates: how the odds of an error change with the mean of two images' values and their difference.

``logit P(error) = b0 + b1 (x_a + x_b) / 2 + b2 |x_a - x_b|`` over all comparisons whose images have a value, with
variances over identities. Odds ratios are given per step that the protocol states: ``covariates: {age: 10}``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError, UnknownNameError
from facebench.measure.drawn import drawn_people, genuine_ends
from facebench.measure.every_score import Measurement
from facebench.measure.pairwise import Block, blocks
from facebench.measure.sample import Images
from facebench.measure.study import attributes_of
from facebench.metrics import regression
from facebench.metrics.uncertainty import normal_quantile
from facebench.metrics.verification import held
from facebench.schema import Estimate, Flag, ProtocolSpec, Unmeasured, point_fields
from facebench.scoring import compare_pairs, similarity
from facebench.sections.contract import Listed, PlanRow, RunContext, Saved, SectionResult

MIN_ERRORS = 30
Floats = NDArray[np.float64]


def plan(spec: ProtocolSpec, n_images: int, seconds_per_image: float) -> list[PlanRow]:  # noqa: ARG001 - embeds nothing
    """Return the cost: some ten passes over all comparisons for each covariate."""
    return [PlanRow("regression on covariates", 0, len(spec.covariates or ()) * n_images**2 * 3e-7)]


def run(context: RunContext) -> SectionResult:
    """Regress false matches and missed genuine comparisons at the primary target on each covariate."""
    comparator = context.model.card.comparator.value
    return _of_embeddings(context.spec, context.images, context.embedded.vectors, comparator, context.clean)


def remeasure(saved: Saved) -> SectionResult:
    """Fit again from the embeddings."""
    comparator = saved.result.model.comparator.value
    return _of_embeddings(saved.spec, saved.images, saved.vectors, comparator, saved.clean)


def _of_embeddings(
    spec: ProtocolSpec, images: Images, vectors: NDArray[np.float32], comparator: str, clean: Measurement
) -> SectionResult:
    """Fit on all genuine comparisons and all impostor comparisons; of very many images on those of people drawn."""
    rows = np.flatnonzero(drawn_people(images.identity))

    def impostors(identity: NDArray[np.int64], values: Floats, false: NDArray[np.int64]) -> _Impostors:
        return _Impostors(identity[rows], values[rows], false)

    found = _measured(spec, images, partial(_errors, vectors, images.identity, rows, comparator), impostors, clean)
    n = images.identity.size
    if rows.size == n or images.identities is None:
        return found
    people = np.unique(images.identity[rows]).size
    why = (
        f"a regression goes through single comparisons many times, so false matches were fitted among {people:,} "
        f"people drawn at random with all their images ({rows.size:,} of {n:,}); all genuine comparisons were used"
    )
    said = Unmeasured(what="regression on covariates over all impostor comparisons", why=why)
    return replace(found, unmeasured=(*found.unmeasured, said))


def from_scores(listed: Listed) -> SectionResult:
    """Fit on the comparisons of a file."""
    scores = listed.scored.scores

    def errors(threshold: float) -> _Errors:
        false = scores.impostor >= held(threshold, scores.impostor.dtype)
        missed = scores.genuine < held(threshold, scores.genuine.dtype)
        ends = scores.impostor_ends[false].astype(np.int64)
        return _Errors(ends, scores.genuine_ends.astype(np.int64), np.asarray(missed))

    impostors = partial(_ListedImpostors, scores.impostor_ends.astype(np.int64))
    return _measured(listed.spec, listed.images, errors, impostors, listed.clean)


def _measured(
    spec: ProtocolSpec,
    images: Images,
    errors_at: Callable[[float], _Errors],
    impostors: Callable[[NDArray[np.int64], Floats, NDArray[np.int64]], _Regression],
    clean: Measurement,
) -> SectionResult:
    assert spec.covariates is not None
    if images.identities is None:
        why = "the dataset names no identities, so no variance is known"
        return SectionResult(unmeasured=(Unmeasured(what="regression on covariates", why=why),))
    point = clean.at(spec.primary)
    attributes = attributes_of(spec, images)
    errors = errors_at(point.threshold or 0.0)
    estimates: list[Estimate] = []
    for name, step in spec.covariates.items():
        if name not in attributes:
            raise UnknownNameError("attribute", name, attributes, where="the protocol's covariates")
        if any(isinstance(value, str) for value in attributes[name]):
            raise InputError(f"covariates: the column {name!r} holds words; a regression needs numbers")
        values = np.array([np.nan if v is None else float(v) for v in attributes[name]])
        common: dict[str, object] = {"group": name, **point_fields(point.point), "threshold": point.threshold}
        common["threshold_source"] = point.threshold_source
        estimates += impostors(images.identity, values / step, errors.impostor).estimates(spec, common)
        estimates += _Genuines(images.identity, values / step, errors).estimates(spec, common)
    return SectionResult(estimates=tuple(estimates))


@dataclass(frozen=True, eq=False)
class _Errors:
    """(E, 2) positions of the false matches among the images fitted; all genuine comparisons, and which were missed."""

    impostor: NDArray[np.int64]
    genuine: NDArray[np.int64]
    missed: NDArray[np.bool_]


def _errors(
    vectors: NDArray[np.float32],
    identity: NDArray[np.int64],
    rows: NDArray[np.int64],
    comparator: str,
    threshold: float,
) -> _Errors:
    """Return all genuine comparisons, and the false matches among some images, as positions in `rows`."""
    false = [np.zeros((0, 2), np.int64)]
    for block in blocks(identity[rows]):
        scores = similarity(vectors[rows[block.rows]], vectors[rows[block.columns]], comparator)
        row, column = np.nonzero(block.impostor & (scores >= np.float32(threshold)))
        false.append(np.stack([block.rows[row], block.columns[column]], 1))
    genuine = genuine_ends(identity)
    missed = compare_pairs(vectors, genuine[:, 0], genuine[:, 1], comparator) < np.float32(threshold)
    return _Errors(np.concatenate(false), genuine, missed)


class _Regression:
    """What both kinds of comparisons share: odds ratios and intervals from a fit."""

    rate: str
    method: str
    n_errors: int
    n: int
    n_identities: int

    def fit(self) -> regression.Fit | None:
        """Return the coefficients of 1, mean and difference."""
        raise NotImplementedError

    def estimates(self, spec: ProtocolSpec, common: dict[str, object]) -> list[Estimate]:
        """Return the odds ratio per step of the mean, and per step of the difference."""
        from scipy.special import ndtr

        counts = {"n_impostor" if self.rate == "fmr" else "n_genuine": self.n, "n_identities": self.n_identities}
        names = (f"{self.rate}_odds_mean", f"{self.rate}_odds_difference")
        if not self.n:
            missing = Flag.NO_IMPOSTOR if self.rate == "fmr" else Flag.NO_GENUINE
            return [_estimate(name, None, (missing,), common) for name in names]
        found = self.fit() if min(self.n_errors, self.n - self.n_errors) >= MIN_ERRORS else None
        if found is None:
            fields = {**common, **counts, "errors": self.n_errors}
            return [_estimate(name, None, (Flag.INSUFFICIENT,), fields) for name in names]
        z = normal_quantile(spec.uncertainty.confidence)
        estimates = []
        for place, name in enumerate(names, 1):
            slope, error = float(found.coefficients[place]), float(np.sqrt(found.covariance[place, place]))
            fields = {
                **common, **counts, "errors": self.n_errors, "ci_method": self.method,
                "ci_low": float(np.exp(slope - z * error)), "ci_high": float(np.exp(slope + z * error)),
                "p_value": float(2 * ndtr(-abs(slope) / error)) if error > 0 else None,
            }  # fmt: skip
            estimates.append(_estimate(name, float(np.exp(slope)), (), fields))
        return estimates


def _estimate(metric: str, value: float | None, flags: tuple[Flag, ...], fields: dict[str, object]) -> Estimate:
    return Estimate.model_validate({**fields, "metric": metric, "value": value, "flags": flags})


class _Impostors(_Regression):
    """False matches over all impostor comparisons with two known values, never held at once."""

    rate, method = "fmr", "dyadic-robust"

    def __init__(self, identity: NDArray[np.int64], values: Floats, false: NDArray[np.int64]) -> None:
        self._identity = identity
        known = ~np.isnan(values)
        self._known = known
        self._centre = float(values[known].mean()) if known.any() else 0.0
        self._values = np.where(known, values - self._centre, 0.0)
        kept = false[known[false].all(axis=1)]
        self._false = kept
        self._x = _design(self._values[kept[:, 0]], self._values[kept[:, 1]])
        self.n_errors = len(kept)
        self.n = sum(int((block.impostor & self._pairs(block)).sum()) for block in blocks(identity))
        self.n_identities = int(np.unique(identity[known]).size)

    def _pairs(self, block: Block) -> NDArray[np.bool_]:
        return np.asarray(self._known[block.rows][:, None] & self._known[block.columns][None, :])

    def _parts(self, beta: Floats) -> Iterator[tuple[Block, Floats, Floats]]:
        """Yield blocks with (K, rows, columns) covariates and the probabilities of an error, 0 outside."""
        for block in blocks(self._identity):
            x = _design(self._values[block.rows][:, None], self._values[block.columns][None, :], axis=0)
            p = 1 / (1 + np.exp(-np.tensordot(beta, x, 1)))
            yield block, x, np.where(block.impostor & self._pairs(block), p, 0.0)

    def fit(self) -> regression.Fit | None:
        """Fit with one pass over the comparisons per step."""
        rate = self.n_errors / self.n
        start = np.array([np.log(rate / (1 - rate)), 0.0, 0.0])
        return regression.fit_logistic(self._derivatives, self._meat, start)

    def _derivatives(self, beta: Floats) -> tuple[Floats, Floats]:
        gradient, hessian = self._x.sum(0), np.zeros((3, 3))
        for _, x, p in self._parts(beta):
            weight = p * (1 - p)
            gradient = gradient - np.array([(row * p).sum() for row in x])
            for i in range(3):
                for j in range(i, 3):
                    hessian[i, j] += float((x[i] * x[j] * weight).sum())
        return gradient, hessian + np.triu(hessian, 1).T

    def _meat(self, beta: Floats) -> Floats:
        n = int(self._identity.max()) + 1
        ends = np.sort(self._identity[self._false], axis=1)
        order = np.argsort(ends[:, 0], kind="stable")
        ends, errors = ends[order], self._x[order]
        per_identity, products = np.zeros((n, 3)), np.zeros((3, 3))
        for block, x, p in self._parts(beta):
            sums = np.stack([-block.per_pair(row * p) for row in x], axis=-1)
            rows, columns = block.row_identities, block.column_identities
            own = slice(*np.searchsorted(ends[:, 0], [rows[0], rows[-1] + 1]))
            inside = (ends[own, 1] >= columns[0]) & (ends[own, 1] <= columns[-1])
            u, v = ends[own][inside].T
            np.add.at(sums, (np.searchsorted(rows, u), np.searchsorted(columns, v)), errors[own][inside])
            np.add.at(per_identity, rows, sums.sum(1))
            np.add.at(per_identity, columns, sums.sum(0))
            products += np.einsum("ijk,ijl->kl", sums, sums)
        return regression.dyadic_meat(per_identity, products, self.n_identities)


class _ListedImpostors(_Regression):
    """False matches over listed impostor comparisons with two known values."""

    rate, method = "fmr", "dyadic-robust"

    def __init__(
        self, ends: NDArray[np.int64], identity: NDArray[np.int64], values: Floats, false: NDArray[np.int64]
    ) -> None:
        kept = ~np.isnan(values[ends]).any(axis=1)
        n = identity.size
        wrong = np.isin(ends[:, 0] * n + ends[:, 1], false[:, 0] * n + false[:, 1])
        ends, self._wrong = ends[kept], wrong[kept].astype(np.float64)
        self.n, self.n_errors = len(ends), int(self._wrong.sum())
        centre = values[ends].mean() if self.n else 0.0
        self._x = _design(values[ends[:, 0]] - centre, values[ends[:, 1]] - centre)
        people = np.sort(identity[ends], axis=1)
        self._people, place = np.unique(people, return_inverse=True)
        self._ends = place.reshape(-1, 2)
        self.n_identities = self._people.size

    def fit(self) -> regression.Fit | None:
        """Fit on the whole design."""
        return _fit_design(self._x, self._wrong, self._meat)

    def _meat(self, beta: Floats) -> Floats:
        scores = self._x * (self._wrong - 1 / (1 + np.exp(-self._x @ beta)))[:, None]
        pair = np.unique(self._ends[:, 0] * self.n_identities + self._ends[:, 1], return_inverse=True)[1]
        together, per_identity = np.zeros((pair.max() + 1, 3)), np.zeros((self.n_identities, 3))
        np.add.at(together, pair, scores)
        for side in self._ends.T:
            np.add.at(per_identity, side, scores)
        return regression.dyadic_meat(per_identity, together.T @ together, self.n_identities)


def _fit_design(x: Floats, errors: Floats, meat: Callable[[Floats], Floats]) -> regression.Fit | None:
    rate = float(errors.mean())

    def derivatives(beta: Floats) -> tuple[Floats, Floats]:
        p = 1 / (1 + np.exp(-x @ beta))
        return x.T @ (errors - p), (x * (p * (1 - p))[:, None]).T @ x

    return regression.fit_logistic(derivatives, meat, np.array([np.log(rate / (1 - rate)), 0.0, 0.0]))


class _Genuines(_Regression):
    """Missed genuine comparisons with two known values."""

    rate, method = "fnmr", "identity-robust"

    def __init__(self, identity: NDArray[np.int64], values: Floats, errors: _Errors) -> None:
        kept = ~np.isnan(values[errors.genuine]).any(axis=1)
        ends, self._missed = errors.genuine[kept], errors.missed[kept].astype(np.float64)
        self.n, self.n_errors = len(ends), int(self._missed.sum())
        centre = values[ends].mean() if self.n else 0.0
        self._x = _design(values[ends[:, 0]] - centre, values[ends[:, 1]] - centre)
        _, self._owner = np.unique(identity[ends[:, 0]], return_inverse=True)
        self.n_identities = int(self._owner.max(initial=-1)) + 1

    def fit(self) -> regression.Fit | None:
        """Fit on the whole design."""
        return _fit_design(self._x, self._missed, self._meat)

    def _meat(self, beta: Floats) -> Floats:
        scores = self._x * (self._missed - 1 / (1 + np.exp(-self._x @ beta)))[:, None]
        per_identity = np.zeros((self.n_identities, 3))
        np.add.at(per_identity, self._owner, scores)
        return regression.cluster_meat(per_identity)


def _design(left: Floats, right: Floats, *, axis: int = 1) -> Floats:
    """Return 1, mean and absolute difference, stacked along a new axis."""
    mean = (left + right) / 2
    return np.stack([np.ones_like(mean), mean, np.abs(left - right)], axis=axis)
