"""What a gate catches, by simulation of whole comparisons: the figures of docs/ci.md, "Three answers".

    python benchmarks/gate.py [REPETITIONS]       200 take a quarter of an hour

A copy of a model has 1 % of the genuine scores of one of two groups lowered below every threshold. How often the gate
stops it is held against what the power calculation says from the design alone. A second copy differs by noise that
harms nobody: a null change, which may seldom fail.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from facebench.comparison import paired
from facebench.comparison.comparable import Loaded
from facebench.comparison.paired_figures import separation_differences
from facebench.gate import check_gate
from facebench.measure.saved import load_result
from facebench.metrics.paired import one_sided_quantile, power_against_worsening
from facebench.schema import ComparedModel, Comparison, Policy, ProtocolSpec
from facebench.scoring import ScoreSet
from tests.comparison import factory

IDENTITIES, EACH, DIM, SHARE, MARGIN = 120, 5, 32, 0.01, 0.005
SPEC = ProtocolSpec.parse({**factory.SPEC, "uncertainty": {"replicates": 300}}, where="simulation")
IMAGES = factory.images(IDENTITIES, EACH)
GROUP_A = np.array([sex == "a" for sex in IMAGES.attributes["sex"]])
BOTH_GROUPS = {"metric": "tar", "group": "sex=*", "margin": MARGIN}
PLANTED = {
    "regression: above-zero": Policy.parse({"regression": "above-zero", "rules": [BOTH_GROUPS]}, where="simulation"),
    f"margin {MARGIN}": Policy.parse({"rules": [BOTH_GROUPS]}, where="simulation"),
}
NULL = Policy.parse(
    {
        "regression": "above-zero",
        "rules": [
            {"metric": "tar", "margin": 0.005},
            {"metric": "tar", "group": "sex=*", "margin": 0.01},
            {"metric": "fmr", "group": "sex=*", "margin_relative": 0.3},
            {"metric": "eer", "margin": 0.005},
        ],
    },
    where="simulation",
)

Plant = Callable[[ScoreSet], np.ndarray]


def pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return (N, D) embeddings of a base and of a copy that differs by noise; some people are harder than others."""
    centre = np.repeat(rng.standard_normal((IDENTITIES, DIM)), EACH, 0)
    hard = np.repeat(rng.gamma(4, 0.25, (IDENTITIES, 1)), EACH, 0)
    shared = centre + hard * 0.62 * rng.standard_normal(centre.shape)
    base, copy = (shared + 0.12 * rng.standard_normal(shared.shape) for _ in range(2))
    return base.astype(np.float32), copy.astype(np.float32)


def side(template: Loaded, vectors: np.ndarray, name: str, seed: int, plant: Plant | None = None) -> paired.Side:
    """Return one side of a comparison, with the planted genuine scores below every threshold."""
    result = template.result.model_copy(update={"result_id": name})
    loaded = Loaded(result, template.folder, vectors, IMAGES, None, SPEC)
    make = paired.make_scores

    def planted(*words: object, **options: object) -> ScoreSet:
        scores = make(*words, **options)
        if plant is None:
            return scores
        genuine = scores.genuine.copy()
        genuine[plant(scores)] = -1.0
        return ScoreSet(genuine, scores.genuine_ends, scores.impostor, scores.impostor_ends, scores.complete)

    with patch.object(paired, "make_scores", planted):
        return paired.Side(loaded, name, seed=seed)


def compared(base: paired.Side, model: paired.Side) -> Comparison:
    """Return the comparison of two sides, as `facebench compare` makes it for results on disk."""
    pairing = paired.Pairing(base, model, 0.95)
    found = [
        *paired.rate_differences(pairing), *paired.group_differences(pairing), *separation_differences(pairing),
    ]  # fmt: skip
    models = tuple(
        ComparedModel(label=one.label, name=one.label, result_id=one.loaded.result.result_id) for one in (base, model)
    )
    return Comparison(
        protocol=base.loaded.result.protocol, base=base.label, models=models, seed=0, differences=tuple(found),
        family_size=len(found),
    )  # fmt: skip


def main() -> None:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    outcomes: dict[str, Counter[str]] = {name: Counter() for name in (*PLANTED, "null change")}
    tars = []
    with TemporaryDirectory() as folder:
        path = factory.write_result(Path(folder) / "r", factory.vectors(IDENTITIES, EACH), of=IMAGES, name="model")
        template = Loaded(load_result(path), path, np.empty(0), IMAGES, None, SPEC)
    for repetition in range(repetitions):
        rng = np.random.default_rng([7, repetition])
        base, copy = pair(rng)

        def plant(scores: ScoreSet, rng: np.random.Generator = rng) -> np.ndarray:
            rows = np.flatnonzero(GROUP_A[scores.genuine_ends[:, 0]])
            return rows[rng.random(rows.size) < SHARE]

        first = side(template, base, "base", repetition)
        # nudged in the last bit: equal embeddings would be called equal without a look at the scores
        harmed = side(template, base * np.float32(1.0000001), "harmed", repetition, plant)
        comparison = compared(first, harmed)
        tars += [
            d.base_value
            for d in comparison.differences
            if d.metric == "tar" and d.group == "sex=a" and d.fmr_target == SPEC.primary_fmr_target
        ]
        for name, policy in PLANTED.items():
            outcomes[name][check_gate(comparison, harmed.loaded.result, policy).outcome.value] += 1
        null = side(template, copy, "null", repetition)
        verdict = check_gate(compared(first, null), null.loaded.result, NULL)
        outcomes["null change"][verdict.outcome.value] += 1
    n = IDENTITIES // 2 * EACH * (EACH - 1) // 2
    flips = SHARE * n * float(np.mean(tars))
    quantile = one_sided_quantile(1 - 0.05 / 2)  # Holm over two groups
    predicted = [power_against_worsening(flips, n, IDENTITIES // 2, bound, quantile) for bound in (0.0, MARGIN)]
    for name, power in zip(outcomes, [*map("{:.1%}".format, predicted), "at most 7 %"], strict=True):
        print(f"{name:24} {dict(outcomes[name])}   regression predicted: {power}")


if __name__ == "__main__":
    main()
