"""Intervals under altered probes and attacks: the clean threshold is held, whatever it came out as."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.stats import multivariate_normal, norm

from benchmarks.coverage_study import truths
from benchmarks.coverage_study.designs import MODELS, Design, draw
from benchmarks.coverage_study.embeddings import Vectors, altered, embedded
from benchmarks.coverage_study.judged import Judged, protocol, warned
from facebench.measure.every_score import Measurement, measure_scores
from facebench.schema import Estimate
from facebench.schema.attacks import AttackCell, Goal
from facebench.sections.robustness.attacks import rates
from facebench.sections.robustness.attacks.sample import Victims
from facebench.sections.robustness.conditions import Baseline
from facebench.sections.robustness.measure import measure

DRIFT = 0.4  # by so much each level brings genuine scores down
LEVELS = {"corruption:fog:1": 1, "corruption:fog:2": 2}
REACHED = "corruption:fog:2"  # by the attack


def conditions(design: Design, rng: np.random.Generator, replicates: int) -> Iterator[Judged]:
    """Yield what a run prints of altered probes and of an attack on genuine comparisons."""
    drawn = draw(design, rng, models=3, drift=DRIFT)
    grouped = len(design.groups) > 1
    groups = {"attributes": "all", "intersections": "none", "min_identities": 2} if grouped else None
    spec = protocol(design, replicates=replicates, groups=groups)
    clean = measure_scores(spec, drawn.images, drawn.models[0], seed=int(rng.integers(2**31)))
    vectors = embedded(drawn, drawn.models[0])
    baseline = Baseline(spec, drawn.images, vectors, None, clean, comparator="dot")
    probes = {name: altered(vectors, drawn.models[level]) for name, level in LEVELS.items()}
    for e in (*measure(baseline, probes, both=False), *_attacked(baseline, clean, probes[REACHED])):
        truth = None if e.value is None or e.threshold is None else _truth(design, e)
        if e.value is not None and truth is not None:
            kind = f"{e.metric} of a group under a condition" if "=" in e.group else f"{e.metric} under a condition"
            yield Judged(warned(kind, e.flags), e.value, e.ci_low, e.ci_high, truth)


def _attacked(baseline: Baseline, clean: Measurement, probes: Vectors) -> list[Estimate]:
    """Return the estimates of an attack on genuine comparisons that reaches the scores of these probes."""
    point = baseline.spec.primary
    threshold = clean.at(point).threshold or 0.0
    rows = np.flatnonzero(baseline.genuine)
    score, now = baseline.clean_scores[rows], baseline.scores(probes)[rows]
    wrong = score < threshold
    victims = Victims(Goal.DODGING, baseline.enrolled[rows], baseline.probe[rows], score, wrong)
    cell = AttackCell.model_validate({"attack": "fgsm", "goal": Goal.DODGING, "eps": ("8/255",)})
    right = np.flatnonzero(~wrong)
    judged = rates.Judged(cell, victims, rows.size, right, now[None, right], (now[right] < threshold)[None])
    return rates.condition_estimates(judged, baseline.spec, baseline.images, threshold, point)


def _truth(design: Design, e: Estimate) -> float | None:
    """Return what the population shows at the threshold the estimate was read at."""
    t = e.threshold or 0.0
    drops = [DRIFT * level for name, level in LEVELS.items() if e.condition in (name, "corruption")]
    if e.condition.startswith("attack"):
        both = _both(design, t)
        share = {"robust_tar": both, "attack_success": 1 - both / _tar(design, t, e.group, 0.0)}
        return share.get(e.metric)
    tars = [_tar(design, t, e.group, drop) for drop in drops]
    before = _tar(design, t, e.group, 0.0)
    if e.metric in ("fmr", "worst_fmr"):
        return _fmr(design, t, e.group)
    found = {
        "tar": tars[0], "fnmr": 1 - tars[0], "relative_drop": 1 - tars[0] / before, "mean_tar": np.mean(tars),
        "mean_relative_drop": 1 - np.mean(tars) / before, "worst_tar": min(tars),
    }  # fmt: skip
    if e.metric in ("fmr_gap", "fnmr_gap"):
        names = [f"group={g.name}" for g in design.groups]
        each = [_fmr(design, t, n) if e.metric == "fmr_gap" else _tar(design, t, n, drops[0]) for n in names]
        return float(max(each) - min(each))
    return float(found[e.metric]) if e.metric in found else None


def _tar(design: Design, t: float, group: str, drop: float) -> float:
    own = {f"group={g.name}": g.separation for g in design.groups}
    if group in own:
        return float(norm.sf(t - own[group] + drop))
    return 1 - truths.fnmr_at(design, t + drop)


def _fmr(design: Design, t: float, group: str) -> float:
    own = {f"group={g.name}": g.lift for g in design.groups}
    return float(norm.sf(t - own[group])) if group in own else truths.fmr_at(design, t)


def _both(design: Design, t: float) -> float:
    """Return the share accepted clean and attacked alike."""
    found = 0.0
    for g in design.groups:
        apart = np.array([g.separation - t, g.separation - LEVELS[REACHED] * DRIFT - t])
        share = truths.genuine_shares(design)[g.name]
        found += share * float(multivariate_normal.cdf(apart, cov=[[1, MODELS], [MODELS, 1]]))
    return found
