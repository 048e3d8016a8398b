"""The section ``explanation``: saliency maps, judged against regions and nulls, by methods that had to qualify first."""

from facebench.runner.explanation.section import plan, remeasure, run

__all__ = ["plan", "remeasure", "run"]
