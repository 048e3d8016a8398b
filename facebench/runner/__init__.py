"""Runs: bind data to a protocol, embed, measure, write the result; and recompute it."""

from facebench.runner.compare import compare
from facebench.runner.evaluate import evaluate, rescore
from facebench.runner.files import load_result
from facebench.runner.options import RunOptions
from facebench.runner.planning import plan
from facebench.runner.protocols import Protocol, load_protocol, protocol_names
from facebench.runner.scored import evaluate_scores

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
