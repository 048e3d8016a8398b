"""What a protocol asks of 1:N search."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from facebench.schema._base import Strict

Rank = Annotated[int, Field(gt=0)]
Target = Annotated[float, Field(gt=0, lt=1)]


class OpenSetSpec(Strict):
    """Open-set search: some probes have no mate in the gallery, and every such search should return nobody."""

    hold_out: int = Field(
        0, ge=0, description="identities left out of the gallery, evenly spaced in the order of their first images"
    )
    fpir_targets: tuple[Target, ...] = Field((1e-1, 1e-2), description="operating points")
    rank: Rank = Field(1, description="a mated search misses unless its mate is among this many")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.fpir_targets or len(set(self.fpir_targets)) != len(self.fpir_targets):
            raise ValueError("fpir_targets must be different values, at least one")
        return self


class IdentificationSpec(Strict):
    """1:N search in a gallery of one template per identity.

    `gallery` says which images are enrolled: ``first-image`` of each identity (the default; all others are probes), or
    by ``role``, a column of the manifest with the words gallery and probe.
    """

    ranks: tuple[Rank, ...] = (1,)
    gallery: Literal["first-image", "role"] | None = None
    cmc: Rank | None = Field(None, description="give the CMC curve up to this rank")
    open_set: OpenSetSpec | None = None
