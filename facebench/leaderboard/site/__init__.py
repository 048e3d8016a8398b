"""The site of a leaderboard: static pages written from committed entries."""

from facebench.leaderboard.site.build import write_site

__all__ = ["write_site"]
