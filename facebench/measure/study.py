"""What is measured: images, groupings and operating points of a protocol, built here for every part of a run.

Overall rates, groups, conditions, attacks, search, explanations, comparisons of results and plans all divide the images
in the same way and are read at the same thresholds, because they all ask here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.data import Dataset
from facebench.measure.groups import Column, Grouping, make_groupings, with_derived
from facebench.measure.sample import Images
from facebench.metrics import bootstrap, verification
from facebench.metrics.bootstrap import RankedComparisons, Totals
from facebench.metrics.verification import OperatingPoint
from facebench.schema import FromResult, GroupSpec, ModelCard, Point, PointSpec, ProtocolSpec, Unmeasured
from facebench.schema.task import truth_columns


def images_of(dataset: Dataset) -> Images:
    """Return what is known of the images of a dataset."""
    return Images(dataset.image_ids, dataset.identities, dict(dataset.attributes), dataset.roles)


def attributes_of(spec: ProtocolSpec, images: Images) -> Mapping[str, Column]:
    """Return the columns of the images with those the protocol derives from them, such as `ita`."""
    return with_derived(images.attributes, spec.groups)


def groupings_of(spec: ProtocolSpec, images: Images) -> tuple[list[Grouping], list[Unmeasured]]:
    """Return the groupings a protocol asks for, and what this data cannot give."""
    if spec.groups is None:
        return [], []
    task = spec.task
    if task is not None and spec.groups.attributes == "all":
        # the truth is no demographic group, unless the protocol lists it as one
        own = {*truth_columns(task), spec.uncertainty.unit}
        kept = {name: column for name, column in images.attributes.items() if name not in own}
        images = replace(images, attributes=kept)
    if not images.attributes:
        why = "the dataset has no attribute columns"
        return [], [Unmeasured(what="differentials between demographic groups", why=why)]
    return make_groupings(attributes_of(spec, images), spec.groups)


def crossed_grouping(spec: ProtocolSpec, images: Images, columns: Sequence[str]) -> Grouping | None:
    """Return the grouping by one column, or by several crossed, with the protocol's bins; None if there is none."""
    crossed = (tuple(columns),) if len(columns) > 1 else "none"
    bins = {} if spec.groups is None else spec.groups.bins
    asked = GroupSpec(attributes=tuple(columns), intersections=crossed, bins=bins)
    groupings, _ = make_groupings(attributes_of(spec, images), asked)
    name = "&".join(columns)
    return next((grouping for grouping in groupings if grouping.name == name), None)


@dataclass(frozen=True)
class Points:
    """The operating points of a protocol, in the order in which everything numbers them.

    Attributes:
        targets: FMR targets, rising: their thresholds are set on the data.
        named: name, threshold (a similarity) and origin of those that stand.
    """

    targets: tuple[float, ...]
    named: tuple[tuple[str, float, str], ...] = ()

    @property
    def keys(self) -> tuple[Point, ...]:
        """What names each in estimates."""
        return (*self.targets, *(name for name, _, _ in self.named))

    def fixed(self, number: int) -> bool:
        """Tell whether the threshold of a point stands, whatever the data."""
        return number >= len(self.targets)

    def source(self, number: int, of_targets: str) -> str:
        """Return where the threshold of a point comes from, given where those of FMR targets do."""
        return self.named[number - len(self.targets)][2] if self.fixed(number) else of_targets

    def on(self, impostor: NDArray[np.floating[Any]]) -> list[OperatingPoint]:
        """Return each operating point on impostor scores."""
        found = verification.operating_points(impostor, self.targets) if self.targets else []
        return [*found, *(verification.fixed_point(impostor, threshold) for _, threshold, _ in self.named)]

    def cutoffs(self, weights: NDArray[np.int32], impostor: RankedComparisons, totals: Totals) -> NDArray[np.float64]:
        """Return (R, T) the highest score each replicate refuses; a threshold that stands is the same in all."""
        kind = impostor.scores.dtype.type
        held = [verification.held(threshold, kind) for _, threshold, _ in self.named]
        below = [float(np.nextafter(kind(threshold), kind(-np.inf))) for threshold in held]
        columns = np.tile(np.array(below, np.float64), (weights.shape[0], 1))
        if not self.targets:
            return columns
        return np.hstack([bootstrap.replicate_cutoffs(weights, impostor, totals, self.targets), columns])


def points_of(spec: ProtocolSpec) -> Points:
    """Return the operating points of a protocol whose thresholds are similarities (see `in_similarities`)."""
    named = tuple((name, point.value, point.origin) for name, point in spec.thresholds.items())
    return Points(tuple(sorted(spec.fmr_targets)), named)


def in_similarities(spec: ProtocolSpec, card: ModelCard) -> ProtocolSpec:
    """Return the protocol with its thresholds as similarities, where the model's scores are written as distances."""
    if not card.distances or not spec.thresholds:
        return spec
    turned = tuple(point if point.name is None else _negated(point) for point in spec.operating_points or ())
    return spec.model_copy(update={"operating_points": turned})


def _negated(point: PointSpec) -> PointSpec:
    own = point.threshold
    turned = own.model_copy(update={"value": -point.value}) if isinstance(own, FromResult) else -point.value
    return point.model_copy(update={"threshold": turned})
