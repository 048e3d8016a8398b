"""What is measured: the images of a dataset and the groupings a protocol asks for, built here for every part of a run.

Overall rates, groups, conditions, attacks, search, explanations, comparisons of results and plans all divide the images
in the same way, because they all ask here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from facebench.data import Dataset
from facebench.measure.groups import Column, Grouping, make_groupings, with_derived
from facebench.measure.sample import Images
from facebench.schema import GroupSpec, ProtocolSpec, Unmeasured


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
