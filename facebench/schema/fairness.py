"""What a protocol may ask about groups beyond their own rates."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from facebench.schema._base import Strict

PublishedMeasure = Literal["rfw", "fr-nas"]
Step = Annotated[float, Field(gt=0)]


class LadderSpec(Strict):
    """Impostors ever more alike: each rung keeps the conditions of the one before it."""

    sex: str | None = Field(None, description="column: the impostor is of the same sex")
    race: str | None = Field(None, description="column: and of the same race")
    age: str | None = Field(None, description="numeric column: and of about the same age")
    age_within: float = Field(5.0, gt=0, description="largest difference of age, in the column's unit")
    neighbours: int | None = Field(
        None, gt=0, description="nearest strangers of each image by a second model (`facebench run --second-model`)"
    )


Share = Annotated[float, Field(ge=0, lt=1)]


class DiscardSpec(Strict):
    """Error-versus-discard curves: FNMR as the comparisons of poorest quality are left out."""

    quality: tuple[str, ...] = Field(
        ("quality",), min_length=1, description="numeric columns, higher is better; `norm`: length of the embedding"
    )
    discard: tuple[Share, ...] = Field((0.0, 0.05, 0.1, 0.2), description="shares of comparisons discarded")
    up_to: float = Field(0.2, gt=0, lt=1, description="where the partial area ends")


class SecondModel(Strict):
    """The model that chose the look-alikes."""

    name: str
    weights_sha256: str | None = None
    result_id: str


class LadderDetails(Strict):
    """What the impostor ladder was built with."""

    rungs: dict[str, str] = Field(description="condition of the estimates, and what it asks of the two people")
    second_model: SecondModel | None = Field(None, description="null: look-alikes were not measured")
