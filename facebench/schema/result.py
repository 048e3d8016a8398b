"""What a run found: estimates with intervals and counts, and all that is needed to recompute them."""

from __future__ import annotations

from enum import StrEnum
from math import isfinite
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from facebench.files import canonical_json, sha256_bytes
from facebench.schema._base import Strict
from facebench.schema.causal import CausalDetails
from facebench.schema.efficiency import Efficiency
from facebench.schema.explanation import ExplanationDetails
from facebench.schema.fairness import LadderDetails
from facebench.schema.identity import identity
from facebench.schema.migration import migrated
from facebench.schema.model import ModelCard
from facebench.schema.ood import OodDetails
from facebench.schema.points import AtPoint, Fraction, Point
from facebench.schema.robustness import RobustnessDetails
from facebench.schema.task import TaskDetails
from facebench.schema.weak_spots import WeakSpotDetails

IDENTITY_VERSION = 1
"""Stands in every id; it changes only if ids are ever counted in another way, never with the schema."""


class Flag(StrEnum):
    """What a reader must know before trusting a number."""

    UNRESOLVABLE = "unresolvable"  # the FMR target allows less than one false accept
    FEW_ERRORS = "few_errors"  # fewer than 30 errors of this rate's own: the rule of 30 is not met
    FEW_FALSE_MATCHES = "few_false_matches"  # the threshold rests on fewer than 30 false matches
    ZERO_ERRORS = "zero_errors"  # no error seen: only an upper bound is known
    ALL_ERRORS = "all_errors"  # nothing but errors: only a lower bound is known
    FEW_IDENTITIES = "few_identities"  # fewer than the protocol's evidence floor, or one in half of the comparisons
    NO_GENUINE = "no_genuine_comparisons"
    NO_IMPOSTOR = "no_impostor_comparisons"
    INSUFFICIENT = "insufficient"  # undefined on these counts, for example a ratio over a zero cell
    NAIVE_INTERVAL = "naive_interval"  # no identity labels: the interval ignores dependence and is too narrow
    NO_INTERVAL = "no_interval"  # no interval is known for this quantity here
    UNRELIABLE = "unreliable"  # a check for hidden gradients failed: the attack may have been misled; never ranks
    GROUPS_LEFT_OUT = "groups_left_out"  # groups without such comparisons are no part of this measure: see `left_out`
    LABELS_INCOMPLETE = "labels_incomplete"  # images without this attribute are left out of the group
    CONTROL_FAILED = "control_failed"  # random labels look unlike: intervals and tests are too narrow on this data
    UNQUALIFIED = "unqualified"  # the saliency method failed a control on this model: shown, never ranked
    NOISY = "noisy"  # times scatter or drift by more than a tenth: the machine was busy, and nothing is called slower
    UNDEFINED_CLASS = "undefined_class"  # a class of the protocol has no image here: nothing is known of it
    COVERAGE_LOW = "coverage_low"  # the model left more than one image in twenty without an answer
    THRESHOLD_ON_TEST = "threshold_on_test"  # the judged images set the threshold themselves: never ranks
    DEGENERATE_MAPS = "degenerate_maps"  # some maps were constant or NaN and are left out


class Estimate(AtPoint):
    """One number: which metric, of which group, under which condition, how certain, from how much."""

    metric: str = Field(description="tar, fnmr, fmr, eer, auc, ... as documented in docs/metrics.md")
    value: float | None = Field(description="null when it cannot be computed; a flag then says why")
    fpir_target: float | None = Field(None, description="the FPIR the threshold of a search was set for")
    of: str | None = Field(None, description="what part of the answers: a class, a label, a value, a bin")
    at: float | None = Field(None, description="cut-off the figure was taken at, such as 5 years")
    k: int | None = Field(None, description="rank, for `rank` and `fnir`")
    discarded: float | None = Field(None, description="share of comparisons of poorest quality left out, for `edc_…`")
    group: str = Field(
        "all",
        description="all, race=asian, race=asian&gender=female; for a differential the attributes, e.g. race&gender",
    )
    group_b: str | None = Field(None, description="other group of a cross-group cell")
    condition: str = Field("clean", description="what was done to the probe images")
    nulls: dict[str, float] | None = Field(None, description="what maps score that know nothing of the model")
    rule: str = Field("strict", description="threshold rule: strict, or the compatibility rule reproduced")
    failures: Literal["counted", "excluded"] = Field(
        "counted", description="whether comparisons with a failed image count as non-matches or are left out"
    )
    ci_low: float | None = None
    ci_high: float | None = Field(None, description="null with ci_low given: no upper limit can be stated")
    ci_method: str | None = None
    bracket: tuple[float, float] | None = Field(
        None,
        description="with zero errors, or nothing but errors: the one limit, rising; the safe one, further from the "
        "value, assumes nothing of the dependence, the other one the pooled design effect",
    )
    expected_if_fair: float | None = Field(
        None, description="what this differential would be in a sample of this size were all groups alike"
    )
    expected_as: Literal["mean", "median"] | None = Field(
        None, description="whether expected_if_fair is the mean or the median of samples; of a ratio the median"
    )
    excess: float | None = Field(
        None, description="value minus expected_if_fair (0: none); of a ratio value / expected_if_fair (1: none)"
    )
    excess_as: Literal["difference", "ratio"] | None = Field(None, description="which of the two `excess` is")
    excess_low: float | None = Field(None, description="interval of the excess")
    excess_high: float | None = None
    detectable_ratio: float | None = Field(
        None, description="smallest ratio of two groups' rates these counts show with 80 % power"
    )
    p_value: float | None = None
    p_holm: float | None = Field(None, description="p_value corrected for the family by Holm: for claims")
    q_value: float | None = Field(None, description="p_value corrected by Benjamini and Hochberg: for exploration")
    family: int | None = Field(None, description="tests of equal rates at this FMR target, over which both correct")
    sign: int | None = Field(None, description="of a difference given as absolute value: 1 when `group` has the more")
    threshold: float | None = Field(None, description="accept when score >= threshold")
    threshold_source: str | None = None
    n_genuine: int | None = None
    n_impostor: int | None = None
    n_identities: int | None = None
    n_images: int | None = Field(None, description="images counted, for rates over images such as `fta`")
    errors: int | None = Field(
        None, description="comparisons counted as errors; value = errors / comparisons for rates"
    )
    n_eff: float | None = Field(None, description="effective number of independent comparisons")
    near_threshold: int | None = Field(None, description="comparisons within 2e-6 of the threshold")
    left_out: tuple[str, ...] | None = Field(
        None, description="groups that a differential leaves out, because they have no such comparisons"
    )
    flags: tuple[Flag, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _finite(cls, given: Any) -> Any:
        """Turn numbers that are not finite into null with a flag: none may end a run or reach a file."""
        if not isinstance(given, dict):
            return given
        wrong = {name for name, value in given.items() if isinstance(value, float) and not isfinite(value)}
        if not wrong:
            return given
        flags = tuple(given.get("flags", ()))
        kept = {name: None if name in wrong else value for name, value in given.items()}
        if "value" in wrong:
            flags = (*flags, Flag.INSUFFICIENT)
        if "ci_low" in wrong or kept.get("ci_low") is None:
            kept |= {"ci_low": None, "ci_high": None}
            flags = (*flags, Flag.NO_INTERVAL) if "ci_low" in wrong else flags
        return {**kept, "flags": tuple(dict.fromkeys(flags))}


class Curve(Strict):
    """Points of a curve or bars of a histogram, for the report."""

    kind: Literal["det", "histogram", "cmc", "edc", "reliability", "risk-coverage", "error-by-value"]
    name: str = Field(description="det and cmc: all; histogram: genuine or impostor")
    group: str = "all"
    condition: str = "clean"
    x: tuple[float, ...] = Field(
        description="det: FMR; histogram: bin edges, one more than y; cmc: ranks; edc: discarded"
    )
    y: tuple[float, ...] = Field(description="det and edc: FNMR; histogram: counts; cmc: rates")

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if len(self.x) != len(self.y) + (self.kind == "histogram"):
            edges = ", and an edge more for a histogram" if self.kind == "histogram" else ""
            raise ValueError(f"{len(self.x)} values of x for {len(self.y)} of y; expected as many{edges}")
        return self


class Artifact(Strict):
    """A file that lies beside the result."""

    path: str
    sha256: str
    kind: Literal["embeddings", "images", "protocol", "pairs", "section", "scores", "maps", "examples"]


class Failure(Strict):
    """An image that could not be used, and where it failed."""

    image_id: str
    stage: Literal["read", "decode", "embed"]
    reason: str


class Unmeasured(Strict):
    """Something the protocol asks for that this data cannot answer, and why."""

    what: str
    why: str


class Doubt(Strict):
    """A sign that the pipeline around the model is broken, so that the numbers say little of the model."""

    about: Literal["chance", "reversed", "medians", "constant", "alignment", "failures", "histogram"]
    seen: str = Field(description="what was seen")
    cause: str = Field(description="what to look at first")


class ProtocolRef(Strict):
    """Which protocol was run, on exactly which data."""

    name: str
    title: str
    version: int
    sha256: str
    manifest_sha256: str
    primary_fmr_target: Fraction = Field(1e-3, description="the operating point the report leads with")
    primary_operating_point: str | None = Field(None, description="the threshold the report leads with, if it is one")
    description: str = ""
    data_statement: str = Field("", description="what the data can and cannot show")
    source: str = ""
    licence: str = ""
    known_defects: tuple[str, ...] = ()
    threshold_policy: str = Field("pooled", description="whose impostor comparisons set the threshold")
    confidence: Fraction = Field(0.95, description="nominal coverage of every interval")

    @property
    def primary(self) -> Point:
        """The operating point the report leads with."""
        return self.primary_operating_point or self.primary_fmr_target


class LeftOut(Strict):
    """Something of the data that was left out or stands in it twice: what, how often, and what that means."""

    what: str
    count: int = Field(ge=1)
    examples: tuple[str, ...] = Field((), description="the first few, as the data names them")
    effect: str = ""


class DataSummary(Strict):
    """What the dataset held."""

    name: str
    n_images: int
    n_identities: int | None = Field(description="null when the dataset has no identity labels")
    n_failed: int
    attributes: dict[str, dict[str, int]] = Field(default_factory=dict, description="images per value of each grouping")
    phantom: bool = Field(False, description="faces are rendered: results say nothing about people")
    left_out: tuple[LeftOut, ...] | None = Field(None, description="what the reader left out, and repeated images")
    notes: tuple[str, ...] | None = Field(None, description="what else the reader noticed")


class Recomputation(Strict):
    """That the numbers of a result were computed again, without the model, from what the run had kept."""

    result_id: str = Field(description="of the result before")
    protocol_sha256: str = Field(description="of the protocol before")
    facebench: str = Field(description="version that computed the numbers again")
    at: str = Field(description="UTC, ISO 8601")


class Reembedded(Strict):
    """Some images embedded a second time, in another batch: a model that is random or looks at the batch is seen."""

    n_images: int
    n_differing: int = Field(description="images whose embedding, scaled to length 1, moved by more than 1e-5")
    largest_difference: float | None = Field(description="null when the second call failed")

    @property
    def differs(self) -> bool:
        """Whether the model did not give the same embeddings."""
        return self.n_differing > 0


class RunInfo(Strict):
    """How, when and with what the run was made."""

    facebench: str
    seed: int
    device: str
    batch_size: int
    limit: int | None = Field(None, description="a limited run never ranks")
    compat: tuple[str, ...] = ()
    packages: dict[str, str]
    python: str
    platform: str
    git_sha: str | None = None
    git_dirty: bool | None = None
    command: str
    started: str = Field(description="UTC, ISO 8601")
    wall_s: float
    trust_code: bool = False
    embedded_images: int = Field(description="images the model was run on; the rest came from the cache")
    reembedded: Reembedded | None = Field(None, description="a check of the model; null for stored embeddings")
    rounded: bool = Field(False, description="embeddings were rounded to half precision, and the numbers are theirs")
    recomputed: tuple[Recomputation, ...] = Field(
        (), description="each time the numbers were computed again from the kept embeddings, the earliest first"
    )


# how long it took, how it looks and what is doubted is stored, but is no part of what was found
_ATTACKS: dict[str, Any] = {"cells": {"__all__": {"picture": True, "spent": {"seconds": True}}}}
_NO_FINDING: dict[str, Any] = {
    "data": {"left_out": True, "notes": True},
    "robustness": {"attacks": _ATTACKS, "answer_attacks": _ATTACKS},
}


class Result(Strict):
    """One model under one protocol."""

    schema_version: Literal[2] = 2
    result_id: str = Field(
        "", description="sha256 of the canonical JSON of protocol, model, data, seed, limit and estimates"
    )
    protocol: ProtocolRef
    model: ModelCard
    data: DataSummary
    run: RunInfo
    estimates: tuple[Estimate, ...]
    curves: tuple[Curve, ...] = ()
    unmeasured: tuple[Unmeasured, ...] = ()
    failures: tuple[Failure, ...] = ()
    doubts: tuple[Doubt, ...] = Field((), description="signs that the pipeline is broken; the verdict leads with them")
    efficiency: Efficiency | None = None
    explanation: ExplanationDetails | None = None
    artifacts: tuple[Artifact, ...] = ()
    robustness: RobustnessDetails | None = None
    impostor_ladder: LadderDetails | None = None
    causal: CausalDetails | None = None
    ood: OodDetails | None = None
    weak_spots: WeakSpotDetails | None = None
    task: TaskDetails | None = Field(None, description="what was answered, where the protocol has a task")
    extensions: dict[str, dict[str, Any]] | None = Field(
        None, description="what sections of plug-ins tell besides the estimates, by name"
    )

    @classmethod
    def parse(cls, value: Any, *, where: str) -> Self:
        """Build the record from plain data of this or an earlier version."""
        return super().parse(migrated(value, where), where=where)

    def with_id(self) -> Result:
        """Return the same result with `result_id` filled in."""
        return self.model_copy(update={"result_id": self.compute_id()})

    def compute_id(self) -> str:
        """Return the sha256 that names this result: of what was measured, not of when or how fast."""
        return sha256_bytes(canonical_json(self.identity_body()).encode())

    def identity_body(self) -> dict[str, Any]:
        """Return the canonical body: all that must be equal for two results to be the same finding."""
        left_out = {"schema_version", "result_id", "run", "artifacts", "doubts"}
        body = identity(self, {**dict.fromkeys(left_out, True), **_NO_FINDING})
        body["schema_version"] = IDENTITY_VERSION
        body["run"] = self.run.model_dump(mode="json", include={"seed", "limit", "batch_size", "compat"})
        body["artifacts"] = [
            a.model_dump(mode="json") for a in self.artifacts if a.kind in ("embeddings", "scores", "section")
        ]
        return body
