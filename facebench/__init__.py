"""FaceBench judges face-recognition models.

Every public name is imported when first used, so that ``import facebench`` is quick and pulls in no heavy library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facebench.comparison.compare import compare
    from facebench.errors import FaceBenchError
    from facebench.gate import check_gate, load_policy
    from facebench.measure.saved import load_result
    from facebench.models import FaceModel, load_model, register_model
    from facebench.models.preflight import check_model
    from facebench.run.evaluate import evaluate, rescore
    from facebench.run.plan import plan
    from facebench.run.protocols import load_protocol
    from facebench.run.report import write_report
    from facebench.schema import Comparison, Estimate, ModelCard, Policy, Result, Verdict

_HOMES = {
    "Comparison": "facebench.schema",
    "Estimate": "facebench.schema",
    "FaceBenchError": "facebench.errors",
    "FaceModel": "facebench.models",
    "ModelCard": "facebench.schema",
    "Policy": "facebench.schema",
    "Result": "facebench.schema",
    "Verdict": "facebench.schema",
    "check_gate": "facebench.gate",
    "check_model": "facebench.models.preflight",
    "compare": "facebench.comparison.compare",
    "evaluate": "facebench.run.evaluate",
    "load_model": "facebench.models",
    "load_policy": "facebench.gate",
    "load_protocol": "facebench.run.protocols",
    "load_result": "facebench.measure.saved",
    "plan": "facebench.run.plan",
    "register_model": "facebench.models",
    "rescore": "facebench.run.evaluate",
    "write_report": "facebench.run.report",
}

__all__ = [
    "Comparison",
    "Estimate",
    "FaceBenchError",
    "FaceModel",
    "ModelCard",
    "Policy",
    "Result",
    "Verdict",
    "check_gate",
    "check_model",
    "compare",
    "evaluate",
    "load_model",
    "load_policy",
    "load_protocol",
    "load_result",
    "plan",
    "register_model",
    "rescore",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'facebench' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
