"""The leaderboard's folder: entries are added, validated by computing every number again, and ranked."""

from facebench.runner.leaderboard.add import add_entry
from facebench.runner.leaderboard.ranking import load_boards
from facebench.runner.leaderboard.validate import validate_entries

__all__ = ["add_entry", "load_boards", "validate_entries"]
