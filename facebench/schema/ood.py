"""What a protocol asks of search with out-of-distribution probes, and what a run tells of the re-ranking."""

from __future__ import annotations

from pydantic import Field

from facebench.schema._base import Strict
from facebench.schema.robustness import SEVERITIES, Conditions, expand


class RerankSpec(Strict):
    """The first entries of each list are put in order again by another comparator."""

    comparator: str = Field("deepface-emd", description="a registered re-ranking comparator")
    alpha: float = Field(0.7, ge=0, le=1, description="weight of the patch distance; 1 - alpha that of the embedding")
    top_k: int = Field(100, ge=1, le=10_000, description="entries that are put in order again")


class OodSpec(Strict):
    """1:N search: every altered image against all other clean images."""

    conditions: Conditions = Field(min_length=1, description="family, family:name or family:name:level")
    rerank: RerankSpec | None = None

    @property
    def expanded(self) -> tuple[str, ...]:
        """Every condition with its level, in the order of the protocol."""
        return expand(self.conditions, SEVERITIES)


class OodDetails(Strict):
    """What a run tells of its search besides the estimates."""

    conditions: tuple[str, ...]
    n_queries: int = Field(description="images whose identity has another image")
    n_gallery: int = Field(description="images each query is searched among: all others")
    reranking: str | None = Field(None, description="how the lists were put in order again; null: they were not")
