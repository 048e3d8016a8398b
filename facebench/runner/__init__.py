"""Runs: bind data to a protocol, embed, measure, write the result; and recompute it."""

from facebench.runner.evaluate import evaluate, rescore
from facebench.runner.files import load_result
from facebench.runner.options import RunOptions
from facebench.runner.protocols import Protocol, load_protocol, protocol_names
from facebench.runner.scored import evaluate_scores

__all__ = [
    "Protocol",
    "RunOptions",
    "evaluate",
    "evaluate_scores",
    "load_protocol",
    "load_result",
    "protocol_names",
    "rescore",
]
