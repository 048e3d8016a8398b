"""Reports: what a result says, for people; they read results only and never load a model."""

from facebench.report.html import render_report, write_report
from facebench.report.summary import summary_rows
from facebench.report.verdict import verdict_sentences

__all__ = ["render_report", "summary_rows", "verdict_sentences", "write_report"]
