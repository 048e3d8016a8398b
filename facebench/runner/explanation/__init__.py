"""The section ``explanation``: saliency maps beside their nulls, by methods that had to qualify first."""

from facebench.runner.explanation.costs import plan
from facebench.runner.explanation.section import needs, remeasure, run

__all__ = ["needs", "plan", "remeasure", "run"]
