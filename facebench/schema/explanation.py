"""What a protocol asks of explanations, and what a result says of them beyond its estimates."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from facebench.schema._base import Strict

_PREFIX = "saliency"


def saliency_condition(method: str, region: str | None = None) -> str:
    """Return the condition of an estimate about maps: ``saliency:METHOD`` or ``saliency:METHOD:REGION``."""
    return ":".join((_PREFIX, method, *(() if region is None else (region,))))


def read_condition(condition: str) -> tuple[str, str | None] | None:
    """Return method and region of such a condition, or None for any other condition."""
    kind, _, rest = condition.partition(":")
    if kind != _PREFIX:
        return None
    method, _, region = rest.partition(":")
    return method, region or None


class MethodSpec(Strict):
    """One saliency method with options of its own."""

    name: str = Field(description="a name that `facebench list saliency` shows")
    options: dict[str, Any] = Field(default_factory=dict, description="of the method, such as masks or patch")


class ExplanationSpec(Strict):
    """Saliency maps of genuine pairs and, where the dataset has part swaps, of triplets with known truth."""

    methods: tuple[MethodSpec, ...] = Field(min_length=1)
    pairs: int = Field(
        24, ge=2, le=2000,
        description="genuine pairs explained, of as many identities as there are; with a task, answers",
    )  # fmt: skip
    triplets: int = Field(24, ge=0, le=2000, description="part-swap triplets explained; 0: none")
    control_pairs: int = Field(4, ge=2, le=200, description="pairs each method must qualify on")
    levels: int = Field(11, ge=3, le=201, description="points of the deletion and insertion curves")
    sensitivity: tuple[str, ...] = Field(
        ("otsu", "top-5", "top-10", "top-20", "fixed-50"), description="other rules of binarising a map"
    )
    gallery: int = Field(4, ge=0, le=20, description="pairs shown in the report")
    points: tuple[Annotated[float, Field(ge=0, le=1)], ...] | None = Field(
        None, min_length=10, max_length=10,
        description="x1 y1 .. x5 y5, eyes, nose, corners of the mouth, as shares of width and height: where they lie "
        "in pictures that are all cropped alike and have no landmarks of their own",
    )  # fmt: skip

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [method.name for method in self.methods]
        if len(set(names)) != len(names):
            raise ValueError("a method is listed twice")
        return self


class ControlFinding(Strict):
    """One control of one method."""

    control: str = Field(description="planted: eyes, nose or mouth; or random weights")
    measure: str = Field(description="pixel_auroc, relevance_mass, or iou_over_nulls")
    value: float | None
    ci_low: float | None = Field(None, description="interval of the value over the identities of the control pairs")
    ci_high: float | None = None
    limit: float = Field(description="at least this for planted controls, at most this for random weights")
    passed: bool = Field(description="whether the whole interval lies on the right side of the limit")
    decided: bool = Field(True, description="false when the interval holds the limit: too few pairs to tell")


class MethodVerdict(Strict):
    """Whether a method may score this model."""

    method: str
    qualified: bool
    why: str = Field("", description="which control it failed, or why it gives no map")
    controls: tuple[ControlFinding, ...] = ()
    convention: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    forwards: int = Field(0, description="passes for one map")
    backwards: int = 0


class GalleryPicture(Strict):
    """One picture of the gallery: a map, or a face where the faces are rendered."""

    caption: str
    data_uri: str


class GalleryRow(Strict):
    """One explained pair: probe, mate and the maps of each method."""

    probe: str
    mate: str
    pictures: tuple[GalleryPicture, ...]


class ExplanationDetails(Strict):
    """What the explanation section found beyond its estimates."""

    methods: tuple[MethodVerdict, ...]
    pairs: tuple[tuple[str, str], ...] = Field(
        (), description="probe and mate of each explained pair; with a task, image and what is explained of it"
    )
    triplets: tuple[tuple[str, str, str], ...] = Field((), description="probe, twin and part of each triplet")
    admitted: int | None = Field(None, description="triplets whose probe and twin the model tells apart")
    rank_stability: float | None = Field(
        None, description="Kendall's tau of the methods' order by IoU over binarisation rules, the least"
    )
    tree: tuple[tuple[float, ...], ...] = Field((), description="scipy linkage rows of the methods' mean maps, 1 - NCC")
    tree_labels: tuple[str, ...] = ()
    gallery: tuple[GalleryRow, ...] = ()
