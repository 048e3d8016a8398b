"""Reports: what a result says, for people; they read results only and never load a model."""

from facebench.comparison.differences import comparison_rows, comparison_sentences
from facebench.comparison.page import render_comparison, write_comparison
from facebench.report.html import render_report, write_report
from facebench.report.summary import summary_rows
from facebench.report.verdict import verdict_sentences

__all__ = [
    "comparison_rows",
    "comparison_sentences",
    "render_comparison",
    "render_report",
    "summary_rows",
    "verdict_sentences",
    "write_comparison",
    "write_report",
]
