"""The words of the report: what each measure, flag and threshold rule means, for a reader outside the field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from facebench.report import format as fmt
from facebench.schema import Flag


@dataclass(frozen=True)
class Measure:
    """What a metric is called, how its values are written and how to read it."""

    label: str
    reading: str
    write: Callable[[float | None], str] = fmt.number


OVERALL = {
    "eer": Measure(
        "Equal error rate (EER)",
        "The error rate where false matches and false non-matches are equally frequent. Lower is better.",
    ),
    "auc": Measure(
        "Area under the ROC curve (AUC)",
        "The chance that a genuine score is above an impostor score. 1 is perfect, 0.5 is a coin.",
        fmt.share,
    ),
    "dprime": Measure(
        "Separation (d′)",
        "Distance between the mean genuine and the mean impostor score, in standard deviations. Higher is better.",
    ),
    "cllr": Measure(
        "Cllr",
        "Cost of reading the scores as log-likelihood ratios, in bits. 0 is perfect, 1 tells nothing, more misleads.",
    ),
    "min_cllr": Measure(
        "Minimum Cllr", "The same cost after the best monotonic calibration: what remains is lack of discrimination."
    ),
    "rank": Measure(
        "Rank-k identification",
        "Share of searches whose mate is among the first k of the gallery. Ties count against the model.",
        fmt.share,
    ),
    "fnir": Measure(
        "FNIR (rank-k)",
        "Share of searches for enrolled people that miss: the mate is below the threshold, or not among the first k.",
        fmt.share,
    ),
    "fpir": Measure("FPIR", "Share of searches for people who are not enrolled that return somebody.", fmt.share),
    "fnmr_at_zero_fmr": Measure(
        "FNMR at zero false matches",
        "Share of genuine comparisons missed when not one impostor comparison of this data is accepted.",
    ),
    "lookalike_match_rate": Measure(
        "Look-alikes accepted", "Share of comparisons with hand-picked look-alikes that are accepted.", fmt.fmr
    ),
    "score_change": Measure("Change of score", "Score of the edited image minus that of the unedited one."),
    "score_step": Measure("Change of score from the level before", "The same, from one level to the next."),
    "fnmr_change": Measure("Change of FNMR", "FNMR of edited images minus that of unedited ones."),
    "mean_rank": Measure(
        "Mean rank of the first mate", "How many images of others stand before an image's best mate, on average."
    ),
    "rank_disparity": Measure("Rank disparity", "Absolute difference of two groups' mean ranks; 0 means alike."),
    "rank_ratio": Measure("Rank ratio", "Distance of the quotient of two groups' mean ranks from 1; 0 means alike."),
    "error_ratio": Measure(
        "Error ratio", "Distance of the quotient of two groups' shares of images without a mate in first place from 1."
    ),
    "edc_fnmr": Measure("FNMR after discarding", "FNMR of what is left when the poorest comparisons are discarded."),
    "edc_area": Measure("Mean FNMR while discarding", "Partial area of the error-versus-discard curve over its width."),
    "judgement_alignment": Measure(
        "Alignment with human judgements",
        "Spearman's correlation of the model's scores with how alike people found the same two faces.",
    ),
    "judge_agreement": Measure(
        "Agreement of the judges", "Mean of Spearman's correlation of each judge with the mean of the others."
    ),
    "fta": Measure("Failure to acquire", "Share of images the model could not use."),
    "attack_success": Measure(
        "Attack success",
        "Share of the attacked comparisons, right before the attack, that the attacker turned. Lower is better.",
    ),
    "attack_success_matched": Measure(
        "Attack success, margin-matched",
        "The same as if the group's clean scores were spread as those of all attacked comparisons.",
    ),
    "robust_tar": Measure(
        "Robust TAR",
        "Share of genuine comparisons accepted both before and after the attack, at the clean threshold.",
        fmt.share,
    ),
    "robust_far": Measure(
        "Robust FAR",
        "Share of impostor comparisons accepted before or after the attack, at the clean threshold. Lower is better.",
    ),
    "parameters": Measure("Parameters", "Elements of all weight tensors.", fmt.count),
    "size_bytes": Measure("Size, bytes", "Bytes of the weights file.", fmt.count),
    "multiply_adds": Measure(
        "Multiply-adds", "Of one face, in convolutions and matrix products. Says little of speed by itself.", fmt.count
    ),
    "latency_ms": Measure("Latency, ms", "Median time of one call, on the machine named beside it."),
    "latency_p95_ms": Measure("Latency, 95th percentile, ms", "Nineteen calls in twenty are faster."),
    "throughput": Measure("Throughput, faces per second", "Batch size over median latency."),
    "peak_memory_mib": Measure("Peak memory, MiB", "Resident memory of a fresh process that embeds one batch."),
    "relative_drop": Measure(
        "Relative drop", "Share of the clean TAR that is lost at the same threshold; 0: nothing, 1: everything."
    ),
    "mean_tar": Measure(
        "Mean TAR", "TAR averaged over all conditions of a family, each kind counting the same.", fmt.share
    ),
    "mean_relative_drop": Measure(
        "Mean relative drop", "Share of the clean TAR that is lost on average over all conditions of a family."
    ),
    "worst_tar": Measure("Worst TAR", "The lowest TAR under any condition of a family.", fmt.share),
    "worst_fmr": Measure("Worst FMR", "The highest FMR under any condition of a family.", fmt.fmr),
    "precision_at_1": Measure(
        "P@1", "Share of searches whose first entry is the right person. Ties count against the model.", fmt.share
    ),
    "r_precision": Measure(
        "R-precision", "With R images of the person in the gallery: their share of the best R.", fmt.share
    ),
    "map_at_r": Measure(
        "MAP@R", "As R-precision, with the order of the best R counted too: 1 only if they all come first.", fmt.share
    ),
    "rerank_gain": Measure("Gain in P@1", "What re-ranking adds to P@1, search by search."),
    "accuracy": Measure(
        "Accuracy",
        "Share of right decisions at a threshold fitted on other folds. Hides which kind of error occurs.",
        fmt.share,
    ),
}

_RATIO = "times as high; 1 means alike. A group without errors leaves it undefined."
DIFFERENTIALS = {
    "gap": Measure("gap", "Highest group minus lowest group; 0 means alike."),
    "gap_debiased": Measure(
        "gap without noise", "The gap left after the groups' rates are shrunk by their share of noise; 0 means alike."
    ),
    "odds_mean": Measure(
        "odds by the mean of the pair",
        "The odds of an error are so many times as high per step of the mean of the two images' values; 1 means alike.",
    ),
    "odds_difference": Measure(
        "odds by the difference within the pair",
        "The same per step of the difference between the two images' values; 1 means alike.",
    ),
    "max_min": Measure("highest / lowest", f"The highest group's rate is so many {_RATIO}"),
    "max_geomean": Measure(
        "highest / geometric mean", f"Against the geometric mean of the groups, the highest is so many {_RATIO}"
    ),
    "gini": Measure(
        "Gini coefficient", "Inequality of the rates over the groups, from 0 (alike) to 1 (all errors in one group)."
    ),
    "sedg": Measure(
        "skewed error distance (SEDG)", "Sum of the groups' relative distances from their mean; 0 means alike."
    ),
    "mape": Measure(
        "mean distance from the reference, %",
        "Mean relative distance of the groups from the declared reference, in per cent; 0 means alike.",
    ),
}
COMBINED = {
    "fdr": Measure(
        "FDR",
        "1 minus the mean of the FMR gap and the FNMR gap; 1 means alike, less is further apart. "
        "At low FMR the FMR part is nearly invisible.",
        fmt.share,
    ),
    "ir": Measure("Inequity rate (IR)", f"Geometric mean of the two highest/lowest ratios: so many {_RATIO}"),
    "garbe": Measure("GARBE", "Mean of the Gini coefficients of FMR and FNMR, from 0 (alike) to 1."),
    "werm": Measure("WERM", f"Geometric mean of the two highest/geometric-mean ratios: so many {_RATIO}"),
    "sedg": DIFFERENTIALS["sedg"],
    "mape": DIFFERENTIALS["mape"],
    "ser": Measure(
        "Skewed error ratio (SER)",
        "Highest error rate over lowest; 1 means alike. Kept for comparison with published RFW tables.",
    ),
    "accuracy_std": Measure(
        "Standard deviation of accuracies",
        "Spread of the groups' accuracies; 0 means alike. Kept for comparison with published RFW tables.",
    ),
    "equalised_odds_difference": Measure(
        "Equalised odds difference", "The larger of the two gaps, in true accepts and in false accepts; 0 means alike."
    ),
    "equalised_odds_ratio": Measure(
        "Equalised odds ratio",
        "The smaller of the two lowest/highest ratios, of true accepts and of false accepts; 1 means alike.",
    ),
    "equal_fmr_test": Measure(
        "Test of equal FMR (Q)",
        "Squared distances from the mean rate in units of variance. A small p says the rates are not all equal.",
    ),
    "equal_fnmr_test": Measure("Test of equal FNMR", "A small p says the rates are not all equal."),
}


IN_SEARCH = frozenset({"precision_at_1", "r_precision", "map_at_r", "rerank_gain"})
"""Measures that the section on search shows, clean ones included; re-ranked ones begin with ``reranked_``."""


def measure(metric: str) -> Measure:
    """Return the words for a metric; an unknown one is shown under its own name."""
    if metric.startswith("reranked_"):
        base = measure(metric.removeprefix("reranked_"))
        return Measure(f"{base.label}, re-ranked", base.reading, base.write)
    known = OVERALL.get(metric) or COMBINED.get(metric)
    if known:
        return known
    rate, _, kind = metric.partition("_")
    if rate in ("fmr", "fnmr") and kind in DIFFERENTIALS:
        base = DIFFERENTIALS[kind]
        write = fmt.fmr if rate == "fmr" and kind.startswith("gap") else base.write
        return Measure(f"{rate.upper()} {base.label}", base.reading, write)
    writers = {"fmr": fmt.fmr, "tar": fmt.share}
    return Measure(
        metric.upper() if len(metric) <= 4 else metric.replace("_", " "), "", writers.get(metric, fmt.number)
    )


FLAGS = {
    Flag.UNRESOLVABLE: "too few impostor comparisons for this target: it allows less than one false match",
    Flag.FEW_ERRORS: "fewer than 30 errors, too few to know the rate to within 30%",
    Flag.ZERO_ERRORS: "no error seen: only an upper bound is known",
    Flag.FEW_IDENTITIES: "fewer identities than the protocol asks for",
    Flag.NO_GENUINE: "no genuine comparisons in this data",
    Flag.NO_IMPOSTOR: "no impostor comparisons in this data",
    Flag.INSUFFICIENT: "it, or what alike groups would show, is undefined on these counts",
    Flag.GROUPS_LEFT_OUT: "groups without such comparisons are left out",
    Flag.NAIVE_INTERVAL: "interval too narrow: it ignores that comparisons share people",
    Flag.NO_INTERVAL: "no interval is known",
    Flag.LABELS_INCOMPLETE: "images without this label are left out",
    Flag.UNQUALIFIED: "the method failed a control on this model: not ranked",
    Flag.DEGENERATE_MAPS: "constant maps are left out",
    Flag.CONTROL_FAILED: "groups with shuffled labels look unlike: intervals are too narrow on this data",
    Flag.UNRELIABLE: "a check for hidden gradients failed: the attack may have been misled, so the row is not ranked",
}


SHORT_FLAGS = {
    Flag.UNRESOLVABLE: "target too strict for this data",
    Flag.FEW_ERRORS: "fewer than 30 errors",
    Flag.ZERO_ERRORS: "no error seen",
    Flag.FEW_IDENTITIES: "few identities",
    Flag.NO_GENUINE: "no genuine comparisons",
    Flag.NO_IMPOSTOR: "no impostor comparisons",
    Flag.INSUFFICIENT: "undefined, or without an expectation",
    Flag.GROUPS_LEFT_OUT: "leaves groups out",
    Flag.NAIVE_INTERVAL: "interval too narrow",
    Flag.NO_INTERVAL: "no interval",
    Flag.LABELS_INCOMPLETE: "unlabelled images left out",
    Flag.UNQUALIFIED: "method not qualified",
    Flag.DEGENERATE_MAPS: "constant maps left out",
    Flag.CONTROL_FAILED: "negative control failed",
    Flag.UNRELIABLE: "unreliable",
}


def flag_words(flags: tuple[Flag, ...]) -> str:
    """Return the flags of an estimate as one short line; the page explains each once."""
    return "; ".join(SHORT_FLAGS[flag] for flag in flags)


_EXCEEDS = "it may exceed the target"
RULES = {
    "strict": "The highest TAR with at most floor(f·N) false accepts among N impostor comparisons: never above target",
    "insightface": "The point of scikit-learn's roc_curve whose false positive rate is nearest to the target: "
    + _EXCEEDS,
    "pyeer": "The threshold whose false accept rate is nearest to the target, above or below: " + _EXCEEDS,
    "bob": "The threshold sits on an impostor score, so the room up to the next genuine score is not used",
    "quantile": "The threshold is a linearly interpolated quantile of the impostor scores: " + _EXCEEDS,
}


def rule_words(rule: str) -> str:
    """Return what a threshold rule does differently."""
    return f"{RULES.get(rule, 'A threshold rule of another tool; see docs/metrics.md')}."


def policy_words(policy: str) -> str:
    """Return whose impostor comparisons set the threshold the groups are read at."""
    kind, _, group = policy.partition(":")
    words = {
        "pooled": "One threshold for all groups, set on all impostor comparisons together.",
        "reference": f"One threshold for all groups, set on the impostor comparisons within {group}.",
        "worst": "One threshold for all groups, the highest of the thresholds the groups would need by themselves.",
        "per-group": "Each group has its own threshold. A diagnostic: a deployed system has one threshold.",
    }
    return words.get(kind, f"Threshold policy: {policy}.")
