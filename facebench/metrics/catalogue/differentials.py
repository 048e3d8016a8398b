"""Metrics of how far groups lie apart: of one rate, of both, and of covariates."""

from __future__ import annotations

from functools import partial

from facebench.metrics.catalogue.definition import (
    FROM_ONE,
    POSITIVE,
    UNIT,
    Counted,
    Direction,
    Format,
    Kind,
    MetricDef,
    Topic,
)

_COUNTED = {"fmr": Counted.IMPOSTOR, "fnmr": Counted.GENUINE}
_RATIO = "times as high; 1 means alike. A group without errors leaves it undefined."
_INVERTED = ("test-inversion", "simultaneous-pairs", "simultaneous-log-pairs", "centred-bootstrap")
# the last three stand in results made before test inversion took their place
_COVARIATE = {"fmr": ("dyadic-robust",), "fnmr": ("identity-robust",)}


def _of_rate(rate: str) -> tuple[MetricDef, ...]:
    """Return the measures and tests of one rate over the groups of a grouping."""
    define = partial(
        MetricDef, topic=Topic.DIFFERENTIAL, direction=Direction.LOWER, counted=_COUNTED[rate], rate=rate,
        intervals=_INVERTED,
    )  # fmt: skip
    name = rate.upper()
    written = Format.FMR if rate == "fmr" else Format.NUMBER
    return (
        define(
            name=f"{rate}_gap", label=f"{name} gap", words="Highest group minus lowest group; 0 means alike.",
            kind=Kind.GAP, bounds=UNIT, alike=0.0, format=written, intervals=_INVERTED,
        ),
        define(
            name=f"{rate}_gap_debiased", label=f"{name} gap without noise",
            words="The gap left after the groups' rates are shrunk by their share of noise; 0 means alike.",
            kind=Kind.GAP, bounds=UNIT, alike=0.0, format=written, intervals=_INVERTED,
        ),
        define(
            name=f"{rate}_max_min", label=f"{name} highest / lowest",
            words=f"The highest group's rate is so many {_RATIO}", kind=Kind.RATIO, bounds=FROM_ONE, alike=1.0,
            intervals=_INVERTED,
        ),
        define(
            name=f"{rate}_max_geomean", label=f"{name} highest / geometric mean",
            words=f"Against the geometric mean of the groups, the highest is so many {_RATIO}", kind=Kind.RATIO,
            bounds=FROM_ONE, alike=1.0,
        ),
        define(
            name=f"{rate}_gini", label=f"{name} Gini coefficient",
            words="Inequality of the rates over the groups, from 0 (alike) to 1 (all errors in one group).",
            kind=Kind.INDEX, bounds=UNIT, alike=0.0,
        ),
        define(
            name="sedg" if rate == "fmr" else f"{rate}_sedg", label=f"{name} skewed error distance (SEDG)",
            words="Sum of the groups' relative distances from their mean; 0 means alike.", kind=Kind.INDEX,
            bounds=POSITIVE, alike=0.0,
        ),
        define(
            name=f"equal_{rate}_test", label=f"Test of equal {name} (Q)",
            words="Squared distances from the mean rate in units of variance. A small p says the rates are not all "
            "equal.",
            kind=Kind.TEST, direction=Direction.NONE, bounds=POSITIVE, intervals=(),
        ),
    )  # fmt: skip


def _of_covariates(rate: str) -> tuple[MetricDef, ...]:
    """Return the odds ratios of an error of one rate per step of a covariate."""
    define = partial(
        MetricDef, topic=Topic.COVARIATES, kind=Kind.RATIO, direction=Direction.NONE, bounds=POSITIVE,
        counted=_COUNTED[rate], rate=rate, alike=1.0, intervals=_COVARIATE[rate],
    )  # fmt: skip
    name = rate.upper()
    return (
        define(
            name=f"{rate}_odds_mean", label=f"{name} odds by the mean of the pair",
            words="The odds of an error are so many times as high per step of the mean of the two images' values; 1 "
            "means alike.",
        ),
        define(
            name=f"{rate}_odds_difference", label=f"{name} odds by the difference within the pair",
            words="The same per step of the difference between the two images' values; 1 means alike.",
        ),
    )  # fmt: skip


_both = partial(
    MetricDef, topic=Topic.DIFFERENTIAL, direction=Direction.LOWER, counted=Counted.BOTH, intervals=_INVERTED
)
COMBINED = (
    MetricDef(
        name="mape", label="FMR mean distance from the reference, %", topic=Topic.DIFFERENTIAL,
        words="Mean relative distance of the groups from the declared reference, in per cent; 0 means alike.",
        kind=Kind.MEAN, direction=Direction.LOWER, bounds=POSITIVE, counted=Counted.IMPOSTOR, rate="fmr", alike=0.0,
        intervals=_INVERTED,
    ),
    _both(
        name="fdr", label="FDR",
        words="1 minus the mean of the FMR gap and the FNMR gap; 1 means alike, less is further apart. At low FMR the "
        "FMR part is nearly invisible.",
        kind=Kind.INDEX, direction=Direction.HIGHER, bounds=UNIT, alike=1.0, format=Format.SHARE,
    ),
    _both(
        name="ir", label="Inequity rate (IR)", symbol="IR",
        words=f"Geometric mean of the two highest/lowest ratios: so many {_RATIO}", kind=Kind.RATIO, bounds=FROM_ONE,
        alike=1.0,
    ),
    _both(
        name="garbe", label="GARBE", words="Mean of the Gini coefficients of FMR and FNMR, from 0 (alike) to 1.",
        kind=Kind.INDEX, bounds=UNIT, alike=0.0,
    ),
    _both(
        name="werm", label="WERM",
        words=f"Geometric mean of the two highest/geometric-mean ratios: so many {_RATIO}", kind=Kind.RATIO,
        bounds=FROM_ONE, alike=1.0,
    ),
    _both(
        name="equalised_odds_difference", label="Equalised odds difference",
        words="The larger of the two gaps, in true accepts and in false accepts; 0 means alike.", kind=Kind.GAP,
        bounds=UNIT, alike=0.0,
    ),
    _both(
        name="equalised_odds_ratio", label="Equalised odds ratio",
        words="The smaller of the two lowest/highest ratios, of true accepts and of false accepts; 1 means alike.",
        kind=Kind.RATIO, direction=Direction.HIGHER, bounds=UNIT, alike=1.0,
    ),
)  # fmt: skip

_published = partial(
    MetricDef, topic=Topic.PUBLISHED, direction=Direction.LOWER, counted=Counted.GENUINE, intervals=_INVERTED
)
PUBLISHED = (
    _published(
        name="accuracy_std", label="Standard deviation of accuracies",
        words="Spread of the groups' accuracies; 0 means alike. Kept for comparison with published RFW tables.",
        kind=Kind.INDEX, bounds=UNIT, counted=Counted.BOTH, alike=0.0,
    ),
    _published(
        name="ser", label="Skewed error ratio (SER)",
        words="Highest error rate over lowest; 1 means alike. Kept for comparison with published RFW tables.",
        kind=Kind.RATIO, bounds=FROM_ONE, counted=Counted.BOTH, alike=1.0,
    ),
    _published(
        name="mean_rank", label="Mean rank of the first mate",
        words="How many images of others stand before an image's best mate, on average.", kind=Kind.MEAN,
        bounds=POSITIVE, intervals=("identity-bootstrap", "centred-bootstrap"),
    ),
    _published(
        name="rank_disparity", label="Rank disparity",
        words="Absolute difference of two groups' mean ranks; 0 means alike.", kind=Kind.GAP, bounds=POSITIVE,
        alike=0.0,
    ),
    _published(
        name="rank_ratio", label="Rank ratio",
        words="Distance of the quotient of two groups' mean ranks from 1; 0 means alike.", kind=Kind.RATIO,
        bounds=POSITIVE, alike=0.0,
    ),
    _published(
        name="error_ratio", label="Error ratio",
        words="Distance of the quotient of two groups' shares of images without a mate in first place from 1; 0 means "
        "alike.",
        kind=Kind.RATIO, bounds=POSITIVE, alike=0.0,
    ),
)  # fmt: skip

METRICS = (
    *_of_rate("fmr"), *_of_rate("fnmr"), *COMBINED, *PUBLISHED, *_of_covariates("fmr"), *_of_covariates("fnmr"),
)  # fmt: skip
