"""Does the instrument hold what it promises on a design? Score phantoms with planted ratios, many times over.

Each repetition is judged by the rules of a run: intervals by `Rate`, differentials by test inversion, and "a
differential" said when the interval of the gap lies above zero and the test of equal rates, corrected by Holm for the
family, agrees. The one difference: the threshold is known instead of estimated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.data import load_dataset
from facebench.errors import InputError
from facebench.execution.options import Progress, no_progress
from facebench.measure.differentials import Kind, suppose
from facebench.measure.groups import make_groupings
from facebench.measure.rates import Rate
from facebench.measure.study import images_of
from facebench.metrics import disparity, families, power, uncertainty
from facebench.metrics.inversion import Inverted
from facebench.metrics.power import Shares
from facebench.metrics.streams import Stream, generator
from facebench.phantoms.scores import Counts, PhantomGroup, genuine_counts, impostor_counts
from facebench.schema import GroupSpec

RATIOS = (1.0, 1.5, 2.0, 5.0, 10.0)
POWER = 0.8
DEFAULT_SHARES = Shares()
_STEPS = 6
_DRAWS = 400


@dataclass(frozen=True)
class Design:
    """What is to be calibrated: images per identity of each group, the base rates, and the dependence of scores."""

    groups: dict[str, tuple[int, ...]]
    fmr: float = 1e-2
    fnmr: float = 0.05
    shares: Shares = DEFAULT_SHARES
    confidence: float = 0.95

    def planted(self, ratio: float) -> list[PhantomGroup]:
        """Return the groups with one that errs `ratio` times as often as the others: the one with fewest identities."""
        unlucky = min(self.groups, key=lambda name: len(self.groups[name]))
        return [
            PhantomGroup(
                name,
                images,
                self.fmr * (ratio if name == unlucky else 1),
                self.fnmr * (ratio if name == unlucky else 1),
            )
            for name, images in self.groups.items()
        ]


@dataclass(frozen=True)
class KindOutcome:
    """How FMR or FNMR fared at one planted ratio.

    Attributes:
        coverage: share of the groups' intervals that hold the true rate; `worst_coverage` that of the worst group.
        gap_coverage, ratio_coverage: of the intervals of max - min and max / min.
        flagged: share of repetitions in which a differential was stated.
        undecided: share in which interval and test disagree, so that the answer is "cannot tell".
        mean_excess: mean gap over its expectation were all groups alike.
    """

    coverage: float
    worst_coverage: float
    gap_coverage: float
    ratio_coverage: float
    flagged: float
    undecided: float
    mean_excess: float


@dataclass(frozen=True)
class Outcome:
    """One planted ratio: how FMR fared, and FNMR where there are genuine comparisons and its rate stays below 1."""

    ratio: float
    fmr: KindOutcome
    fnmr: KindOutcome | None


@dataclass(frozen=True)
class Calibration:
    """What a design promises.

    Attributes:
        outcomes: per planted ratio.
        false_alarms: repetitions of the fair phantom in which an FMR differential was stated; of `seeds`.
        false_alarm_bound: exact upper 97.5 % bound of their share.
        detectable_ratio: smallest FMR ratio stated in 80 % of the repetitions; None when none up to `1 / (2 fmr)` is.
        predicted_ratio: what the rule behind `facebench plan` says.
    """

    seeds: int
    outcomes: tuple[Outcome, ...]
    false_alarms: int
    false_alarm_bound: float
    detectable_ratio: float | None
    predicted_ratio: float | None


def design_of(path: Path, attribute: str | None, **rates: Any) -> Design:
    """Return the design of a dataset: the images of each identity in each group of an attribute.

    Args:
        path: any dataset that can be read.
        attribute: a column of words; None takes the first one with two to forty values.
        rates: `fmr`, `fnmr`, `shares` and `confidence` of the design.

    Raises:
        InputError: no identities, or no such attribute.
    """
    dataset = load_dataset(path)
    if dataset.identities is None:
        raise InputError(f"{path}: the dataset names no identities, so the dependence of comparisons is unknown")
    images = images_of(dataset)
    wanted = "all" if attribute is None else (attribute,)
    groupings, _ = make_groupings(images.attributes, GroupSpec(attributes=wanted, intersections="none"))
    if not groupings:
        what = f"attribute {attribute!r} divides" if attribute else "no column of words divides"
        raise InputError(f"{path}: {what} the images into groups; name one with --by")
    grouping = groupings[0]
    counts = {
        name: tuple(power.images_per_identity(images.identity, grouping.label == g).tolist())
        for g, name in enumerate(grouping.groups)
    }
    return Design({name: each for name, each in counts.items() if len(each) > 1}, **rates)


def calibrate(
    design: Design,
    *,
    ratios: Sequence[float] = RATIOS,
    seeds: int = 200,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Calibration:
    """Simulate a design with planted ratios, `seeds` times each.

    Raises:
        InputError: fewer than two groups with two identities each, or a ratio that the base rate does not allow.
    """
    _check(design, ratios)
    total = len(ratios) + 1 + _STEPS
    outcomes = []
    for number, ratio in enumerate(ratios):
        progress("simulate", number, total)
        outcomes.append(_outcome(design, ratio, seeds, generator(Stream.CALIBRATED_RATIOS, seed, number)))
    fair = outcomes[list(ratios).index(1.0)] if 1.0 in ratios else None
    if fair is None:
        fair = _outcome(design, 1.0, seeds, generator(Stream.CALIBRATED_FAIR, seed))
    false_alarms = round(fair.fmr.flagged * seeds)
    found = _smallest_seen(design, seeds, seed, lambda step: progress("simulate", len(ratios) + 1 + step, total))
    progress("simulate", total, total)
    return Calibration(
        seeds, tuple(outcomes), false_alarms, uncertainty.clopper_pearson(false_alarms, seeds)[1], found,
        _predicted(design),
    )  # fmt: skip


def _check(design: Design, ratios: Sequence[float]) -> None:
    if sum(len(images) > 1 for images in design.groups.values()) < len(design.groups) or len(design.groups) < 2:
        raise InputError("calibration needs at least two groups of at least two identities each")
    wrong = [ratio for ratio in ratios if ratio < 1 or design.fmr * ratio >= 1]
    if wrong:
        raise InputError(
            f"a planted ratio of {wrong[0]:g} is not possible: ratios start at 1, and FMR {design.fmr:g} times the "
            "ratio must stay below 1; lower --fmr"
        )


def _predicted(design: Design) -> float | None:
    effective = []
    for images in design.groups.values():
        m = np.asarray(images, float)
        comparisons = (m.sum() ** 2 - (m**2).sum()) / 2
        effective.append(design.fmr * comparisons / power.impostor_design_effect(design.fmr, images, design.shares))
    return power.detectable_ratio(effective)


def _smallest_seen(design: Design, seeds: int, seed: int, progress: Callable[[int], None]) -> float | None:
    """Return the ratio at which 80 % of repetitions state a differential, by bisection on its logarithm."""
    low, high = 0.0, log(0.5 / design.fmr)
    start = _predicted(design)
    at = min(log(start), high) if start else high
    seen = False
    for step in range(_STEPS):
        progress(step)
        flagged = _outcome(design, exp(at), seeds, generator(Stream.CALIBRATED_SEARCH, seed, step)).fmr.flagged
        if flagged >= POWER:
            high, seen = at, True
        else:
            low = at
        at = (low + high) / 2 if seen else min(2 * at, high)
        if not seen and low >= high:
            return None
    return exp(high) if seen else None


def _outcome(design: Design, ratio: float, seeds: int, rng: np.random.Generator) -> Outcome:
    groups = design.planted(ratio)
    false = [impostor_counts(group, design.shares, seeds, rng) for group in groups]
    missed = [genuine_counts(group, seeds, rng) if group.fnmr < 1 else None for group in groups]
    impostor = [counts for counts in false if counts is not None]
    genuine = [counts for counts in missed if counts is not None]
    both = len(genuine) == len(groups)
    fmr = _judged(impostor, design, rng)
    fnmr = _judged(genuine, design, rng) if both else None
    tests = [judged.p for judged in (fmr, fnmr) if judged is not None]
    corrected = [families.holm(row) for row in np.stack(tests, 1).tolist()]
    alpha = 1 - design.confidence
    return Outcome(
        ratio,
        fmr.outcome([group.fmr for group in groups], [row[0] for row in corrected], alpha),
        fnmr.outcome([group.fnmr for group in groups], [row[1] for row in corrected], alpha) if fnmr else None,
    )


@dataclass(frozen=True, eq=False)
class _Judged:
    """Every repetition of one kind of error: (R, G, 2) intervals of the groups, (R, 2) of gap and ratio, (R,) rest."""

    groups: NDArray[np.float64]
    gap: NDArray[np.float64]
    ratio: NDArray[np.float64]
    p: NDArray[np.float64]
    excess: NDArray[np.float64]

    def outcome(self, truth: Sequence[float], corrected: Sequence[float], alpha: float) -> KindOutcome:
        """Hold the repetitions against the true rates; `corrected` are the p values after Holm."""
        inside = (self.groups[:, :, 0] <= np.array(truth)) & (np.array(truth) <= self.groups[:, :, 1])
        width, quotient = max(truth) - min(truth), max(truth) / min(truth)
        apart, differ = self.gap[:, 0] > 0, np.array(corrected) < alpha
        stated = apart & differ
        return KindOutcome(
            coverage=float(inside.mean()),
            worst_coverage=float(inside.mean(axis=0).min()),
            gap_coverage=_holds(self.gap, width),
            ratio_coverage=_holds(self.ratio, quotient),
            flagged=float(stated.mean()),
            undecided=float((apart != differ).mean()),
            mean_excess=float(self.excess.mean()),
        )


def _holds(intervals: NDArray[np.float64], truth: float) -> float:
    tiny = 1e-12 * truth
    return float(((intervals[:, 0] <= truth + tiny) & (truth - tiny <= intervals[:, 1])).mean())


def _judged(counts: Sequence[Counts], design: Design, rng: np.random.Generator) -> _Judged:
    repetitions, n_groups = counts[0].errors.size, len(counts)
    groups, gaps = np.empty((repetitions, n_groups, 2)), np.empty((repetitions, 2))
    ratios, p, excess = np.empty((repetitions, 2)), np.empty(repetitions), np.empty(repetitions)
    for r in range(repetitions):
        rates: list[Rate | None] = [
            Rate(int(c.errors[r]), c.comparisons, float(c.variance[r]), c.n_independent, 1.0, "wilson-vertex")
            for c in counts
        ]
        kind = Kind.of(rates, None)
        assert kind is not None
        intervals = [rate.interval(design.confidence) for rate in kind.rates]
        groups[r] = [(i["ci_low"], i["ci_high"]) for i in intervals]
        supposed = suppose((kind,), rng, draws=_DRAWS)
        of_gap, of_ratio = (supposed.invert(disparity.OF_ONE_RATE[m], design.confidence) for m in ("gap", "max_min"))
        gaps[r], ratios[r] = _limits(of_gap), _limits(of_ratio)
        test = supposed.equal_rates()
        p[r] = 1.0 if test is None else test[1]
        excess[r] = of_gap.excess or 0.0
    return _Judged(groups, gaps, ratios, p, excess)


def _limits(found: Inverted) -> tuple[float, float]:
    return found.low or 0.0, np.inf if found.high is None else found.high
