"""The section ``explanation``: saliency maps beside their nulls, by methods that had to qualify first."""

from facebench.runner.explanation.section import plan, remeasure, run

__all__ = ["plan", "remeasure", "run"]
