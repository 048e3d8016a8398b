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
    SCHEMA_VERSION,
    Artifact,
    Curve,
    DataSummary,
    Estimate,
    Failure,
    Flag,
    LeftOut,
    ProtocolRef,
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
    "Drift",
    "Efficiency",
    "EfficiencySpec",
    "Estimate",
    "Failure",
    "Flag",
    "Flip",
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
    "Policy",
    "ProtocolRef",
    "ProtocolSpec",
    "PublishedMeasure",
    "Rank",
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
]
