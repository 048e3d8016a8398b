"""What a protocol may ask of counterfactual images, and what a result says of them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from facebench.schema._base import Strict


class CausalSpec(Strict):
    """Sweeps in which one attribute of an image changes and all else stays."""

    attributes: Literal["all"] | tuple[str, ...] = Field("all", description="of the counterfactual images")
    group_by: tuple[str, ...] = Field(
        (), description="columns of the unedited images, crossed: every change is also given per group"
    )


class Sweep(Strict):
    """One attribute that was changed."""

    attribute: str
    levels: tuple[str, ...] = Field(description="in rising order where they are numbers, else as first seen")
    n_images: int


class CausalDetails(Strict):
    """The sweeps a result holds."""

    sweeps: tuple[Sweep, ...]
    enrolled_other: bool = Field(
        description="probes are compared with other images of their identity; false: with the unedited image itself, "
        "because identities have no other"
    )
