"""Numbers: error, bias, correlation and concordance, shares within a tolerance, error by true value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import numpy as np

from facebench.metrics.answers.ordinal import ordinal_cells, ordinal_figures
from facebench.metrics.answers.rotation import geodesic_figure
from facebench.metrics.answers.table import Figure, Floats, Of, Table, rate, share

_N, _X, _Y, _XX, _YY, _XY, _ABS, _ERR, _SQ, _SIGN = range(10)
_BASE = 10


def regress_table(
    answers: Floats,
    truth: Floats,
    names: Sequence[str],
    *,
    wrap: bool,
    within: Sequence[float] = (),
    sigma: Floats | None = None,
    bins: Sequence[float] = (),
    signed: bool = False,
    rotation: Sequence[int] | None = None,
) -> Table:
    """Return the table of a task with D numbers; images without an answer are left out of every figure.

    Args:
        answers, truth: (N, D), answers with NaN for none.
        names: D names; with several, figures are given for each, and their mean without a name.
        wrap: whether errors are taken around a circle of 360.
        within: tolerances.
        sigma: (N,) annotators' deviation, for the epsilon error.
        bins: edges over the true value.
        signed: whether values have a sign that means something, for the share of equal signs.
        rotation: which of the names are pitch, yaw and roll in degrees, for the angle between the poses.
    """
    n, d = truth.shape
    width = _BASE + len(within) + (1 if sigma is not None else 0) + _of_bins(len(bins) - 1)
    centre = np.array([np.mean(truth[:, j]) if n else 0.0 for j in range(d)])
    blocks, figures = [], []
    for j in range(d):
        blocks.append(_block(answers[:, j], truth[:, j], centre[j], wrap, within, sigma, bins, width))
        own = names[j] if d > 1 else None
        figures += _figures(j * width, own, truth[:, j], wrap, within, sigma is not None, bins, signed)
    if d > 1:
        figures = [*_means(figures, names), *figures]
    if rotation is not None:
        turned, figure = geodesic_figure(answers[:, rotation], truth[:, rotation], d * width)
        blocks.append(turned)
        figures = [figure, *figures]
    lead = ("mae", "rmse", "bias") if wrap else ("mae", "rmse", "bias", "ccc")
    return Table(np.concatenate(blocks, axis=1), tuple(figures), (), lead)


def _of_bins(k: int) -> int:
    """Columns K bins of the true value take: images, size and sum of errors, and the table of bins."""
    return 3 * k + k * k if k > 0 else 0


def circular(error: Floats) -> Floats:
    """Return errors in degrees around a circle: in [-180, 180).

    >>> circular(np.array([350.0, -190.0, 10.0])).tolist()
    [-10.0, 170.0, 10.0]
    """
    return (error + 180) % 360 - 180


def _block(
    answer: Floats, truth: Floats, centre: float, wrap: bool, within: Sequence[float], sigma: Floats | None,
    bins: Sequence[float], width: int,
) -> Floats:  # fmt: skip
    known = np.isfinite(answer)
    x, y = np.where(known, answer, 0.0) - centre, truth - centre  # sums of squares keep their digits near zero
    error = x - y
    if wrap:
        error = circular(error)
    size = np.abs(error)
    same = np.sign(x + centre) == np.sign(truth)
    columns = [np.ones_like(x), x, y, x * x, y * y, x * y, size, error, error**2, same]
    columns += [size <= k + 1e-9 for k in within]
    if sigma is not None:
        columns.append(1 - np.exp(-(error**2) / (2 * sigma**2)))
    for low, high in pairwise(bins):
        inside = (truth >= low) & (truth < high)
        columns += [inside, inside * size, inside * error]
    found = np.stack([np.asarray(c, np.float64) for c in columns], axis=1)
    if bins:
        found = np.concatenate(
            [found, ordinal_cells(np.where(known, truth + error if wrap else answer, np.nan), truth, bins)], axis=1
        )
    assert found.shape[1] == width
    return np.where(known[:, None], found, 0.0)


def _figures(
    start: int, of: str | None, truth: Floats, wrap: bool, within: Sequence[float], has_sigma: bool,
    bins: Sequence[float], signed: bool,
) -> list[Figure]:  # fmt: skip
    def part(sums: Floats) -> Floats:
        return sums[..., start:]

    def mean(index: int) -> Of:
        return lambda sums: share(part(sums)[..., index], part(sums)[..., _N])

    def n(sums: Floats) -> Floats:
        return part(sums)[..., _N]

    spread = float(np.std(truth)) if truth.size else 0.0
    around = float(np.mean(np.abs(truth - np.median(truth)))) if truth.size else 0.0
    figures = [
        Figure("mae", mean(_ABS), of, null={} if wrap else {"always the median": around}),
        Figure("rmse", lambda sums: np.sqrt(share(part(sums)[..., _SQ], n(sums))), of,
               null={} if wrap else {"always the mean": spread}),
        Figure("bias", mean(_ERR), of),
    ]  # fmt: skip
    if not wrap:
        figures += [
            Figure("pcc", lambda sums: _correlation(part(sums)), of),
            Figure("ccc", lambda sums: _concordance(part(sums)), of, null={"always the same": 0.0}),
            Figure("icc31", lambda sums: _consistency(part(sums)), of),
        ]
    if signed:
        figures.append(rate("sagr", lambda sums: part(sums)[..., _SIGN], n, of=of))
    figures += [rate("within", partial(_column, part, _BASE + i), n, of=of, at=k) for i, k in enumerate(within)]
    place = _BASE + len(within)
    if has_sigma:
        figures.append(Figure("epsilon_error", mean(place), of))
        place += 1
    return figures + _by_value(part, place, of, bins)


def _by_value(part: Of, place: int, of: str | None, bins: Sequence[float]) -> list[Figure]:
    if not bins:
        return []
    k = len(bins) - 1

    def each(sums: Floats, what: int) -> Floats:
        cut = part(sums)[..., place : place + 3 * k].reshape(*sums.shape[:-1], k, 3)
        return share(cut[..., what], cut[..., 0])

    counts = [partial(_column, part, place + 3 * i) for i in range(k)]
    figures = [
        Figure(
            "mae_balanced", lambda sums: each(sums, 1).mean(axis=-1), of,
            total=lambda sums: np.sum([count(sums) for count in counts], axis=0),
        )
    ]  # fmt: skip
    figures += ordinal_figures(part, place + 3 * k, k, of)
    for i in range(k):
        name = f"{bins[i]:g} to {bins[i + 1]:g}" + ("" if of is None else f", {of}")
        figures += [
            Figure("mae_by_value", partial(_one, each, 1, i), name, total=counts[i]),
            Figure("bias_by_value", partial(_one, each, 2, i), name, total=counts[i]),
        ]
    return figures


def _column(part: Of, index: int, sums: Floats) -> Floats:
    return part(sums)[..., index]


def _one(each: Callable[[Floats, int], Floats], what: int, place: int, sums: Floats) -> Floats:
    return each(sums, what)[..., place]


def _mean_of(each: Sequence[Of], sums: Floats) -> Floats:
    return np.asarray(np.mean([value(sums) for value in each], axis=0))


def _means(figures: Sequence[Figure], names: Sequence[str]) -> list[Figure]:
    """The mean over the D values of each figure that every one of them has."""
    found = []
    for metric in ("mae", "rmse", "pcc", "ccc", "icc31", "sagr"):
        each = [figure.value for figure in figures if figure.metric == metric and figure.of in names]
        if len(each) == len(names):
            found.append(Figure(metric, partial(_mean_of, each)))
    return found


def _moments(part: Floats) -> tuple[Floats, ...]:
    n = part[..., _N]
    mx, my = share(part[..., _X], n), share(part[..., _Y], n)
    vx = np.maximum(share(part[..., _XX], n) - mx**2, 0.0)
    vy = np.maximum(share(part[..., _YY], n) - my**2, 0.0)
    return mx, my, vx, vy, share(part[..., _XY], n) - mx * my


def _correlation(part: Floats) -> Floats:
    """Pearson's correlation; undefined where one side is constant."""
    _, _, vx, vy, covariance = _moments(part)
    level = 1e-12 * (vx + vy)  # what rounding leaves of the variance of a constant
    scale = np.sqrt(vx * vy)
    return np.where((vx > level) & (vy > level), np.clip(share(covariance, scale), -1.0, 1.0), np.nan)


def _concordance(part: Floats) -> Floats:
    """Lin's concordance: 2 cov / (var x + var y + (mean x - mean y)²), population moments. Source: Lin, 1989."""
    mx, my, vx, vy, covariance = _moments(part)
    return share(2 * covariance, vx + vy + (mx - my) ** 2)


def _consistency(part: Floats) -> Floats:
    """ICC(3,1) of answer and truth as two raters: consistency, one rating. Source: Shrout and Fleiss, 1979.

    For two raters it is ``2 cov / (var x + var y)``.
    """
    _, _, vx, vy, covariance = _moments(part)
    return share(2 * covariance, vx + vy)
