"""Answers whose truth is known: presentations of several species, and votes of people, by subjects who differ.

A presentation of kind k by subject u is told wrong where ``sqrt(effect) g_u + sqrt(1 - effect) noise`` exceeds the
normal quantile of 1 - rate of k, so each rate of the population is exact. The truth of votes is the mean of all runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.coverage_study.designs import Design
from benchmarks.coverage_study.judged import Judged
from facebench.measure.answers import measure_answers
from facebench.measure.sample import Images
from facebench.schema import Estimate, ModelCard, ProtocolSpec
from facebench.schema.model import Activation, OutputSpec

RATES = {"bona_fide": 0.05, "mask": 0.25, "print": 0.04, "replay": 0.10}
WORST = 0.25
EACH = 3  # presentations of each kind, and images with votes, of each subject
CLASSES = ("calm", "joy", "fear")
VOTES = 10


def presentations(design: Design, rng: np.random.Generator, replicates: int) -> Iterator[Judged]:
    """Yield what a run prints of presentation attacks and of shares against votes; only people and effect matter."""
    yield from attacks(design, rng, replicates)
    yield from votes(design, rng, replicates)


def attacks(design: Design, rng: np.random.Generator, replicates: int) -> Iterator[Judged]:
    """Yield the intervals of attacks accepted, per species and of the worst, and of bona fide rejected."""
    from scipy.special import ndtri

    people, kinds = design.people.size, list(RATES)
    subject = np.repeat(np.arange(people), EACH * len(kinds))
    kind = np.tile(np.repeat(np.arange(len(kinds)), EACH), people)
    limit = ndtri([1 - RATES[name] for name in kinds])[kind]
    own = rng.normal(size=people)[subject]
    wrong = np.sqrt(design.effect) * own + np.sqrt(1 - design.effect) * rng.normal(size=subject.size) > limit
    score = np.where((kind == 0) ^ wrong, 1.0, 0.0)[:, None]
    task = {"shape": "score", "truth": "species", "threshold": 0.5}
    truths = {
        ("bpcer", None): RATES["bona_fide"], ("apcer_worst", None): WORST,
        ("acer", None): (WORST + RATES["bona_fide"]) / 2,
        **{("apcer", name): RATES[name] for name in kinds[1:]},
    }  # fmt: skip
    for e in _measured(task, ("live",), score, subject, {"species": [kinds[k] for k in kind]}, rng, replicates):
        truth = truths.get((e.metric, e.of))
        if truth is not None and e.value is not None:
            yield Judged(e.metric, e.value, e.ci_low, e.ci_high, truth)


def votes(design: Design, rng: np.random.Generator, replicates: int) -> Iterator[Judged]:
    """Yield the interval of the Jensen-Shannon divergence of answered shares from votes."""
    people = design.people.size
    subject = np.repeat(np.arange(people), EACH)
    lean = np.sqrt(design.effect) * rng.normal(size=(people, len(CLASSES)))[subject]
    lean = np.exp(lean + np.sqrt(1 - design.effect) * rng.normal(size=lean.shape))
    cast = np.array([rng.multinomial(VOTES, row / row.sum()) for row in lean])
    said = lean**0.7
    columns = {f"v{k}": cast[:, k].astype(float).tolist() for k in range(len(CLASSES))}
    task = {"shape": "distribution", "truth": {name: f"v{k}" for k, name in enumerate(CLASSES)}}
    said = said / said.sum(axis=1, keepdims=True)
    for e in _measured(task, CLASSES, said, subject, columns, rng, replicates):
        if e.metric == "js" and e.value is not None:
            yield Judged(e.metric, e.value, e.ci_low, e.ci_high, None)


def _measured(
    task: dict[str, Any], names: tuple[str, ...], answers: Any, subject: Any, columns: dict[str, Any],
    rng: np.random.Generator, replicates: int,
) -> tuple[Estimate, ...]:  # fmt: skip
    activation = Activation.PROBABILITIES if len(names) > 1 else Activation.VALUES
    card = ModelCard(
        name="simulated", adapter="predictions", weights_sha256="0" * 64, embedding_dim=len(names),
        outputs=(OutputSpec(name="answer", names=names, activation=activation),),
    )  # fmt: skip
    spec = ProtocolSpec.model_validate(
        {
            "name": "coverage", "title": "coverage", "dataset": {"name": "simulated"}, "groups": None, "task": task,
            "uncertainty": {"replicates": replicates},
        }
    )  # fmt: skip
    images = Images(
        tuple(f"i{i}" for i in range(len(subject))), tuple(f"p{u}" for u in subject),
        {name: tuple(cells) for name, cells in columns.items()},
    )  # fmt: skip
    vectors = np.asarray(answers, np.float32)
    return measure_answers(spec, card, images, vectors, seed=int(rng.integers(2**31))).estimates
