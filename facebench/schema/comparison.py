"""Two or more results held against each other: paired differences, ranks, and what moved."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from facebench.schema._base import Strict
from facebench.schema.agreement import Alignment, ExplanationComparison
from facebench.schema.points import AtPoint
from facebench.schema.result import Flag, ProtocolRef, Unmeasured


class ComparedModel(Strict):
    """One of the models, under a label that is unique in the comparison."""

    label: str = Field(description="the model's name; numbered where two models share it")
    name: str
    result_id: str
    weights_sha256: str | None = None
    limit: int | None = Field(None, description="a limited run never passes a gate")
    failed_images: int = 0


class Difference(AtPoint):
    """One number of one model minus the same number of the base, on the same comparisons."""

    model: str = Field(description="label of the model")
    base: str = Field(description="label of the model it is held against")
    metric: str
    fpir_target: float | None = None
    of: str | None = Field(None, description="what part of the answers: a class, a label, a value, a bin")
    at: float | None = Field(None, description="cut-off the figure was taken at")
    k: int | None = Field(None, description="rank, for `rank`")
    discarded: float | None = Field(None, description="share of comparisons of poorest quality left out, for `edc_…`")
    group: str = "all"
    condition: str = "clean"
    base_value: float | None
    value: float | None
    difference: float | None = Field(description="value minus base_value; null when either cannot be computed")
    higher_is_better: bool | None = Field(
        description="by the catalogue of metrics; null where neither is better, or the scores do not allow to tell"
    )
    standard_error: float | None = Field(None, description="of the difference, with identities as sampling unit")
    ci_low: float | None = None
    ci_high: float | None = None
    ci_method: str | None = Field(
        None,
        description="paired-bootstrap, -delta, -identity, -folds or -units, unpaired-intervals, or exact",
    )
    p_value: float | None = Field(None, description="two-sided, of no difference; not corrected for how many are shown")
    p_adjusted: float | None = Field(None, description="after Benjamini and Hochberg over `family_size` differences")
    n_comparisons: int | None = None
    n_identities: int | None = None
    newly_wrong: int | None = Field(None, description="comparisons right under the base and wrong under the model")
    newly_right: int | None = None
    flags: tuple[Flag, ...] = ()

    @property
    def worsening(self) -> float | None:
        """How much worse the model is than the base, in units of the metric; negative when it is better.

        None where neither direction is better.
        """
        if self.difference is None or self.higher_is_better is None:
            return None
        return -self.difference if self.higher_is_better else self.difference


class Drift(Strict):
    """How far embeddings of the same images lie apart: cosine between the base's and the model's."""

    model: str
    base: str
    group: str = "all"
    n_images: int
    mean: float
    p05: float = Field(description="5th percentile over images")
    minimum: float


class MovedPair(Strict):
    """A comparison that changed sides at the primary operating point."""

    model: str
    image_a: str
    image_b: str
    genuine: bool
    newly_wrong: bool
    base_margin: float = Field(
        description="score minus threshold under the base, in standard deviations of its impostor scores"
    )
    margin: float = Field(description="the same under the model")


class MovedIdentity(Strict):
    """An identity whose errors changed most at the primary operating point."""

    model: str
    identity: str
    n_genuine: int
    misses_base: int
    misses: int
    false_matches_base: int
    false_matches: int


class Rank(AtPoint):
    """Where one model stands by one metric: every rank that the data does not rule out."""

    metric: str
    model: str
    value: float | None
    best: int | None = Field(description="1 plus the number of models shown to be better; null without a value")
    worst: int | None = Field(description="number of models minus those shown to be worse")
    ties: str = Field("", description="models that share a letter cannot be told apart")


class Comparison(Strict):
    """Everything two or more results of one protocol on the same data say about each other."""

    schema_version: Literal[1] = 1
    protocol: ProtocolRef
    base: str = Field(description="label of the model all others are held against")
    models: tuple[ComparedModel, ...]
    phantom: bool = False
    seed: int = Field(description="of the bootstrap; one weight matrix serves all models")
    confidence: float = 0.95
    identical: tuple[str, ...] = Field((), description="models whose embeddings equal the base's to the last bit")
    differences: tuple[Difference, ...]
    leading: str | None = Field(None, description="of answers: the metric the task leads with")
    family_size: int = Field(description="differences that were tested together")
    drift: tuple[Drift, ...] = ()
    ranks: tuple[Rank, ...] = ()
    moved_pairs: tuple[MovedPair, ...] = ()
    moved_identities: tuple[MovedIdentity, ...] = ()
    alignments: tuple[Alignment, ...] = ()
    explanations: ExplanationComparison | None = Field(None, description="maps and games, where all results have them")
    not_compared: tuple[Unmeasured, ...] = ()
    cautions: tuple[str, ...] = ()
