"""What a leaderboard keeps: the definition every entry of a protocol must meet, files kept elsewhere, and refusals."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from facebench.errors import ExitCode
from facebench.schema._base import Strict
from facebench.schema.comparison import Rank
from facebench.schema.result import DataSummary, ProtocolRef, Result


class Board(Strict):
    """The definition of one protocol on a leaderboard; an entry that measures anything else is refused.

    Identity labels and comparisons are pinned too: with other labels any embeddings can be made to look good.
    """

    schema_version: Literal[1] = 1
    protocol: ProtocolRef
    data: DataSummary = Field(description="of the dataset; the failed images of a model are its own")
    images_sha256: str = Field(description="of images.json beside this file: image ids, identities, attributes")
    pairs_sha256: str | None = Field(None, description="of the listed comparisons; null: all pairs")


class Elsewhere(Strict):
    """A file of an entry that is too large to be committed."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    where: str = Field(min_length=1, max_length=500, description="an address, or the command that makes the file again")


class Problem(Strict):
    """Why an entry is refused: the field, and what is wrong with it."""

    field: str
    why: str
    exit_code: ExitCode = ExitCode.REGRESSION


class Validation(Strict):
    """What the validation of one entry found."""

    entry: str
    estimates: int = Field(0, description="numbers that were computed again")
    reported: tuple[str, ...] = Field((), description="parts that need the model itself and are taken as reported")
    problems: tuple[Problem, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether the entry may stand on the leaderboard."""
        return not self.problems


class Listed(Strict):
    """One entry as the site shows it."""

    result: Result
    path: str = Field(description="of the entry, relative to the leaderboard's folder")
    rank: Rank | None = Field(None, description="null: an older result of the same model, or one without a value")
    paired: bool = Field(False, description="whether it was ranked on the same comparisons, or by its interval alone")
    elsewhere: str = Field("", description="where its embeddings are, if not beside it")


class ListedBoard(Strict):
    """One protocol with its entries, the best first, older results of a model after its newest."""

    board: Board
    entries: tuple[Listed, ...]
