"""How alike models are beyond their error rates: their maps, their games on common triplets, their score matrices."""

from __future__ import annotations

from pydantic import Field

from facebench.schema._base import Strict


class Alignment(Strict):
    """Rank correlation of two models' scores of the same comparisons (representational alignment)."""

    model: str
    base: str
    over: str = Field(description="impostor: comparisons of different people; all: genuine ones as well")
    value: float | None = Field(description="Spearman's correlation; null when the scores of one model do not vary")
    ci_low: float | None = None
    ci_high: float | None = None
    ci_method: str | None = Field(None, description="jackknife over blocks of identities, on Fisher's z scale")
    n_images: int
    n_identities: int
    n_comparisons: int


class MapLikeness(Strict):
    """How alike the maps of one method are under two models, pair by pair."""

    method: str
    model: str
    base: str
    qualified: bool = Field(description="whether the method qualified on both models")
    value: float | None = Field(description="mean correlation (NCC) of the two maps of a pair")
    ci_low: float | None = None
    ci_high: float | None = None
    null: float | None = Field(None, description="mean correlation of the base's map with the model's of another pair")
    of_means: float | None = Field(None, description="correlation of the two mean maps")
    n_pairs: int
    n_identities: int


class MapTree(Strict):
    """How the models cluster by their mean maps under one method."""

    method: str
    labels: tuple[str, ...]
    linkage: tuple[tuple[float, ...], ...] = Field(description="scipy linkage rows, distance 1 - NCC, average linkage")


class SharedGame(Strict):
    """The inpainting game of one method and model: on the triplets the model admits, and on those all models admit."""

    method: str
    model: str
    metric: str
    qualified: bool
    own: float | None = Field(description="share of games won on the triplets this model tells apart; not comparable")
    own_low: float | None = None
    own_high: float | None = None
    n_own: int
    value: float | None = Field(description="share won on the common triplets")
    ci_low: float | None = None
    ci_high: float | None = None
    n_common: int
    nulls: dict[str, float] = Field(default_factory=dict, description="of the common triplets")


class ExplanationComparison(Strict):
    """Maps and games of all models; explained pairs and triplets are the same."""

    likeness: tuple[MapLikeness, ...] = ()
    trees: tuple[MapTree, ...] = ()
    games: tuple[SharedGame, ...] = ()
