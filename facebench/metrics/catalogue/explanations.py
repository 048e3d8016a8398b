"""Metrics of saliency maps; their condition names the method, and the region where there is one."""

from __future__ import annotations

from functools import partial

from facebench.metrics.catalogue.definition import (
    POSITIVE,
    REAL,
    SIGNED,
    UNIT,
    Counted,
    Direction,
    Kind,
    MetricDef,
    Topic,
)

_HIGHER, _LOWER, _NONE = Direction.HIGHER, Direction.LOWER, Direction.NONE

_map = partial(
    MetricDef, topic=Topic.EXPLANATION, kind=Kind.MEAN, counted=Counted.GENUINE, intervals=("t-over-identities",)
)
_game = partial(
    _map, kind=Kind.RATE, direction=_HIGHER, bounds=UNIT, intervals=("wilson-identity", "rule-of-three"),
)  # fmt: skip

METRICS = (
    _map(
        name="saliency_iou", label="overlap (IoU)", direction=_HIGHER, bounds=UNIT,
        words="Overlap of the region with as many of the map's highest pixels.",
    ),
    _map(
        name="iou_mismatch_gap", label="own less other regions", direction=_HIGHER, bounds=REAL,
        words="Overlap with the own region, corrected for chance, less the mean of the other regions.",
    ),
    _map(
        name="relevance_mass", label="relevance mass", direction=_NONE, bounds=UNIT,
        words="Share of positive relevance in the region. Whether more is better depends on the region.",
    ),
    _map(
        name="pixel_auroc", label="pixel AUROC", direction=_HIGHER, bounds=UNIT,
        words="The chance that a pixel of the region ranks above one outside.",
    ),
    _map(
        name="pointing", label="highest pixel inside", direction=_HIGHER, bounds=UNIT,
        words="Share of maps whose highest pixel lies in the region.",
    ),
    _map(
        name="deletion_auc", label="deletion", direction=_LOWER, bounds=SIGNED,
        words="Area under the score while the pixels the map ranks first are removed.",
    ),
    _map(
        name="insertion_auc", label="insertion", direction=_HIGHER, bounds=SIGNED,
        words="Area under the score while the pixels the map ranks first are inserted.",
    ),
    _map(
        name="deletion_tar", label="pairs still accepted, deletion", direction=_LOWER, bounds=UNIT,
        words="The same of the share of pairs accepted at the clean threshold, while pixels are removed.",
    ),
    _map(
        name="insertion_tar", label="pairs accepted, insertion", direction=_HIGHER, bounds=UNIT,
        words="The same of the share of pairs accepted at the clean threshold, while pixels are inserted.",
    ),
    _map(
        name="seed_stability", label="agreement across seeds", kind=Kind.CORRELATION, direction=_HIGHER,
        bounds=SIGNED, words="Correlation of the maps of two seeds.",
    ),
    _map(
        name="randomisation_similarity", label="likeness to random weights", kind=Kind.CORRELATION,
        direction=_LOWER, bounds=SIGNED, words="Spearman's correlation with the map of the same network with random "
        "weights.",
    ),
    _map(
        name="max_sensitivity", label="change under slight noise", direction=_LOWER, bounds=(0.0, 2.0),
        words="Largest distance between the map and maps of slightly altered faces.",
    ),
    _map(
        name="completeness_gap", label="score the map does not account for", direction=_LOWER, bounds=POSITIVE,
        words="How far the map's sum lies from the change of the score it should explain, relative to that change.",
    ),
    _map(
        name="map_ncc", label="likeness of maps (NCC)", kind=Kind.CORRELATION, direction=_NONE, bounds=SIGNED,
        words="Correlation of two models' maps of the same pair.",
    ),
    _game(
        name="inpainting_at_1", label="inpainting game at 1 %",
        words="Share of games in which the model takes the blend for the twin before 1 % of the other pixels changed.",
    ),
    _game(
        name="inpainting_at_5", label="inpainting game at 5 %",
        words="Share of games in which the model takes the blend for the twin before 5 % of the other pixels changed.",
    ),
)  # fmt: skip
