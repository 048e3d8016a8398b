"""Operating points: an FMR target, whose threshold is set on the data, or a threshold that stands, under a name."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, FiniteFloat, model_validator

from facebench.schema._base import Strict

Fraction = Annotated[float, Field(gt=0, lt=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][\w.-]*$", max_length=40)]
Point = float | str
"""What names an operating point: the FMR target, or the name of a threshold."""


class FromResult(Strict):
    """A threshold set on a development set: that of an FMR target in another result of the same model.

    `value`, `result_id`, `weights_sha256` and `manifest_sha256` are filled in when the protocol is read.
    """

    model_config = ConfigDict(populate_by_name=True)

    source: str = Field(alias="from", description="the result, relative to the protocol file")
    fmr_target: Fraction
    value: float | None = None
    result_id: str | None = None
    weights_sha256: str | None = Field(None, description="of the model that was run on the development set")
    manifest_sha256: str | None = Field(None, description="of the development set")

    @property
    def short(self) -> str:
        """How estimates name it, such as ``development:3f0c52d1``."""
        return f"development:{(self.result_id or PurePath(self.source).name)[:12]}"


class PointSpec(Strict):
    """One operating point: `fmr_target`, or `threshold` with a `name`."""

    fmr_target: Fraction | None = None
    threshold: FiniteFloat | FromResult | None = Field(
        None, description="accept at or above it; in a distance: at or below it"
    )
    name: Name | None = Field(None, description="of a threshold, for example that of the deployed system")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.fmr_target is None) == (self.threshold is None):
            raise ValueError("an operating point has either `fmr_target` or `threshold`")
        if (self.threshold is None) != (self.name is None):
            raise ValueError("`threshold` and `name` belong together, such as {threshold: 0.36, name: deployed}")
        return self

    @property
    def value(self) -> float:
        """The threshold of a named point, as the model's scores are written.

        Raises:
            ValueError: it comes from a development set that has not been read.
        """
        found = self.threshold.value if isinstance(self.threshold, FromResult) else self.threshold
        if found is None:
            raise ValueError(f"the threshold of {self.name} was not read from its development set")
        return found

    @property
    def origin(self) -> str:
        """Where the threshold of a named point comes from: ``fixed``, or the development set."""
        return self.threshold.short if isinstance(self.threshold, FromResult) else "fixed"


def point_fields(point: Point | None) -> dict[str, Any]:
    """Return the fields by which estimates, differences and ranks name an operating point.

    >>> point_fields(1e-3), point_fields("vendor")
    ({'fmr_target': 0.001}, {'operating_point': 'vendor'})
    """
    return {"operating_point": point} if isinstance(point, str) else {"fmr_target": point}


class AtPoint(Strict):
    """A record about an operating point."""

    fmr_target: float | None = Field(None, description="the FMR the threshold was set for")
    operating_point: str | None = Field(None, description="name of a threshold that was not set on this data")

    @property
    def point(self) -> Point | None:
        """What names the operating point; None where there is none."""
        return self.operating_point if self.operating_point is not None else self.fmr_target
