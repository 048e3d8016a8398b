"""The site of a leaderboard: static pages written from committed entries."""

from facebench.report.leaderboard.site import write_site

__all__ = ["write_site"]
