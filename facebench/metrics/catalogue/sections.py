"""Metrics of the further questions: look-alikes, altered images, searches, attacks, edits, discarding, judgements."""

from __future__ import annotations

from functools import partial

from facebench.metrics.catalogue.definition import (
    POSITIVE,
    REAL,
    SIGNED,
    UNIT,
    Counted,
    Direction,
    Format,
    Kind,
    MetricDef,
    Topic,
)

_HIGHER, _LOWER, _NONE = Direction.HIGHER, Direction.LOWER, Direction.NONE
_FIXED = ("wilson-identity-fixed-threshold", "rule-of-three", "naive-wilson")
_VERTEX = ("wilson-vertex", "rule-of-three", "naive-wilson")
_BELOW_ONE = (-REAL[1], 1.0)

LADDER = (
    MetricDef(
        name="lookalike_match_rate", label="Look-alikes accepted",
        words="Share of comparisons with hand-picked look-alikes that are accepted.", topic=Topic.LADDER,
        kind=Kind.RATE, direction=_LOWER, bounds=UNIT, counted=Counted.IMPOSTOR, format=Format.FMR, intervals=_VERTEX,
    ),
)  # fmt: skip

_discard = partial(
    MetricDef,
    topic=Topic.DISCARD,
    direction=_LOWER,
    bounds=UNIT,
    counted=Counted.GENUINE,
    intervals=(*_FIXED, "identity-bootstrap"),
)
DISCARD = (
    _discard(
        name="edc_fnmr", label="FNMR after discarding", kind=Kind.RATE,
        words="FNMR of what is left when the poorest comparisons are discarded.",
    ),
    _discard(
        name="edc_area", label="Mean FNMR while discarding", kind=Kind.MEAN,
        words="Partial area of the error-versus-discard curve over its width.",
    ),
)  # fmt: skip

_judgements = partial(
    MetricDef, topic=Topic.JUDGEMENTS, kind=Kind.CORRELATION, bounds=SIGNED, counted=Counted.BOTH,
    intervals=("jackknife-identities",),
)  # fmt: skip
JUDGEMENTS = (
    _judgements(
        name="judgement_alignment", label="Alignment with human judgements", direction=_HIGHER,
        words="Spearman's correlation of the model's scores with how alike people found the same two faces.",
    ),
    _judgements(
        name="judge_agreement", label="Agreement of the judges", direction=_NONE, intervals=(),
        words="Mean of Spearman's correlation of each judge with the mean of the others.",
    ),
)  # fmt: skip

_causal = partial(
    MetricDef, topic=Topic.CAUSAL, kind=Kind.DIFFERENCE, counted=Counted.GENUINE, intervals=("identity-bootstrap",)
)
CAUSAL = (
    _causal(
        name="score_change", label="Change of score", direction=_NONE, bounds=REAL,
        words="Score of the edited image minus that of the unedited one.",
    ),
    _causal(
        name="score_step", label="Change of score from the level before", direction=_NONE, bounds=REAL,
        words="The same, from one level to the next.",
    ),
    _causal(
        name="fnmr_change", label="Change of FNMR", direction=_LOWER, bounds=SIGNED,
        words="FNMR of edited images minus that of unedited ones.",
        intervals=("identity-bootstrap", "rule-of-three"),
    ),
)  # fmt: skip

_altered = partial(MetricDef, topic=Topic.ALTERED, counted=Counted.GENUINE)
ALTERED = (
    _altered(
        name="relative_drop", label="Relative drop", kind=Kind.DIFFERENCE, direction=_LOWER, bounds=_BELOW_ONE,
        words="Share of the clean TAR that is lost at the same threshold; 0: nothing, 1: everything.",
        intervals=("mover", "delta"),
    ),
    _altered(
        name="mean_tar", label="Mean TAR", kind=Kind.MEAN, direction=_HIGHER, bounds=UNIT, format=Format.SHARE,
        words="TAR averaged over all conditions of a family, each kind counting the same.", intervals=_FIXED,
    ),
    _altered(
        name="mean_relative_drop", label="Mean relative drop", kind=Kind.DIFFERENCE, direction=_LOWER,
        words="Share of the clean TAR that is lost on average over all conditions of a family.", bounds=_BELOW_ONE,
        intervals=("mover", "delta"),
    ),
    _altered(
        name="worst_tar", label="Worst TAR", kind=Kind.RATE, direction=_HIGHER, bounds=UNIT, format=Format.SHARE,
        words="The lowest TAR under any condition of a family.", intervals=("bonferroni",),
    ),
    _altered(
        name="worst_fmr", label="Worst FMR", kind=Kind.RATE, direction=_LOWER, bounds=UNIT, format=Format.FMR,
        words="The highest FMR under any condition of a family.", counted=Counted.IMPOSTOR,
        intervals=("bonferroni",),
    ),
)  # fmt: skip

_search = partial(
    MetricDef, topic=Topic.SEARCH, direction=_HIGHER, bounds=UNIT, counted=Counted.GENUINE, format=Format.SHARE,
    intervals=("wilson-identity", "rule-of-three", "naive-wilson"),
)  # fmt: skip


def _searched(prefix: str, label: str) -> tuple[MetricDef, ...]:
    """Return the measures of a search, as they stand or under a name of their own after re-ranking."""
    return (
        _search(
            name=f"{prefix}precision_at_1", label=f"P@1{label}", kind=Kind.RATE,
            words="Share of searches whose first entry is the right person. Ties count against the model.",
        ),
        _search(
            name=f"{prefix}r_precision", label=f"R-precision{label}", kind=Kind.MEAN,
            words="With R images of the person in the gallery: their share of the best R.",
        ),
        _search(
            name=f"{prefix}map_at_r", label=f"MAP@R{label}", kind=Kind.MEAN,
            words="As R-precision, with the order of the best R counted too: 1 only if they all come first.",
        ),
    )  # fmt: skip


SEARCH = (
    *_searched("", ""),
    *_searched("reranked_", ", re-ranked"),
    _search(
        name="rerank_gain", label="Gain in P@1", kind=Kind.DIFFERENCE, bounds=SIGNED, format=Format.NUMBER,
        words="What re-ranking adds to P@1, search by search.", intervals=("delta",),
    ),
)  # fmt: skip

_attack = partial(MetricDef, topic=Topic.ATTACK, kind=Kind.RATE, bounds=UNIT)
ATTACK = (
    _attack(
        name="attack_success", label="Attack success", direction=_LOWER, counted=Counted.EITHER,
        words="Share of the attacked comparisons, right before the attack, that the attacker turned. Lower is "
        "better.",
        intervals=("wilson-identity-fixed-threshold", "wilson-vertex", "rule-of-three", "naive-wilson"),
    ),
    _attack(
        name="attack_success_matched", label="Attack success, margin-matched", direction=_LOWER,
        words="The same as if the group's clean scores were spread as those of all attacked comparisons.",
        counted=Counted.EITHER, intervals=("wilson-standardised",),
    ),
    _attack(
        name="robust_tar", label="Robust TAR", direction=_HIGHER, counted=Counted.GENUINE, format=Format.SHARE,
        words="Share of genuine comparisons accepted both before and after the attack, at the clean threshold.",
        intervals=_FIXED,
    ),
    _attack(
        name="robust_far", label="Robust FAR", direction=_LOWER, counted=Counted.IMPOSTOR,
        words="Share of impostor comparisons accepted before or after the attack, at the clean threshold. Lower is "
        "better.",
        intervals=_VERTEX,
    ),
)  # fmt: skip

_spot = partial(MetricDef, topic=Topic.DIFFERENTIAL, counted=Counted.IMAGES, intervals=("t-units",), direction=_LOWER)
SPOTS = (
    _spot(
        name="weak_spot_errors", label="Errors in a slice", kind=Kind.MEAN, bounds=UNIT,
        words="Share of errors in a slice that was found on other people, such as dark pictures of one group.",
    ),
    _spot(
        name="weak_spot_size", label="Error in a slice", kind=Kind.MEAN, bounds=POSITIVE,
        words="Mean size of the error in a slice that was found on other people.",
    ),
    _spot(
        name="weak_spot_excess", label="Excess in a slice", kind=Kind.DIFFERENCE, bounds=REAL,
        words="Mean loss in a slice less that elsewhere, on people who had no say in its choice; the p-value is "
        "one-sided; `p_holm` is corrected for the number of slices tested.",
    ),
)  # fmt: skip

METRICS = (*LADDER, *DISCARD, *JUDGEMENTS, *CAUSAL, *ALTERED, *SEARCH, *ATTACK, *SPOTS)
