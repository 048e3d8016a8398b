"""Intervals of differential measures by inverting a test, and what groups that are alike would show.

A differential measure of observed rates lies further from "alike" than that of the true rates, because chance adds to
it, so no interval around the observed value can be right. Instead true rates are supposed: those observed, drawn
towards a common rate (lambda below 1, on the logit scale) or pushed further apart (above 1). For each lambda samples
are drawn (`facebench.metrics.group_draws`), and the interval holds the measure of those supposed rates under which the
observed value is not extreme. Lambda 0, equal rates, is what `expected` and the excess refer to. Values outside the
range of a measure cannot arise. Source: Carpenter, "Test inversion bootstrap confidence intervals", 1999.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facebench.metrics.disparity import Disparity
from facebench.metrics.group_draws import GroupCounts

Floats = NDArray[np.float64]
UNDEFINED = 0.05
"""Share of fair draws that may be undefined; beyond it there is no expectation."""
TAIL_SHARE = 0.4
"""Share of 1 - confidence in each tail; the rest makes up for a shape of the groups' rates that is itself estimated."""
_NOISE = 1.0
"""Deviations below so many standard errors are taken for noise."""


@dataclass(frozen=True)
class Inverted:
    """What is known of one measure.

    Attributes:
        value: of the observed rates; None where undefined.
        low, high: its interval; high None means without limit, both None that none is known.
        expected: what alike groups would show: the mean over samples, of a ratio the median; None where undefined in
            more than one sample in twenty.
        ratio: whether the measure is a ratio.
        excess: value - expected, of a ratio value / expected; `excess_low`, `excess_high` its interval.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    expected: float | None = None
    excess: float | None = None
    excess_low: float | None = None
    excess_high: float | None = None
    ratio: bool = False


class Supposed:
    """Samples under supposed true rates of one or two kinds of errors of the same people.

    Args:
        kinds: counts of each kind.
        normals: (B, sum of G) standard normal numbers, one column per group and kind.
        centre: the common rate towards which rates are drawn; None takes each kind's pooled one.
    """

    def __init__(self, kinds: tuple[GroupCounts, ...], normals: Floats, centre: float | None = None) -> None:
        self.kinds = kinds
        self.paths = [_Path.of(kind, centre) for kind in kinds]
        self.lambdas = _grid([path.step for path in self.paths])
        self._normals = np.split(normals, np.cumsum([kind.n.size for kind in kinds])[:-1], axis=1)
        self._drawn: dict[int, list[Floats]] = {}

    def counts(self, i: int) -> list[Floats]:
        """Return (B, G) counts per kind at the i-th lambda; 0 is equal rates."""
        if i not in self._drawn:
            rates = [path.at(float(self.lambdas[i])) for path in self.paths]
            self._drawn[i] = [k.draw(p, z) for k, p, z in zip(self.kinds, rates, self._normals, strict=True)]
        return self._drawn[i]

    def one(self, i: int) -> Supposed:
        """Return the samples of one kind, those drawn so far included."""
        found = object.__new__(Supposed)
        found.kinds, found.paths, found.lambdas = (self.kinds[i],), [self.paths[i]], self.lambdas
        found._normals = [self._normals[i]]
        found._drawn = {at: [counts[i]] for at, counts in self._drawn.items()}
        return found

    def invert(self, measure: Disparity, confidence: float) -> Inverted:
        """Return the value, interval, expectation and excess of a measure."""
        return _Inversion(self, measure).found(confidence)

    def equal_rates(self) -> tuple[float, float] | None:
        """Return Q and the p value that all groups have one rate; of the first kind.

        ``Q = sum (x - mean)² / mean V`` with the variances V at the pooled rate. In samples of equal groups its mean
        and variance are found, and Q is read against the scaled chi-squared distribution that has them: groups of
        unlike size, and rates that share a threshold, move both. Without errors, or with nothing else, Q is 0.
        """
        from scipy.special import chdtrc

        kind = self.kinds[0]
        pooled = kind.pooled
        if not 0 < pooled < 1:
            return 0.0, 1.0
        scale = float((pooled * (1 - pooled) / kind.n_eff).mean())
        drawn = _squares(self.counts(0)[0] / kind.n) / scale
        mean, variance = float(drawn.mean()), float(drawn.var())
        if mean <= 0 or variance <= 0:
            return None
        statistic = float(_squares(kind.rates)) / scale
        return statistic, float(chdtrc(2 * mean**2 / variance, 2 * mean * statistic / variance))


def _squares(rates: Floats) -> Floats:
    return np.asarray(((rates - rates.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1))


class _Inversion:
    """One measure under all supposed rates. Internally larger is further apart: `sign` turns the others round."""

    def __init__(self, supposed: Supposed, measure: Disparity) -> None:
        self.supposed = supposed
        self.measure = measure
        self.ratio = measure.scale == "ratio"
        self.sign = 1.0 if measure.alike <= measure.low else -1.0
        self.value = _defined(measure.rows(*(kind.rates for kind in supposed.kinds)))
        self.observed = self.sign * float(self._of([kind.errors for kind in supposed.kinds]))
        self._samples: dict[int, Floats] = {}

    def _of(self, counts: list[Floats]) -> Floats:
        """Return the measure of counts; of a ratio with half an error added, so that it is always defined.

        As many comparisons are added as errors (Walter, 1975), so that groups in which all are errors stay alike,
        whatever their sizes.
        """
        kinds = self.supposed.kinds
        if self.ratio:
            return self.measure.rows(*((k + 0.5) / (kind.n + 0.5) for kind, k in zip(kinds, counts, strict=True)))
        return self.measure.rows(*(k / kind.n for kind, k in zip(kinds, counts, strict=True)))

    def samples(self, i: int) -> Floats:
        """Return (B,) the measure in samples at the i-th lambda, where it is defined."""
        if i not in self._samples:
            drawn = self.sign * self._of(self.supposed.counts(i))
            self._samples[i] = drawn[np.isfinite(drawn)]
        return self._samples[i]

    def found(self, confidence: float) -> Inverted:
        """Return everything that is known of the measure."""
        expected = self._expected()
        excess = None if self.value is None or expected is None else self._beyond(self.value, expected)
        if not np.isfinite(self.observed) or not self.samples(0).size:
            return Inverted(self.value, expected=expected, excess=excess, ratio=self.ratio)
        tail = TAIL_SHARE * (1 - confidence)
        near, far = self._limit(tail), self._limit(1 - tail)
        if near is None:  # beyond all that was supposed: nothing is known of how far
            near = float(self.supposed.lambdas[-1])
        at = self._at(near), (self._at(far) if far is not None else None)
        if self.ratio and self.value is None:
            at = at[0], None
        beyond = self._moved(near), (self._moved(far) if far is not None else None)
        low, high = self._within(*at)
        excess_low, excess_high = (None, None) if excess is None else self._holding(*beyond, excess)
        return Inverted(self.value, low, high, expected, excess, excess_low, excess_high, self.ratio)

    def _expected(self) -> float | None:
        kinds = zip(self.supposed.kinds, self.supposed.counts(0), strict=True)
        fair = self.measure.rows(*(k / kind.n for kind, k in kinds))
        defined = fair[np.isfinite(fair)]
        if defined.size < (1 - UNDEFINED) * fair.size:
            return None
        return float(np.median(defined) if self.ratio else defined.mean())

    def _beyond(self, value: float, expected: float) -> float:
        return value / expected if self.ratio else value - expected

    def _score(self, i: int) -> float:
        """Return the normal score of the share of samples that lie above the observed value, equal ones half."""
        from scipy.special import ndtri

        drawn, tiny = self.samples(i), 1e-9 * max(abs(self.observed), 1e-3)
        if not drawn.size:
            return 0.0
        above, below = (drawn > self.observed + tiny).sum(), (drawn < self.observed - tiny).sum()
        share = (above + drawn.size - below) / (2 * drawn.size)
        return float(ndtri(min(max(share, 1e-4), 1 - 1e-4)))

    def _limit(self, share: float) -> float | None:
        """Return the lambda from which a share of samples lies above the observed value; None when none is reached."""
        from scipy.special import ndtri

        lambdas, wanted = self.supposed.lambdas, float(ndtri(share))
        low, high = 0, lambdas.size - 1
        if self._score(low) >= wanted:
            return 0.0
        if self._score(high) < wanted:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._score(middle) >= wanted else (middle, high)
        below, above = self._score(low), self._score(high)
        part = (wanted - below) / (above - below)
        return float(lambdas[low] + part * (lambdas[high] - lambdas[low]))

    def _at(self, x: float) -> float:
        return float(self.measure.rows(*(path.at(x) for path in self.supposed.paths)))

    def _moved(self, x: float) -> float:
        """Return how far samples at a lambda lie beyond those of equal groups, on average; of a ratio by the median."""
        lambdas = self.supposed.lambdas
        i = min(max(int(np.searchsorted(lambdas, x)), 1), lambdas.size - 1)
        part = (x - lambdas[i - 1]) / (lambdas[i] - lambdas[i - 1])
        centres = [self._centre(j) for j in (0, i - 1, i)]
        return self._beyond(centres[1] + part * (centres[2] - centres[1]), centres[0])

    def _centre(self, i: int) -> float:
        drawn = self.sign * self.samples(i)
        return float(np.median(drawn) if self.ratio else drawn.mean()) if drawn.size else self.measure.alike

    def _within(self, near: float, far: float | None) -> tuple[float, float | None]:
        """Return (low, high) within the range of the measure, holding the value."""
        size = self.supposed.kinds[0].n.size
        top = None if self.measure.high is None else self.measure.high(size)
        if self.sign > 0:
            low, high = near, top if far is None else far
        else:
            low, high = self.measure.low if far is None else far, near
        low = max(low, self.measure.low)
        high = high if high is None or top is None else min(high, top)
        if self.value is not None:
            low, high = min(low, self.value), None if high is None else max(high, self.value)
        return low, high

    def _holding(self, near: float, far: float | None, excess: float) -> tuple[float | None, float | None]:
        """Return (low, high) of the excess, holding it; of one that knows no limit, both or one None."""
        if self.sign > 0:
            return min(near, excess), None if far is None else max(far, excess)
        return (None, None) if far is None else (min(far, excess), max(near, excess))


@dataclass(frozen=True, eq=False)
class _Path:
    """True rates as a function of lambda: 0 is equal rates, 1 about those observed."""

    centre: float
    deviations: Floats
    step: float

    @classmethod
    def of(cls, kind: GroupCounts, centre: float | None) -> _Path:
        """Lead from a common rate past the observed ones.

        Deviations shrink by their share of noise (the non-negative garrote of Breiman, 1995), or else groups that are
        alike would seem to differ, and with them the bias of a measure; the extremes stay a standard error apart.
        """
        p = kind.smoothed
        error = 1 / np.sqrt(kind.n_eff * p * (1 - p))
        pooled = kind.pooled if 0 < kind.pooled < 1 else float((kind.errors.sum() + 0.5) / (kind.n.sum() + 1))
        common = pooled if centre is None else centre
        deviations = _logit(p) - _logit(np.asarray(common))
        order = np.lexsort((error, deviations))
        high, low = int(order[-1]), int(order[0])
        sure = deviations * np.maximum(0, 1 - (_NOISE * error / np.where(deviations == 0, 1, deviations)) ** 2)
        deviations = np.where(deviations == 0, 0, sure)
        deviations[high] = max(deviations[high], error[high])
        deviations[low] = min(deviations[low], -error[low])
        step = float(np.hypot(error[high], error[low]) / (deviations[high] - deviations[low]))
        return cls(float(_logit(np.asarray(common))), deviations, step)

    def at(self, x: float) -> Floats:
        """Return (G,) rates."""
        logits = np.clip(self.centre + x * self.deviations, -30, 30)
        return np.asarray(1 / (1 + np.exp(-logits)))


def _grid(steps: list[float]) -> Floats:
    """Return rising lambdas, from 0 to far beyond 1, dense where limits are to be expected."""
    finest, coarsest = min(steps), max(steps)
    offsets = [0.0, *(finest * np.arange(0.5, 4.1, 0.5))]
    while offsets[-1] < 12 * coarsest:
        offsets.append(offsets[-1] * 1.4)
    moved = np.array(offsets)
    below = 1 - moved[moved < 1]
    return np.unique(np.concatenate([[0.0], below, 1 + moved]))


def _defined(value: Floats) -> float | None:
    return float(value) if np.isfinite(value) else None


def _logit(p: Floats) -> Floats:
    clipped = np.clip(p, 1e-13, 1 - 1e-13)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))
