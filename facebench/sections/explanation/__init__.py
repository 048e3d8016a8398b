"""The section ``explanation``: saliency maps beside their nulls, by methods that had to qualify first."""

from facebench.sections.explanation.costs import plan
from facebench.sections.explanation.measure import remeasure, run

__all__ = ["plan", "remeasure", "run"]
