"""What a protocol asks about slices where a model fails, and what a result says of them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from facebench.schema._base import Strict

Property = Literal["brightness", "blur", "pose", "size"]


class WeakSpotSpec(Strict):
    """Slices with the most errors, found on one half of the people and tested on the other."""

    attributes: tuple[str, ...] | Literal["all"] = Field("all", description="columns slices are made of")
    properties: tuple[Property, ...] = Field(
        ("brightness", "blur", "pose", "size"),
        description="of the pictures: mean brightness, blur, turn of the face by its landmarks, size",
    )
    slices: int = Field(5, ge=1, le=50, description="how many are tested")
    min_units: int = Field(8, ge=2, description="people a slice needs in each half")


class WeakSpot(Strict):
    """One slice that was tested."""

    name: str
    confirmed: bool = Field(description="whether the half that did not find it has more errors there, after correction")
    n_searched: int = Field(description="its images in the half it was found in")
    excess_searched: float = Field(description="the excess there; too large, because it was chosen for it")


class WeakSpotDetails(Strict):
    """What the scan looked at."""

    loss: str = Field(description="what a loss is, in words")
    share: bool = Field(description="whether losses are shares of errors")
    unit: str = Field(description="what was split into halves")
    units: tuple[int, int] = Field(description="units of the half that was searched, and of the half that tested")
    searched: int = Field(description="slices there were")
    columns: tuple[str, ...]
    spots: tuple[WeakSpot, ...] = ()
