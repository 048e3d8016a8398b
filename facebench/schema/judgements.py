"""What a protocol asks of human judgements of similarity."""

from __future__ import annotations

from pydantic import Field

from facebench.schema._base import Strict


class JudgementSpec(Strict):
    """Rank correlation of a model's scores with how alike people find the same faces."""

    path: str = Field(
        "judgements.csv", description="CSV in the dataset's folder: image_a, image_b, similarity and perhaps judge"
    )
