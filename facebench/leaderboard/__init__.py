"""The leaderboard's folder: entries are added, validated by computing every number again, and ranked."""

from facebench.leaderboard.add import add_entry
from facebench.leaderboard.rank import load_boards
from facebench.leaderboard.validate import validate_entries

__all__ = ["add_entry", "load_boards", "validate_entries"]
