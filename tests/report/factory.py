"""Realistic results to render: full, without genuine comparisons, with failures, tiny, and with hostile names.

Rates follow from normal score models, so that the numbers of one result agree with each other; intervals are Wilson's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, pairwise
from statistics import NormalDist
from typing import Any

from facebench.measure.rates import one_sided
from facebench.schema import (
    Artifact,
    Curve,
    DataSummary,
    Estimate,
    Failure,
    Flag,
    InputSpec,
    ModelCard,
    ProtocolRef,
    Result,
    RunInfo,
    Unmeasured,
)

HOSTILE = "<script>alert('x')</script>"
TARGETS = (1e-1, 1e-2, 1e-3, 1e-4)
NORMAL = NormalDist()
RACES = ("asian", "black", "indian", "middle eastern", "white")
UTK = tuple(f"race={race}&gender={gender}" for race in RACES for gender in ("female", "male"))


def wilson(k: float, n: float, z: float = 1.96) -> tuple[float, float]:
    p = k / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def rate(metric: str, k: int, n: int, *, deff: float = 3.0, **fields: Any) -> Estimate:
    """A counted rate with its interval, flags and bracket as a run would write them."""
    low, high = wilson(k / deff, n / deff)
    interval: dict[str, Any] = {"ci_method": "wilson-neff", "n_eff": n / deff}
    flags = list(fields.pop("flags", ()))
    if k == 0:
        interval = one_sided(False, n, n / (10 * deff), deff, 0.95)
        low, high = interval.pop("ci_low"), interval.pop("ci_high")
        flags.append(Flag.ZERO_ERRORS)
    elif k < 30:
        flags.append(Flag.FEW_ERRORS)
    side = "n_impostor" if metric == "fmr" else "n_genuine"
    value = k / n
    if metric == "tar":
        value, low, high = 1 - value, 1 - high, 1 - low
        if k == 0:
            interval["bracket"] = tuple(1 - limit for limit in reversed(interval["bracket"]))
    return Estimate(
        metric=metric,
        value=value,
        ci_low=low,
        ci_high=high,
        errors=k,
        flags=tuple(flags),
        **interval,
        **{side: n},
        **fields,
    )


def overall(n_genuine: int, n_impostor: int, *, mu: float = 4.7, targets: Sequence[float] = TARGETS) -> list[Estimate]:
    """Estimates over all comparisons: genuine scores N(mu, 1), impostor scores N(0, 1)."""
    found = []
    for target in targets:
        accepted = math.floor(target * n_impostor + 1e-9)
        flags = (Flag.UNRESOLVABLE,) if accepted < 1 else ()
        threshold = NORMAL.inv_cdf(1 - target)
        common = {"fmr_target": target, "threshold": threshold, "threshold_source": "pooled", "flags": flags}
        found.append(rate("fmr", accepted, n_impostor, **common))
        if n_genuine:
            missed = round(NORMAL.cdf(threshold - mu) * n_genuine)
            found.append(rate("tar", missed, n_genuine, **common))
            found.append(rate("fnmr", missed, n_genuine, **common))
        else:
            empty = {**common, "n_genuine": 0, "flags": (*flags, Flag.NO_GENUINE)}
            found += [Estimate(metric=m, value=None, **empty) for m in ("tar", "fnmr")]
    if n_genuine:
        found += [
            Estimate(metric="eer", value=0.0094, ci_low=0.0071, ci_high=0.0122, ci_method="vertex-bootstrap"),
            Estimate(metric="auc", value=0.99956, ci_low=0.99921, ci_high=0.99974, ci_method="vertex-bootstrap"),
            Estimate(metric="dprime", value=mu, ci_low=mu - 0.2, ci_high=mu + 0.2, ci_method="vertex-bootstrap"),
            Estimate(metric="cllr", value=0.31, flags=(Flag.NO_INTERVAL,)),
            Estimate(metric="min_cllr", value=0.12, flags=(Flag.NO_INTERVAL,)),
            Estimate(metric="rank", k=1, value=0.974, ci_low=0.961, ci_high=0.983, n_genuine=n_genuine, errors=31),
            Estimate(metric="fnmr_at_zero_fmr", value=0.31, flags=(Flag.NO_INTERVAL,)),
        ]
    return found


def per_group(
    groups: Sequence[str], fmrs: Sequence[float], fnmrs: Sequence[float] | None, *, identities: int, images: int
) -> list[Estimate]:
    """Per-group rates at every target, and the cross-group cells."""
    found = []
    for target in TARGETS:
        scale = (target / 1e-3) ** 0.9
        threshold = NORMAL.inv_cdf(1 - target)
        common = {
            "fmr_target": target,
            "threshold": threshold,
            "threshold_source": "pooled",
            "n_identities": identities,
        }
        n = identities * (identities - 1) // 2 * images**2
        for i, group in enumerate(groups):
            found.append(rate("fmr", round(min(1, fmrs[i] * scale) * n), n, group=group, **common))
            if fnmrs:
                mated = identities * images * (images - 1) // 2
                missed = round(min(1, fnmrs[i] / scale**0.25) * mated)
                found.append(rate("fnmr", missed, mated, group=group, **common))
        for (i, a), (j, b) in combinations(enumerate(groups), 2):
            cross = identities * identities * images**2
            k = round(math.sqrt(fmrs[i] * fmrs[j]) * scale * 0.2 * cross)
            found.append(rate("fmr", k, cross, group=a, group_b=b, **common))
    return found


def differentials(grouping: str, fmrs: Sequence[float], fnmrs: Sequence[float] | None, *, p: float) -> list[Estimate]:
    """The measures that compare all groups of a grouping, with plausible expectations and intervals."""
    found = []
    for target in TARGETS:
        for metric, rates in (("fmr", fmrs), ("fnmr", fnmrs)):
            if not rates:
                continue
            scale = (target / 1e-3) ** (0.9 if metric == "fmr" else -0.22)
            high, low = max(rates) * scale, min(rates) * scale
            gap, expected = high - low, 0.25 * high
            seen = p < 0.05
            common: dict[str, Any] = {"fmr_target": target, "group": grouping, "ci_method": "pairwise"}
            found.append(
                Estimate(
                    metric=f"{metric}_gap",
                    value=gap,
                    ci_low=0.4 * gap if seen else 0.0,
                    ci_high=1.7 * gap,
                    expected_if_fair=expected,
                    excess=gap - expected,
                    p_value=p,
                    **common,
                )
            )
            ratio = high / low if low else None
            found.append(
                Estimate(
                    metric=f"{metric}_max_min",
                    value=ratio,
                    ci_low=(0.6 * ratio if seen else 1.0) if ratio else 2.1,
                    ci_high=1.8 * ratio if ratio else None,
                    expected_if_fair=1.4 if ratio else None,
                    excess=ratio - 1.4 if ratio else None,
                    flags=() if ratio else (Flag.INSUFFICIENT,),
                    **common,
                )
            )
            gini = 0.31 if seen else 0.04
            found.append(
                Estimate(
                    metric=f"{metric}_gini",
                    value=gini,
                    expected_if_fair=0.08,
                    excess=gini - 0.08,
                    flags=(Flag.NO_INTERVAL,),
                    **common,
                )
            )
        shared: dict[str, Any] = {"fmr_target": target, "group": grouping, "flags": (Flag.NO_INTERVAL,)}
        if fnmrs:
            found.append(Estimate(metric="fdr", value=0.9871, expected_if_fair=0.995, excess=-0.0079, **shared))
            found.append(Estimate(metric="garbe", value=0.29, expected_if_fair=0.11, excess=0.18, **shared))
        found.append(Estimate(metric="equal_fmr_test", value=21.7, p_value=p, fmr_target=target, group=grouping))
    return found


def curves(*, genuine: bool = True, mu: float = 4.7) -> tuple[Curve, ...]:
    """A DET curve and two histograms of the normal score model."""
    edges = tuple(-5 + 14 * i / 60 for i in range(61))

    def bars(centre: float, n: int) -> tuple[float, ...]:
        cdf = [NORMAL.cdf(edge - centre) for edge in edges]
        return tuple(float(round(n * (b - a))) for a, b in pairwise(cdf))

    found = [Curve(kind="histogram", name="impostor", x=edges, y=bars(0, 1_200_000))]
    if genuine:
        found.append(Curve(kind="histogram", name="genuine", x=edges, y=bars(mu, 30_000)))
        steps = [-4.5 + 5.5 * i / 200 for i in range(201)]
        far = tuple(NORMAL.cdf(s) for s in steps)
        miss = tuple(NORMAL.cdf(-s - mu) for s in steps)
        found.append(Curve(kind="det", name="all", x=far, y=miss))
    return tuple(found)


def frame(estimates: Sequence[Estimate], **changes: Any) -> Result:
    """A result around some estimates; `changes` replace whole fields."""
    fields: dict[str, Any] = {
        "protocol": ProtocolRef(
            name="faces-verification",
            title="Faces, all against all",
            version=2,
            sha256="a" * 64,
            manifest_sha256="b" * 64,
            description="Every image is compared with every other.",
            data_statement="Portraits collected from the web. Labels of race and gender were guessed by annotators.",
            source="https://example.org/faces",
            licence="research only",
            known_defects=("About 1% of the identity labels are wrong.", "Image ids repeat across folders."),
        ),
        "model": ModelCard(
            name="mobilefacenet-casia",
            adapter="onnx",
            revision="2021-03",
            weights_sha256="c" * 64,
            licence="research only",
            training_data=("CASIA-WebFace",),
            input=InputSpec(height=112, width=96, crop=(0, 8, 112, 104), std=128.0),
            embedding_dim=512,
        ),
        "data": DataSummary(
            name="faces",
            n_images=8192,
            n_identities=500,
            n_failed=0,
            attributes={
                "race": {race: 1600 + 8 * i for i, race in enumerate(RACES)},
                "gender": {"female": 4000, "male": 4192},
            },
        ),
        "run": RunInfo(
            facebench="0.1.0",
            seed=0,
            device="cpu",
            batch_size=64,
            packages={"torch": "2.13.0", "numpy": "2.4.6", "onnxruntime": "1.24.1"},
            python="3.11.7",
            platform="Linux x86_64",
            git_sha="d691a4e0d691a4e0d691a4e0d691a4e0d691a4e0",
            git_dirty=False,
            command="facebench run mobilefacenet.yaml faces-verification --data faces=FACES --seed 0",
            started="2026-11-23T09:00:00Z",
            wall_s=312.4,
            embedded_images=8192,
        ),
        "estimates": tuple(estimates),
        "curves": curves(),
        "artifacts": (Artifact(path="embeddings.safetensors", sha256="d" * 64, kind="embeddings"),),
    }
    return Result(**{**fields, **changes}).with_id()


RACE_GROUPS = tuple(f"race={race}" for race in RACES)
GENDER_GROUPS = ("gender=female", "gender=male")
RACE_FMRS = (2.1e-3, 1.6e-3, 9e-4, 8e-4, 3e-4)
RACE_FNMRS = (0.071, 0.066, 0.048, 0.045, 0.041)


def full() -> Result:
    """A model with a clear differential by race and none to be seen by gender."""
    estimates = overall(30_000, 1_200_000)
    estimates += per_group(RACE_GROUPS, RACE_FMRS, RACE_FNMRS, identities=100, images=4)
    estimates += per_group(GENDER_GROUPS, (1.1e-3, 9.6e-4), (0.051, 0.049), identities=250, images=4)
    estimates += differentials("race", RACE_FMRS, RACE_FNMRS, p=1e-6)
    estimates += differentials("gender", (1.1e-3, 9.6e-4), (0.051, 0.049), p=0.41)
    return frame(
        estimates, unmeasured=(Unmeasured(what="differentials by age", why="the manifest has no column 'age'"),)
    )


def alike() -> Result:
    """A model whose groups differ no more than chance."""
    fmrs, fnmrs = (1.1e-3, 9.6e-4), (0.051, 0.049)
    estimates = overall(30_000, 1_200_000)
    estimates += per_group(GENDER_GROUPS, fmrs, fnmrs, identities=250, images=4)
    return frame([*estimates, *differentials("gender", fmrs, fnmrs, p=0.41)])


def utk() -> Result:
    """One image per identity, ten intersectional groups: no genuine comparisons exist."""
    fmrs = tuple(4e-3 / (1 + i) for i in range(10))
    estimates = overall(0, 1_200_000)
    estimates += per_group(RACE_GROUPS, RACE_FMRS, None, identities=320, images=1)
    estimates += per_group(UTK, fmrs, None, identities=160, images=1)
    estimates += differentials("race", RACE_FMRS, None, p=1e-5)
    estimates += differentials("race&gender", fmrs, None, p=1e-6)
    no_genuine = Unmeasured(what="FNMR, TAR, EER", why="every identity has one image, so no genuine comparison exists")
    return frame(estimates, curves=curves(genuine=False), unmeasured=(no_genuine,))


def failing() -> Result:
    """Images that could not be used, rates with and without them, and compatibility rules."""
    estimates = overall(30_000, 1_200_000)
    without = [e for e in overall(29_400, 1_180_000, mu=4.8) if e.metric in ("tar", "fnmr", "fmr")]
    estimates += [e.model_copy(update={"failures": "excluded"}) for e in without]
    for rule, shift in (("insightface", 1.04), ("pyeer", 1.02), ("bob", 0.97), ("quantile", 1.01)):
        for e in overall(30_000, 1_200_000):
            if e.metric == "tar":
                estimates.append(e.model_copy(update={"rule": rule, "value": 1 - (1 - (e.value or 0)) / shift}))
            if e.metric == "fmr":
                estimates.append(e.model_copy(update={"rule": rule, "value": (e.value or 0) * shift}))
    failures = tuple(
        Failure(image_id=f"img_{i:05d}", stage="decode", reason="truncated JPEG: 4,096 of 18,112 bytes")
        for i in range(130)
    )
    result = frame(estimates, failures=failures)
    return result.model_copy(update={"data": result.data.model_copy(update={"n_failed": 130})}).with_id()


def zero_cells() -> Result:
    """A strict target on small groups: groups and cells without any error."""
    fmrs, fnmrs = (2e-3, 0.0, 2e-4), (0.04, 0.0, 0.05)
    groups = ("race=black", "race=white", "race=other")
    estimates = overall(600, 40_000)
    estimates += per_group(groups, fmrs, fnmrs, identities=40, images=3)
    return frame([*estimates, *differentials("race", fmrs, fnmrs, p=0.2)])


def tiny() -> Result:
    """Eight images of four identities, no identity-aware intervals, a limit, phantom faces."""
    estimates = overall(4, 24)
    estimates = [e.model_copy(update={"flags": (*e.flags, Flag.NAIVE_INTERVAL)}) for e in estimates]
    result = frame(estimates, curves=())
    return result.model_copy(
        update={
            "data": DataSummary(name="phantoms", n_images=8, n_identities=None, n_failed=0, phantom=True),
            "run": result.run.model_copy(update={"limit": 8}),
        }
    ).with_id()


def phantom() -> Result:
    """The full result, measured on rendered faces."""
    result = full()
    return result.model_copy(update={"data": result.data.model_copy(update={"phantom": True})}).with_id()


def hostile() -> Result:
    """Markup in every text that comes from outside."""
    groups = (f"race={HOSTILE}", 'race="><img src=x onerror=alert(1)>', "race=a\u202eb")
    estimates = overall(30_000, 1_200_000)
    estimates += per_group(groups, RACE_FMRS[:3], RACE_FNMRS[:3], identities=100, images=4)
    estimates += differentials("race", RACE_FMRS[:3], RACE_FNMRS[:3], p=0.001)
    estimates += [
        Estimate(metric="eer", value=0.5, condition=HOSTILE),
        Estimate(metric="tar", value=0.5, rule=HOSTILE),
    ]
    base = frame(estimates)
    attack = {"title": HOSTILE, "description": HOSTILE, "data_statement": HOSTILE, "source": "javascript:alert(1)"}
    attack |= {"licence": HOSTILE, "threshold_policy": f"reference:{HOSTILE}"}
    return base.model_copy(
        update={
            "protocol": base.protocol.model_copy(update={**attack, "known_defects": (HOSTILE,)}),
            "model": base.model.model_copy(
                update={"name": HOSTILE, "licence": HOSTILE, "training_data": (HOSTILE,), "options": {HOSTILE: HOSTILE}}
            ),
            "data": base.data.model_copy(update={"name": HOSTILE, "attributes": {HOSTILE: {HOSTILE: 3}}}),
            "run": base.run.model_copy(update={"command": HOSTILE, "packages": {HOSTILE: HOSTILE}}),
            "failures": (Failure(image_id=HOSTILE, stage="read", reason=HOSTILE),),
            "unmeasured": (Unmeasured(what=HOSTILE, why=HOSTILE),),
            "artifacts": (Artifact(path=HOSTILE, sha256=HOSTILE, kind="pairs"),),
            "curves": (*base.curves, Curve(kind="det", name=HOSTILE, group=HOSTILE, x=(0.1, 0.2), y=(0.2, 0.1))),
        }
    ).with_id()


ALL = {
    "full": full,
    "alike": alike,
    "utk": utk,
    "failing": failing,
    "zero_cells": zero_cells,
    "tiny": tiny,
    "phantom": phantom,
    "hostile": hostile,
}
