"""Intervals of answers: classes, labels and numbers of simulated people, whose truth is that of very many of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage_study.designs import Floats
from benchmarks.coverage_study.judged import Judged, warned
from facebench.measure.answers import measure_answers
from facebench.measure.answers.truth import judged
from facebench.measure.answers.units import Resampled, units_of
from facebench.measure.groups import Column
from facebench.measure.sample import Images
from facebench.schema import Estimate, ModelCard, ProtocolSpec

CLASSES = ("calm", "joy", "fear")
MANY = 20_000  # people of the population
SKILL = np.array([1.5, 0.8, 0.4])
TASKS: dict[str, dict[str, Any]] = {
    "classify": {"shape": "classify", "truth": "y", "classes": CLASSES, "calibration_bins": 5},
    "multilabel": {"shape": "multilabel", "truth": {"a": "ya", "b": "yb"}},
    "regress": {"shape": "regress", "truth": "y", "within": (0.5,), "bins": (-2.0, 0.0, 2.0)},
}
NAMES = {"classify": CLASSES, "multilabel": ("a", "b"), "regress": ("y",)}
ACTIVATIONS = {"classify": "logits", "multilabel": "probabilities", "regress": "values"}


@dataclass(frozen=True)
class Answering:
    """People of two groups, each with several images; in group b answers are worse by `unfair`."""

    name: str
    shape: str
    people: int
    images: int
    unfair: float = 0.0


@dataclass(frozen=True, eq=False)
class _Drawn:
    images: Images
    vectors: NDArray[np.float32]


def answers(design: Answering, rng: np.random.Generator, replicates: int) -> Iterator[Judged]:
    """Yield what a run prints of answers."""
    drawn = _draw(design, design.people, rng)
    spec = ProtocolSpec.model_validate(
        {
            "name": "coverage", "title": "coverage", "task": TASKS[design.shape],
            "groups": {"attributes": ("group",), "min_identities": 2}, "uncertainty": {"replicates": replicates},
        }
    )  # fmt: skip
    seed = int(rng.integers(2**31))
    known = _population(design)
    for e in measure_answers(spec, _card(design), drawn.images, drawn.vectors, seed=seed).estimates:
        truth = known.get(_key(e))
        if e.value is None or truth is None:
            continue
        kind = f"answers: {e.metric}{' of a group' if '=' in e.group else ''}"
        yield Judged(warned(kind, e.flags), e.value, e.ci_low, e.ci_high, truth)


def _key(e: Estimate) -> tuple[Any, ...]:
    return e.metric, e.group, e.of, e.at


def _card(design: Answering) -> ModelCard:
    shape = design.shape
    head = {"name": "answer", "names": NAMES[shape], "activation": ACTIVATIONS[shape]}
    return ModelCard.model_validate(
        {"name": "simulated", "adapter": "simulated", "embedding_dim": len(NAMES[shape]), "outputs": (head,)}
    )


def _draw(design: Answering, people: int, rng: np.random.Generator) -> _Drawn:
    person = np.repeat(np.arange(people), design.images)
    worse = (person % 2) * design.unfair
    effect, noise = rng.standard_normal(people)[person], rng.standard_normal
    columns: dict[str, Column] = {"group": tuple("ab"[p % 2] for p in person)}
    if design.shape == "classify":
        truth = rng.integers(0, len(CLASSES), person.size)
        vectors = noise((person.size, len(CLASSES)))
        vectors[np.arange(person.size), truth] += SKILL[truth] + 0.7 * effect - worse
        columns["y"] = tuple(CLASSES[c] for c in truth)
    elif design.shape == "multilabel":
        yes = rng.random((person.size, 2)) < (0.3, 0.5)
        score = 1.2 * (2.0 * yes - 1) * (1 - worse[:, None]) + 0.5 * effect[:, None] + noise(yes.shape)
        vectors = 1 / (1 + np.exp(-score))
        columns |= {name: tuple(float(y) for y in yes[:, i]) for i, name in enumerate(("ya", "yb"))}
    else:
        value = 0.9 * noise(person.size) + 0.5 * rng.standard_normal(people)[person]
        error = 0.1 + 0.4 * effect + (0.6 + worse) * noise(person.size)
        vectors = (0.85 * value + error)[:, None]
        columns["y"] = tuple(value.tolist())
    ids = tuple(f"i{i}" for i in range(person.size))
    images = Images(ids, tuple(f"p{p}" for p in person), columns)
    return _Drawn(images, vectors.astype(np.float32))


@lru_cache(maxsize=8)
def _population(design: Answering) -> Mapping[tuple[Any, ...], float]:
    drawn = _draw(design, MANY, np.random.default_rng(20_260_102))
    task = ProtocolSpec.model_validate({"name": "p", "title": "p", "task": TASKS[design.shape]}).task
    assert task is not None
    found = judged(task, _card(design), drawn.vectors, drawn.images.attributes, "population")
    resampled = Resampled(units_of(drawn.images, None, {}, found.rows), replicates=1, seed=0)
    label = np.array(drawn.images.attributes["group"])[found.rows]
    values: dict[tuple[Any, ...], float] = {}
    for group, inside in (("all", label != ""), ("group=a", label == "a"), ("group=b", label == "b")):
        sums: Floats = found.table.rows[inside].sum(axis=0)
        values |= {(f.metric, group, f.of, f.at): float(f.value(sums)) for f in found.table.figures}
        for ranked in found.table.ranked:
            values[ranked.metric, group, ranked.of, None] = resampled.ranked(ranked, inside)[0]
    for metric in found.table.lead:
        a, b = (values.get((metric, f"group={g}", None, None)) for g in "ab")
        if a is not None and b is not None:
            values[f"{metric}_gap", "group", None, None] = abs(a - b)
    return values
