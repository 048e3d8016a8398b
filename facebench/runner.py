"""The public names of runs under their former import path, ``facebench.runner``."""

from facebench.comparison.compare import compare
from facebench.execution.options import RunOptions
from facebench.measure.saved import load_result
from facebench.run.evaluate import evaluate, rescore
from facebench.run.external_scores import evaluate_scores
from facebench.run.plan import plan
from facebench.run.protocols import Protocol, load_protocol, protocol_names

__all__ = [
    "Protocol",
    "RunOptions",
    "compare",
    "evaluate",
    "evaluate_scores",
    "load_protocol",
    "load_result",
    "plan",
    "protocol_names",
    "rescore",
]
