"""Metrics of one-to-one comparisons, of searches, and of what a model costs."""

from __future__ import annotations

from functools import partial

from facebench.metrics.catalogue.definition import (
    POSITIVE,
    REAL,
    UNIT,
    Counted,
    Direction,
    Format,
    Kind,
    MetricDef,
    Topic,
)

_HIGHER, _LOWER, _NONE = Direction.HIGHER, Direction.LOWER, Direction.NONE

# results written before the one variance hold "wilson-bootstrap"
_RATE = ("wilson-delta", "wilson-bootstrap", "wilson-identity-fixed-threshold", "rule-of-three", "naive-wilson")
_FMR = ("wilson-vertex", "wilson-delta", "wilson-bootstrap", "rule-of-three", "naive-wilson")
_SEARCHES = ("wilson-identity", "rule-of-three", "naive-wilson")

_verification = partial(MetricDef, topic=Topic.VERIFICATION)
VERIFICATION = (
    _verification(
        name="tar", label="TAR", words="Share of genuine comparisons that are accepted.", kind=Kind.RATE,
        direction=_HIGHER, bounds=UNIT, counted=Counted.GENUINE, format=Format.SHARE, intervals=_RATE,
    ),
    _verification(
        name="fnmr", label="FNMR", words="Share of genuine comparisons that are not accepted.", kind=Kind.RATE,
        direction=_LOWER, bounds=UNIT, counted=Counted.GENUINE, intervals=_RATE, rate="fnmr",
    ),
    _verification(
        name="fmr", label="FMR", words="Share of impostor comparisons that are accepted.", kind=Kind.RATE,
        direction=_LOWER, bounds=UNIT, counted=Counted.IMPOSTOR, format=Format.FMR, intervals=_FMR, rate="fmr",
    ),
    _verification(
        name="eer", label="Equal error rate (EER)", symbol="EER",
        words="The error rate where false matches and false non-matches are equally frequent. Lower is better.",
        kind=Kind.RATE, direction=_LOWER, bounds=UNIT, counted=Counted.BOTH, intervals=_RATE,
    ),
    _verification(
        name="hter", label="Half total error rate (HTER)", symbol="HTER",
        words="The mean of the false match and the false non-match rate at a threshold that was not set on this data. "
        "Lower is better.",
        kind=Kind.MEAN, direction=_LOWER, bounds=UNIT, counted=Counted.BOTH,
        intervals=("mover",),
    ),
    _verification(
        name="auc", label="Area under the ROC curve (AUC)", symbol="AUC",
        words="The chance that a genuine score is above an impostor score. 1 is perfect, 0.5 is a coin.",
        kind=Kind.MEAN, direction=_HIGHER, bounds=UNIT, counted=Counted.BOTH, format=Format.SHARE,
        intervals=("logit-delta", "rule-of-three", "wilson-delta"),
    ),
    _verification(
        name="dprime", label="Separation (d′)", symbol="d′",
        words="Distance between the mean genuine and the mean impostor score, in standard deviations. Higher is "
        "better.",
        kind=Kind.INDEX, direction=_HIGHER, bounds=REAL, counted=Counted.BOTH, intervals=("delta",),
    ),
    _verification(
        name="cllr", label="Cllr",
        words="Cost of reading the scores as log-likelihood ratios, in bits. 0 is perfect, 1 tells nothing, more "
        "misleads.",
        kind=Kind.COST, direction=_LOWER, bounds=POSITIVE, counted=Counted.BOTH, intervals=("delta",),
        log_likelihood_ratios=True,
    ),
    _verification(
        name="min_cllr", label="Minimum Cllr",
        words="The same cost after the best monotonic calibration: what remains is lack of discrimination.",
        kind=Kind.COST, direction=_LOWER, bounds=UNIT, counted=Counted.BOTH, intervals=("delta",),
    ),
    _verification(
        name="fnmr_at_zero_fmr", label="FNMR at zero false matches",
        words="Share of genuine comparisons missed when not one impostor comparison of this data is accepted.",
        kind=Kind.RATE, direction=_LOWER, bounds=UNIT, counted=Counted.GENUINE,
        intervals=("wilson-identity-fixed-threshold", "rule-of-three", "naive-wilson"),
    ),
    _verification(
        name="accuracy", label="Accuracy",
        words="Share of right decisions at a threshold fitted on other folds. Hides which kind of error occurs.",
        kind=Kind.RATE, direction=_HIGHER, bounds=UNIT, counted=Counted.BOTH, format=Format.SHARE,
        intervals=("t-over-N-folds", "wilson-bootstrap", "centred-bootstrap"),
    ),
    _verification(
        name="accuracy_fold_std", label="Standard deviation of the accuracy over folds",
        words="Spread over the folds, without the correction for their number. Some papers print it; it is no "
        "uncertainty.",
        kind=Kind.INDEX, direction=_NONE, bounds=UNIT, counted=Counted.BOTH,
    ),
    _verification(
        name="fta", label="Failure to acquire", symbol="FTA", words="Share of images the model could not use.",
        kind=Kind.RATE, direction=_LOWER, bounds=UNIT, counted=Counted.IMAGES, intervals=_SEARCHES,
    ),
)  # fmt: skip

_identification = partial(
    MetricDef, topic=Topic.IDENTIFICATION, kind=Kind.RATE, bounds=UNIT, format=Format.SHARE, intervals=_SEARCHES
)
IDENTIFICATION = (
    _identification(
        name="rank", label="Rank-k identification", direction=_HIGHER, counted=Counted.GENUINE,
        words="Share of searches whose mate is among the first k of the gallery. Ties count against the model.",
    ),
    _identification(
        name="fnir", label="FNIR (rank-k)", direction=_LOWER, counted=Counted.GENUINE,
        words="Share of searches for enrolled people that miss: the mate is below the threshold, or not among the "
        "first k.",
        intervals=("wilson-delta", "delta", "rule-of-three", "naive-wilson"),
    ),
    _identification(
        name="fpir", label="FPIR", direction=_LOWER, counted=Counted.IMPOSTOR,
        words="Share of searches for people who are not enrolled that return somebody.",
    ),
)  # fmt: skip

_size = partial(
    MetricDef, topic=Topic.EFFICIENCY, kind=Kind.COUNT, direction=_LOWER, bounds=POSITIVE, counted=Counted.NOTHING,
    format=Format.COUNT, intervals=("exact",),
)  # fmt: skip
_timing = partial(
    MetricDef, topic=Topic.EFFICIENCY, kind=Kind.TIMING, direction=_LOWER, bounds=POSITIVE, counted=Counted.NOTHING
)
EFFICIENCY = (
    _size(name="parameters", label="Parameters", words="Elements of all weight tensors."),
    _size(name="size_bytes", label="Size, bytes", words="Bytes of the weights file."),
    _size(
        name="multiply_adds", label="Multiply-adds",
        words="Of one face, in convolutions and matrix products. Says little of speed by itself.",
    ),
    _timing(
        name="latency_ms", label="Latency, ms", words="Median time of one call, on the machine named beside it.",
        intervals=("order-statistics",),
    ),
    _timing(
        name="latency_p95_ms", label="Latency, 95th percentile, ms", words="Nineteen calls in twenty are faster.",
    ),
    _timing(
        name="throughput", label="Throughput, faces per second", words="Batch size over median latency.",
        direction=_HIGHER, intervals=("order-statistics",),
    ),
    _timing(
        name="peak_memory_mib", label="Peak memory, MiB",
        words="Resident memory of a fresh process that embeds one batch.",
    ),
)  # fmt: skip

METRICS = (*VERIFICATION, *IDENTIFICATION, *EFFICIENCY)
