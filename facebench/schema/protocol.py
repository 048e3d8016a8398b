"""What a protocol asks for."""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from facebench.schema._base import Strict
from facebench.schema.attacks import Goal
from facebench.schema.causal import CausalSpec
from facebench.schema.efficiency import EfficiencySpec
from facebench.schema.explanation import ExplanationSpec
from facebench.schema.fairness import DiscardSpec, LadderSpec, PublishedMeasure, Step
from facebench.schema.identification import IdentificationSpec
from facebench.schema.judgements import JudgementSpec
from facebench.schema.ood import OodSpec
from facebench.schema.points import Fraction, Point, PointSpec
from facebench.schema.robustness import RobustnessSpec
from facebench.schema.task import Task
from facebench.schema.templates import TemplateSpec
from facebench.schema.weak_spots import WeakSpotSpec


class ComparisonKind(StrEnum):
    """Which comparisons are made."""

    ALL_PAIRS = "all-pairs"
    PAIR_LIST = "pair-list"
    TEMPLATES = "templates"
    TEMPLATE_PAIRS = "template-pairs"


class DatasetSpec(Strict):
    """The dataset a protocol runs on: bound by ``--data NAME=PATH``, or by `path`."""

    name: str = Field("faces", pattern=r"^[A-Za-z0-9_-]+$")
    path: str | None = Field(
        None, description="folder or file, relative to the protocol file; or `builtin:NAME`, shipped with FaceBench"
    )
    manifest_sha256: str | None = Field(None, description="refuse any other data")
    n_images: int | None = Field(None, gt=0, description="refuse any other count")
    n_genuine: int | None = Field(None, ge=0)
    n_impostor: int | None = Field(None, ge=0)


class ComparisonSpec(Strict):
    """Which images are compared with which."""

    kind: ComparisonKind = ComparisonKind.ALL_PAIRS
    pairs: str | None = Field(None, description="file of the pair list inside the dataset; default: the dataset's own")
    include_counterfactuals: bool | None = Field(
        None, description="also compare edited images; otherwise only the section `causal` sees them"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.pairs and self.kind not in (ComparisonKind.PAIR_LIST, ComparisonKind.TEMPLATE_PAIRS):
            raise ValueError("`pairs` needs `kind: pair-list` or `kind: template-pairs`")
        return self


class GroupSpec(Strict):
    """The demographic groups errors are broken down by."""

    attributes: Literal["all"] | tuple[str, ...] = Field("all", description="columns of the manifest")
    bins: dict[str, tuple[float, ...]] = Field(
        default_factory=dict, description="edges for numeric columns; a bin holds lower <= value < upper"
    )
    intersections: Literal["none", "pairwise"] | tuple[tuple[str, ...], ...] = Field(
        "pairwise", description="pairwise: every two categorical columns; or the lists of columns to cross"
    )
    ita: tuple[str, str] | None = Field(
        None, description="columns of L* and b*: adds a numeric column `ita`, the individual typology angle in degrees"
    )
    min_identities: int = Field(
        10, ge=2, description="evidence floor: smaller groups are listed and flagged, never dropped"
    )

    @field_validator("bins")
    @classmethod
    def _rising(cls, bins: dict[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
        for name, edges in bins.items():
            if len(edges) < 2 or any(b <= a for a, b in pairwise(edges)):
                raise ValueError(f"bins of {name!r} must be at least two rising edges")
        return bins

    @field_validator("intersections")
    @classmethod
    def _several(cls, value: object) -> object:
        if isinstance(value, tuple) and any(len(set(columns)) < 2 for columns in value):
            raise ValueError("an intersection lists at least two different columns")
        return value


class UncertaintySpec(Strict):
    """How intervals are computed."""

    confidence: Fraction = 0.95
    replicates: int = Field(1000, ge=100, le=100_000, description="vertex-bootstrap replicates over identities")
    unit: str | None = Field(
        None, description="with a task: column of what is independent (subject, video, family); default: identity"
    )


_OF_COMPARISONS = (
    "templates", "identification", "impostor_ladder", "causal", "published_measures",
    "error_versus_discard", "covariates", "ood", "judgements",
)  # fmt: skip


class ProtocolSpec(Strict):
    """One protocol file.

    `threshold_policy` names the impostor comparisons that set the threshold fairness numbers are read at: ``pooled``
    (all of them), ``reference:<group>`` (both ends in that group, for example ``reference:race=white``), ``worst``
    (the highest of the groups' own thresholds, per grouping), or ``per-group`` (each its own; a diagnostic).
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=80)
    title: str
    version: int = Field(1, ge=1)
    description: str = ""
    data_statement: str = Field("", description="what the data can and cannot show; printed in every report")
    source: str = ""
    licence: str = ""
    known_defects: tuple[str, ...] = ()
    dataset: DatasetSpec = DatasetSpec()
    comparisons: ComparisonSpec = ComparisonSpec()
    fmr_targets: tuple[Fraction, ...] = (1e-1, 1e-2, 1e-3, 1e-4)
    primary_fmr_target: Fraction = Field(1e-3, description="the operating point the report leads with")
    operating_points: tuple[PointSpec, ...] | None = Field(
        None, description="in place of fmr_targets: FMR targets, and thresholds under a name"
    )
    primary_operating_point: str | None = Field(
        None, description="name of the threshold the report leads with, in place of primary_fmr_target"
    )
    threshold_policy: str = Field("pooled", pattern=r"^(pooled|worst|per-group|reference:.+=.+)$")
    templates: TemplateSpec | None = None
    groups: GroupSpec | None = GroupSpec()
    identification: IdentificationSpec | None = None
    uncertainty: UncertaintySpec = UncertaintySpec()
    robustness: RobustnessSpec | None = None
    impostor_ladder: LadderSpec | None = None
    causal: CausalSpec | None = None
    published_measures: tuple[PublishedMeasure, ...] | None = Field(
        None, description="kept for comparison with published tables: rfw, fr-nas"
    )
    error_versus_discard: DiscardSpec | None = None
    covariates: dict[str, Step] | None = Field(
        None, description="numeric columns errors are regressed on, and the step each odds ratio is given for"
    )
    ood: OodSpec | None = None
    weak_spots: WeakSpotSpec | None = Field(
        None, description="slices with the most errors, found on one half of the people and tested on the other"
    )
    efficiency: EfficiencySpec | None = None
    explanation: ExplanationSpec | None = None
    judgements: JudgementSpec | None = None
    extensions: dict[str, dict[str, Any]] | None = Field(
        None, description="sections of plug-ins: name to the options of each; facebench list sections names them"
    )
    task: Task | None = Field(None, description="judge answers (expression, age, ...) instead of comparisons")

    @model_validator(mode="before")
    @classmethod
    def _targets_of_points(cls, given: Any) -> Any:
        """Take `fmr_targets` from `operating_points`; without any the report leads with the first threshold."""
        points = given.get("operating_points") if isinstance(given, dict) else None
        if not isinstance(points, list | tuple) or not all(isinstance(point, dict) for point in points):
            return given
        targets = [point["fmr_target"] for point in points if point.get("fmr_target") is not None]
        names = [point.get("name") for point in points if point.get("threshold") is not None]
        other = given.get("fmr_targets", targets)
        if not isinstance(other, list | tuple) or list(other) != targets:
            raise ValueError("give `operating_points` or `fmr_targets`, not both")
        filled = {**given, "fmr_targets": targets}
        if not targets and names:
            filled.setdefault("primary_operating_point", names[0])
        return filled

    @model_validator(mode="after")
    def _operating_points(self) -> Self:
        names = list(self.thresholds)
        if len(set(self.fmr_targets)) != len(self.fmr_targets) or not (self.fmr_targets or names):
            raise ValueError("fmr_targets must be different values, at least one")
        listed = [point.name for point in self.operating_points or () if point.name]
        if len(set(listed)) != len(listed):
            raise ValueError("operating_points: each name once")
        if self.primary_operating_point is not None:
            if self.primary_operating_point not in names:
                known = ", ".join(names) or "none"
                raise ValueError(f"primary_operating_point {self.primary_operating_point!r} is no name given ({known})")
        elif self.primary_fmr_target not in self.fmr_targets:
            shown = ", ".join(f"{target:g}" for target in self.fmr_targets)
            raise ValueError(f"primary_fmr_target {self.primary_fmr_target:g} is not among fmr_targets ({shown})")
        return self

    @property
    def thresholds(self) -> dict[str, PointSpec]:
        """The operating points with a threshold of their own, by name."""
        return {point.name: point for point in self.operating_points or () if point.name is not None}

    @property
    def primary(self) -> Point:
        """The operating point the report leads with."""
        return self.primary_operating_point or self.primary_fmr_target

    @property
    def points(self) -> tuple[Point, ...]:
        """What names each operating point: FMR targets, rising, then the names of thresholds."""
        return (*sorted(self.fmr_targets), *self.thresholds)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        of_templates = self.comparisons.kind in (ComparisonKind.TEMPLATES, ComparisonKind.TEMPLATE_PAIRS)
        if of_templates != (self.templates is not None):
            raise ValueError(
                "`comparisons.kind: templates` or `template-pairs` and the key `templates` need each other, such as "
                "templates: {normalise_first: true, detector_weight: false, flip: false}"
            )
        if self.task is not None:
            wrong = [name for name in _OF_COMPARISONS if getattr(self, name) is not None]
            if wrong:
                raise ValueError(f"a protocol with a task judges answers; {', '.join(wrong)} judges comparisons")
        attacks = None if self.robustness is None else self.robustness.attacks
        for cell in () if attacks is None else attacks.cells:
            if (cell.goal is Goal.ANSWER) != (self.task is not None):
                raise ValueError(
                    f"attack {cell.attack}: an attack on an answer has the goal `answer` and goes with a task; "
                    "dodging and impersonation go with comparisons"
                )
        if self.task is None and self.uncertainty.unit is not None:
            raise ValueError("uncertainty.unit goes with a task; comparisons take identities as independent")
        return self
