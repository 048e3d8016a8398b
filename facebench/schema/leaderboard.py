"""What a leaderboard keeps: the definition every entry of a protocol must meet, files kept elsewhere, and refusals."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from facebench.errors import ExitCode
from facebench.schema._base import Strict
from facebench.schema.comparison import Rank
from facebench.schema.result import DataSummary, ProtocolRef, Result


def utf8(text: str) -> str:
    """Return a text that can be written anywhere: what is no Unicode, as in an odd file name, is spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()


Told = Annotated[str, BeforeValidator(lambda text: utf8(text) if isinstance(text, str) else text)]


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


class NamedModel(Strict):
    """To which weights a model name belongs, and who may change that."""

    maintainer: str = Field(min_length=1, max_length=200, description="who answers for the name, and how to reach them")
    weights: tuple[str, ...] = Field(
        min_length=1,
        description="sha256 of the weights, a later revision after an earlier one: the last that has an entry ranks; "
        "`settings:` and a sha256 for a model without weights",
    )
    variant_of: str | None = Field(
        None, description="the model whose weights it shares, told apart by its settings; null: its weights are its own"
    )


class ModelNames(Strict):
    """`models.json`: the names of a leaderboard, an earlier one before a later one."""

    schema_version: Literal[1] = 1
    models: dict[str, NamedModel] = Field(default_factory=dict)


class Problem(Strict):
    """Why an entry is refused: the field, and what is wrong with it."""

    field: Told
    why: Told
    exit_code: ExitCode = ExitCode.REGRESSION


class Note(Strict):
    """What a reader must know of an entry that is not refused for it."""

    field: Told
    why: Told


class Validation(Strict):
    """What the validation of one entry found."""

    entry: Told
    estimates: int = Field(0, description="numbers that were computed again")
    reported: tuple[str, ...] = Field((), description="parts that need the model itself and are taken as reported")
    problems: tuple[Problem, ...] = ()
    notes: tuple[Note, ...] = Field((), description="marks that do not refuse the entry")

    @property
    def accepted(self) -> bool:
        """Whether the entry may stand on the leaderboard."""
        return not self.problems


class Verdict(Strict):
    """A validation that is kept beside its entry, for as long as nothing it rests on changes."""

    schema_version: Literal[1] = 1
    rests_on: str = Field(description="sha256 of the entry, its files, the board, its name, and the code that checked")
    validation: Validation
    seal: str = Field(description="made with a key of this machine: a verdict from elsewhere is not believed")


class Listed(Strict):
    """One entry as the site shows it."""

    result: Result
    path: str = Field(description="of the entry, relative to the leaderboard's folder")
    rank: Rank | None = Field(None, description="null: an earlier revision of the same model, or one without a value")
    paired: bool = Field(False, description="whether it was ranked on the same comparisons, or by its interval alone")
    elsewhere: str = Field("", description="where its embeddings are, if not beside it")
    notes: tuple[Note, ...] = Field((), description="marks of its validation")


class ListedBoard(Strict):
    """One protocol with the entries that validate, the best first, earlier revisions of a model after its last."""

    board: Board
    entries: tuple[Listed, ...]
    left_out: tuple[Validation, ...] = Field((), description="entries that do not validate, each with the reasons")
