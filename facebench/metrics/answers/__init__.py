"""Metrics of answers: each is a function of sums over images, so that a re-weighted sample is one matrix product away.

An image contributes one row of numbers (`Table.rows`); a figure is a function of their sums. Groups, conditions and
replicates are sums over other rows or with other weights, and need no code per metric.
"""

from facebench.metrics.answers.classify import classify_table
from facebench.metrics.answers.distribution import distribution_table
from facebench.metrics.answers.multilabel import multilabel_table
from facebench.metrics.answers.regress import regress_table
from facebench.metrics.answers.score import score_table
from facebench.metrics.answers.table import Figure, Ranked, Table

__all__ = [
    "Figure",
    "Ranked",
    "Table",
    "classify_table",
    "distribution_table",
    "multilabel_table",
    "regress_table",
    "score_table",
]
