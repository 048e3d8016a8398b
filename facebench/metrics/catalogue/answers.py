"""Metrics of answers: classes, labels, numbers, and the gaps of their leading ones between groups."""

from __future__ import annotations

from functools import partial
from math import log

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
_SHARES = ("wilson-identity", "rule-of-three", "naive-wilson")
_SMOOTH = ("t-units", "t-delta")

_answer = partial(MetricDef, topic=Topic.ANSWERS, counted=Counted.IMAGES)
_share = partial(_answer, kind=Kind.RATE, bounds=UNIT, format=Format.SHARE, intervals=_SHARES, direction=_HIGHER)
_mean = partial(_answer, kind=Kind.MEAN, intervals=_SMOOTH)
_score = partial(_mean, bounds=UNIT, format=Format.SHARE, direction=_HIGHER)

ANSWERS = (
    _share(name="top1_accuracy", label="Accuracy", words="Share of images whose class was answered rightly."),
    _score(
        name="uar", label="Mean recall of the classes (UAR)", symbol="UAR",
        words="Mean over all classes of the share recognised; every class weighs the same, however rare.",
    ),
    _score(
        name="uar_present", label="Mean recall of the classes present", symbol="UAR of classes present",
        words="The same mean over those classes that some image shows; not comparable with a mean over all.",
    ),
    _score(name="macro_f1", label="Mean F1 of the classes", symbol="macro-F1",
           words="Mean over all classes of F1, the harmonic mean of precision and recall."),
    _score(name="weighted_f1", label="F1 weighted by class size", words="Mean of F1, each class weighing as often as "
           "it occurs."),
    _score(
        name="accuracy_common_mix", label="Accuracy at one common class mix", symbol="accuracy at one mix",
        words="Accuracy as it would be if every group showed the classes as often as all images together do.",
    ),
    _mean(name="kappa", label="Cohen's kappa", words="Agreement beyond chance: 1 is perfect, 0 is chance.",
          bounds=SIGNED, direction=_HIGHER),
    _mean(name="mcc", label="Matthews correlation", words="Correlation of answered and true classes: 1 is perfect, "
          "0 is chance.", bounds=SIGNED, direction=_HIGHER),
    _share(name="recall", label="Recall", words="Share of the images of a class that were recognised as it."),
    _share(name="precision", label="Precision", words="Share of the images answered as a class that are of it."),
    _score(name="f1", label="F1", words="Harmonic mean of precision and recall."),
    _mean(name="brier", label="Brier score", words="Mean squared error of the probabilities, summed over classes: 0 is "
          "perfect, 2 the worst.", bounds=(0.0, 2.0), direction=_LOWER),
    _mean(name="nll", label="Negative log-likelihood", words="Mean surprise at the true class, in nats. Lower is "
          "better.", bounds=POSITIVE, direction=_LOWER),
    _mean(name="ece", label="Calibration error (ECE)", symbol="ECE",
          words="How far confidence lies from accuracy, on average over images. Small samples push it up.",
          bounds=UNIT, direction=_LOWER),
    _mean(name="aurc", label="Area under the risk-coverage curve", symbol="AURC",
          words="Error among the images a model is surest of, on average over how many are kept. Lower is better.",
          bounds=UNIT, direction=_LOWER),
    _score(name="mean_f1", label="Mean F1 of the labels", words="Mean over labels of F1, counts pooled over images."),
    _score(name="mean_label_accuracy", label="Mean accuracy of the labels", words="Mean over labels of the share of "
           "images answered rightly; hides that most labels are rare."),
    _share(name="label_accuracy", label="Accuracy of a label", words="Share of images on which a label was answered "
           "rightly."),
    _mean(name="selection_rate", label="Share answered with yes", words="Share of images for which a label was "
          "answered, rightly or not.", kind=Kind.RATE, bounds=UNIT, direction=_NONE, intervals=_SHARES),
    _share(name="false_alarm_rate", label="False alarms", words="Share of images without a label for which it was "
           "answered.", direction=_LOWER, format=Format.NUMBER),
    _score(name="answer_auc", label="Area under the ROC curve", words="The chance that an image with the label scores "
           "above one without it."),
    _score(name="average_precision", label="Average precision", words="Mean precision over the steps of recall."),
    _mean(name="mae", label="Mean absolute error (MAE)", symbol="MAE", words="Mean size of the error, in the unit of "
          "the truth.", bounds=POSITIVE, direction=_LOWER),
    _mean(name="rmse", label="Root mean squared error (RMSE)", symbol="RMSE", words="As the mean absolute error, with "
          "large errors weighing more.", bounds=POSITIVE, direction=_LOWER),
    _mean(name="bias", label="Bias", words="Mean signed error: above 0 the answers are too high.", bounds=REAL,
          direction=_NONE),
    _mean(name="pcc", label="Pearson's correlation (PCC)", symbol="PCC", words="Correlation of answer and truth; says "
          "nothing of scale or offset.", bounds=SIGNED, direction=_HIGHER),
    _mean(name="ccc", label="Concordance (CCC)", symbol="CCC", words="Agreement in correlation, scale and offset "
          "together: 1 is perfect, 0 is none.", bounds=SIGNED, direction=_HIGHER),
    _mean(name="icc31", label="Intraclass correlation ICC(3,1)", symbol="ICC(3,1)", words="Consistency of answer and "
          "truth as two raters; a common offset does not count.", bounds=SIGNED, direction=_HIGHER),
    _share(name="sagr", label="Sign agreement (SAGR)", words="Share of images whose answer has the sign of the truth."),
    _share(name="within", label="Share within a tolerance (CS)", words="Share of images whose answer is at most so far "
           "off."),
    _mean(name="epsilon_error", label="Epsilon error", words="0 where answers match, near 1 where they lie far outside "
          "what annotators differed by.", bounds=UNIT, direction=_LOWER),
    _mean(name="mae_balanced", label="Mean absolute error, bins alike", words="Mean of the errors of the bins of the "
          "true value, each weighing the same.", bounds=POSITIVE, direction=_LOWER),
    _share(name="bin_accuracy", label="Right bin", words="Share of images whose answer is in the bin of the truth."),
    _share(name="one_off", label="At most one bin off", words="Share of images whose answer is in the bin of the truth "
           "or beside it."),
    _mean(name="qwk", label="Kappa with quadratic weights (QWK)", symbol="QWK", words="Agreement of bins beyond "
          "chance, errors weighing by their square: 1 is perfect, 0 is chance.", bounds=SIGNED, direction=_HIGHER),
    _mean(name="geodesic", label="Angle between the poses", words="Degrees the head must be turned from the answered "
          "to the true pose, on average; unlike three separate angles it means the same in every pose.",
          bounds=(0.0, 180.0), direction=_LOWER),
    _mean(name="mae_by_value", label="Mean absolute error by true value", words="Error of the images whose truth lies "
          "in a bin.", bounds=POSITIVE, direction=_LOWER),
    _mean(name="bias_by_value", label="Bias by true value", words="Signed error of the images whose truth lies in a "
          "bin; rising or falling bias means answers are drawn to the middle.", bounds=REAL, direction=_NONE),
)  # fmt: skip

LOSS = MetricDef(
    name="answer_loss", label="Loss against clean pictures", topic=Topic.ANSWERS, kind=Kind.DIFFERENCE,
    words="How much worse the leading figure is on altered pictures than on clean ones, on the same images.",
    direction=_LOWER, bounds=REAL, counted=Counted.IMAGES, intervals=("paired-units",),
)  # fmt: skip
_AT = "at the protocol's threshold"
_fault = partial(_share, direction=_LOWER, format=Format.NUMBER)
_trade = partial(_mean, bounds=UNIT, direction=_LOWER)
SCORES = (
    _fault(name="apcer", label="Attacks accepted (APCER) of a species", symbol="APCER",
           words=f"Share of the attacks of one species that are taken for bona fide {_AT}."),
    _trade(name="apcer_worst", label="Attacks accepted (APCER), worst species", symbol="APCER, worst species",
           words=f"The largest share over the species, {_AT}: what an attacker who knows the weak spot finds.",
           intervals=("largest-of-rates",)),
    _fault(name="apcer_pooled", label="Attacks accepted, species pooled", symbol="attacks accepted, pooled",
           words=f"Share of all attacks taken for bona fide {_AT}; hides a weak species behind frequent easy ones."),
    _fault(name="bpcer", label="Bona fide rejected (BPCER)", symbol="BPCER",
           words=f"Share of bona fide presentations taken for attacks {_AT}."),
    _trade(name="acer", label="Mean of worst APCER and BPCER (ACER)", symbol="ACER",
           words="As OULU-NPU has it; a published measure that ISO/IEC 30107-3 does not lead with."),
    _trade(name="answer_hter", label="Half total error rate (HTER)", symbol="HTER",
           words=f"Mean of pooled attacks accepted and bona fide rejected, {_AT}."),
    _trade(name="bpcer_at_apcer", label="Bona fide rejected at a fixed APCER", symbol="BPCER at APCER",
           words="Share of bona fide presentations rejected at the threshold where at most this share of every species "
           "is accepted: BPCER10 at .10, BPCER20 at .05."),
    _trade(name="answer_eer", label="Equal error rate of the scores", symbol="EER",
           words="Error where attacks accepted, pooled, and bona fide rejected are alike, whatever the threshold."),
    _score(name="tpr_at_fpr", label="Bona fide accepted at few attacks accepted", symbol="TPR at FPR",
           words="Largest share of bona fide presentations accepted with at most this share of all attacks."),
    _fault(name="apnrr", label="Attacks without an answer (APNRR)", symbol="APNRR",
           words="Share of attacks the model did not answer; they are counted as accepted."),
    _fault(name="bpnrr", label="Bona fide without an answer (BPNRR)", symbol="BPNRR",
           words="Share of bona fide presentations the model did not answer; they are counted as rejected."),
)  # fmt: skip
_apart = partial(_mean, direction=_LOWER, bounds=POSITIVE)
DISTRIBUTIONS = (
    _apart(name="js", label="Jensen-Shannon divergence (JS)", symbol="JS", bounds=(0.0, log(2.0)),
           words="How far the shares answered lie from the votes, in nats: 0 is alike, .693 nothing in common."),
    _apart(name="kl", label="Kullback-Leibler divergence (KL)", symbol="KL",
           words="Nats lost when the shares answered stand for the votes; large where a class with votes got next to "
           "none."),
    _apart(name="cross_entropy", label="Cross-entropy with the votes", symbol="cross-entropy",
           words="Mean surprise of the votes under the shares answered, in nats; never below their own entropy."),
    _apart(name="chebyshev", label="Chebyshev distance", words="Largest difference of the shares of a class.",
           bounds=UNIT),
    _apart(name="clark", label="Clark distance", words="Root of the squared relative differences of the shares, summed "
           "over classes; rare classes weigh as much as frequent ones."),
    _apart(name="canberra", label="Canberra distance", words="Relative differences of the shares, summed over "
           "classes."),
    _score(name="cosine", label="Cosine of the shares", words="Cosine of answered shares and votes: 1 is alike."),
    _score(name="intersection", label="Intersection of the shares", words="What answered shares and votes have in "
           "common: 1 is alike."),
)  # fmt: skip
METRICS = (*ANSWERS, *DISTRIBUTIONS, *SCORES)

_GAPS = {
    "top1_accuracy": UNIT, "uar": UNIT, "macro_f1": UNIT, "accuracy_common_mix": UNIT, "mean_f1": UNIT,
    "mean_label_accuracy": UNIT, "mae": POSITIVE, "rmse": POSITIVE, "bias": POSITIVE, "ccc": (0.0, 2.0),
    "bpcer": UNIT, "apcer_worst": UNIT, "js": (0.0, log(2.0)),
}  # fmt: skip
_LABELS = {definition.name: definition.label for definition in METRICS}
_LEADING = tuple(
    MetricDef(
        name=f"{name}_gap", label=f"{_LABELS[name]}: gap between groups", topic=Topic.ANSWERS, kind=Kind.GAP,
        words="Highest minus lowest of the groups. 0 means alike; small samples push it up.", direction=_LOWER,
        bounds=bounds, counted=Counted.NOTHING, intervals=("simultaneous-pairs",), alike=0.0,
    )
    for name, bounds in _GAPS.items()
)  # fmt: skip
_between = partial(
    MetricDef, topic=Topic.ANSWERS, kind=Kind.GAP, direction=_LOWER, bounds=UNIT, counted=Counted.NOTHING,
    intervals=("simultaneous-pairs",), alike=0.0,
)  # fmt: skip
OF_LABELS = (
    _between(
        name="selection_rate_gap", label="Demographic parity difference",
        words="Highest minus lowest share answered with yes over the groups. Where a label is more frequent in one "
        "group, a right answer differs too.",
    ),
    _between(
        name="recall_gap", label="Recall: gap between groups",
        words="Highest minus lowest share recognised of one class or label; of a label it is the equal opportunity "
        "difference.",
    ),
    _between(
        name="false_alarm_rate_gap", label="False alarms: gap between groups",
        words="Highest minus lowest share of images without a label for which it was answered.",
    ),
    _between(
        name="equalised_odds_gap", label="Equalised odds difference",
        words="The larger of the gaps of recall and of false alarms, as fairlearn has it by default; others print "
        "their mean or their sum.",
    ),
)  # fmt: skip
GAPS = (*_LEADING, *OF_LABELS)
