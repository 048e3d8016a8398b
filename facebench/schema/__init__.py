"""The records FaceBench reads and writes; every file format of its own is defined here."""

from facebench.schema._base import Strict
from facebench.schema.comparison import (
    ComparedModel,
    Comparison,
    Difference,
    Drift,
    MovedIdentity,
    MovedPair,
    Rank,
)
from facebench.schema.efficiency import Efficiency, EfficiencySpec, Machine, Memory, Timing
from facebench.schema.fairness import LadderDetails, LadderSpec, PublishedMeasure, SecondModel
from facebench.schema.identification import IdentificationSpec
from facebench.schema.migration import SCHEMA_VERSION
from facebench.schema.model import (
    Alignment,
    Colour,
    Comparator,
    Flip,
    InputSpec,
    Layout,
    ModelCard,
    ModelFile,
)
from facebench.schema.points import FromResult, Point, PointSpec, point_fields
from facebench.schema.policy import OnDoubt, Policy, Rule
from facebench.schema.protocol import (
    ComparisonKind,
    ComparisonSpec,
    DatasetSpec,
    GroupSpec,
    ProtocolSpec,
    UncertaintySpec,
)
from facebench.schema.result import (
    Artifact,
    Curve,
    DataSummary,
    Doubt,
    Estimate,
    Failure,
    Flag,
    LeftOut,
    ProtocolRef,
    Reembedded,
    Result,
    RunInfo,
    Unmeasured,
)
from facebench.schema.templates import TemplateSpec
from facebench.schema.verdict import GateFinding, Outcome, Verdict

__all__ = [
    "SCHEMA_VERSION",
    "Alignment",
    "Artifact",
    "Colour",
    "Comparator",
    "ComparedModel",
    "Comparison",
    "ComparisonKind",
    "ComparisonSpec",
    "Curve",
    "DataSummary",
    "DatasetSpec",
    "Difference",
    "Doubt",
    "Drift",
    "Efficiency",
    "EfficiencySpec",
    "Estimate",
    "Failure",
    "Flag",
    "Flip",
    "FromResult",
    "GateFinding",
    "GroupSpec",
    "IdentificationSpec",
    "InputSpec",
    "LadderDetails",
    "LadderSpec",
    "Layout",
    "LeftOut",
    "Machine",
    "Memory",
    "ModelCard",
    "ModelFile",
    "MovedIdentity",
    "MovedPair",
    "OnDoubt",
    "Outcome",
    "Point",
    "PointSpec",
    "Policy",
    "ProtocolRef",
    "ProtocolSpec",
    "PublishedMeasure",
    "Rank",
    "Reembedded",
    "Result",
    "Rule",
    "RunInfo",
    "SecondModel",
    "Strict",
    "TemplateSpec",
    "Timing",
    "UncertaintySpec",
    "Unmeasured",
    "Verdict",
    "point_fields",
]
