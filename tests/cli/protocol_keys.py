"""Small protocols that together use every key of the protocol schema, and what shows that each key was heard.

A new key fails `test_every_key` until a protocol here uses it and `SEEN` or `OTHER` says how it shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

FAST = {"uncertainty": {"replicates": 100}, "groups": None}
POINTS = {"fmr_targets": [0.1], "primary_fmr_target": 0.1, **FAST}
DEVELOPMENT = {"from": "out/scores/result.json", "fmr_target": 0.1}


@dataclass(frozen=True)
class Case:
    """One protocol, what is run under it, and on what."""

    keys: dict[str, Any]
    model: str = "phantom-eigenfaces"
    data: str | None = "faces"
    options: tuple[str, ...] = ()


ATTACKS = [
    {"attack": "pgd", "goal": "dodging", "knowledge": "white-box", "norm": "l2", "eps": ["8/255"], "steps": 3,
     "restarts": 2, "max_pairs": 3},
    {"attack": "square", "goal": "impersonation", "eps": ["8/255"], "queries": 17},
    {"attack": "fgsm", "goal": "dodging", "knowledge": "transfer", "surrogate": "phantom-triplet", "eps": ["4/255"]},
    {"attack": "occluder", "goal": "dodging", "pattern": "glasses"},
]  # fmt: skip

CASES: dict[str, Case] = {
    "all-pairs": Case(
        {
            "title": "All pairs of a few phantoms", "version": 7, "description": "Described here.",
            "source": "a renderer",
            "data_statement": "Shows little.", "licence": "CC0-1.0", "known_defects": ["Very few people."],
            "dataset": {"name": "faces", "path": "../faces", "n_images": 48},
            "fmr_targets": [0.2, 0.05], "primary_fmr_target": 0.2, "threshold_policy": "reference:sex=female",
            "comparisons": {"kind": "all-pairs"},
            "groups": {
                "attributes": ["sex", "ita"], "bins": {"ita": [-90, 10, 90]}, "intersections": [["sex", "ita"]],
                "ita": ["lightness", "yellow"], "min_identities": 3,
            },
            "identification": {
                "ranks": [1, 3], "cmc": 4, "open_set": {"hold_out": 4, "fpir_targets": [0.3], "rank": 2}
            },
            "uncertainty": {"confidence": 0.9, "replicates": 120},
        },
        data=None,
    ),
    "listed": Case(
        {
            **POINTS,
            "groups": {"attributes": ["sex"]},
            "dataset": {"name": "faces", "n_genuine": 72, "n_impostor": 300},
            "comparisons": {"kind": "pair-list", "pairs": "some_pairs.csv"},
            "identification": {"gallery": "role"},
            "published_measures": ["rfw", "fr-nas"],
            "error_versus_discard": {"quality": ["sharpness"], "discard": [0.0, 0.15], "up_to": 0.3},
            "impostor_ladder": {"sex": "sex", "race": "tone", "age": "age", "age_within": 15, "neighbours": 2},
            "covariates": {"age": 10},
            "judgements": {"path": "opinions.csv"},
            "robustness": {"conditions": ["geometry:rotation", "geometry:flip"], "severities": [2], "apply_to": "both"},
        },
        options=("--second-model", "out/all-pairs"),
    ),
    "fixed": Case(
        {
            **FAST,
            "dataset": {"name": "faces", "manifest_sha256": "{sha256}"},
            "operating_points": [{"fmr_target": 0.1}, {"threshold": 0.7, "name": "vendor"}],
            "primary_operating_point": "vendor",
            "robustness": {"attacks": {
                "cells": ATTACKS[:1], "operating_point": "vendor", "max_pairs": 4, "batch": 3, "check_pairs": 2,
                "save_examples": 1,
            }},
        }
    ),
    "attacked": Case(
        {**POINTS, "fmr_targets": [0.1, 0.2], "robustness": {"attacks": {
            "cells": ATTACKS, "fmr_target": 0.2, "max_pairs": 4, "check_pairs": 2,
        }}}
    ),
    "edited": Case(
        {**POINTS, "causal": {"attributes": ["tone"], "group_by": ["sex"]}}, data="edited"
    ),
    "edited-too": Case({**POINTS, "comparisons": {"include_counterfactuals": True}}, data="edited"),
    "explained": Case(
        {
            **POINTS,
            "explanation": {
                "methods": [{"name": "occlusion", "options": {"patch": 28, "stride": 28}}], "pairs": 3, "triplets": 1,
                "control_pairs": 2, "levels": 3, "sensitivity": ["otsu", "top-10"], "gallery": 1,
                "points": [0.3, 0.4, 0.7, 0.4, 0.5, 0.6, 0.35, 0.8, 0.65, 0.8],
            },
        },
        data="parts",
    ),
    "altered": Case(
        {
            **POINTS,
            "ood": {
                "conditions": ["geometry:flip"], "attack": {"eps": "3/255", "steps": 2},
                "rerank": {"comparator": "deepface-emd", "alpha": 0.6, "top_k": 5},
            },
        },
        model="patches.yaml", options=("--trust-code",),
    ),
    "measured": Case(
        {
            **POINTS,
            "efficiency": {"batch_sizes": [3], "threads": 1, "warmup": 1, "repeats": 11, "memory": False},
        }
    ),
    "templates": Case(
        {
            **POINTS,
            "comparisons": {"kind": "template-pairs"},
            "templates": {"normalise_first": True, "detector_weight": True, "flip": True},
        }
    ),
    "scores": Case({**POINTS, "comparisons": {"kind": "pair-list"}}, model="scores:scores.csv", data=None),
    "development": Case(
        {
            **FAST,
            "comparisons": {"kind": "pair-list"},
            "operating_points": [{"name": "deployed", "threshold": DEVELOPMENT}],
        },
        model="scores:scores.csv", data=None,
    ),
    "classes": Case(
        {
            "groups": {"attributes": ["sex"]},
            "task": {
                "shape": "classify", "head": "mood", "primary": "top1_accuracy", "truth": "mood",
                "classes": ["calm", "joy"],
                "ignore": ["other"], "merge": {"happy": "joy"}, "calibration_bins": 5, "mirror": {"calm": "joy"},
            },
            "uncertainty": {"replicates": 100, "unit": "film"},
            "weak_spots": {"attributes": ["sex"], "properties": ["brightness"], "slices": 1, "min_units": 2},
        },
        model="predictions:moods.csv",
    ),
    "labels": Case(
        {
            **FAST,
            "task": {
                "shape": "multilabel", "head": "units", "primary": "mean_f1", "truth": {"AU1": "au1", "AU2": "au2"},
                "positive_from": 2, "ignore_values": [9], "threshold": 0.4, "mirror": {"AU1": "AU2"},
            },
        },
        model="predictions:units.csv",
    ),
    "numbers": Case(
        {
            **FAST,
            "task": {
                "shape": "regress", "head": "age", "primary": "mae", "truth": ["age"], "range": [0, 36], "clip": True,
                "wrap": "none", "ignore_values": [27.34], "within": [5], "sigma": "doubt", "bins": [0, 40, 60],
                "mirror": ["age"], "turns": {"age": "clockwise"},
            },
        },
        model="predictions:ages.csv",
    ),
    "turned": Case(
        {
            **FAST,
            "task": {
                "shape": "regress", "truth": ["yaw", "pitch", "roll"],
                "rotation": ["yaw", "pitch", "roll"], "wrap": "360",
            },
        },
        model="predictions:angles.csv",
    ),
    "votes": Case(
        {
            **FAST,
            "task": {
                "shape": "distribution", "head": "mood", "primary": "kl",
                "truth": {"calm": "votes_calm", "glad": "votes_joy"},
                "other": ["votes_none"], "rule": "ferplus-majority", "merge": {"joy": "glad"}, "calibration_bins": 4,
                "mirror": {"calm": "glad"},
            },
        },
        model="predictions:moods.csv",
    ),
    "live": Case(
        {
            **FAST,
            "task": {
                "shape": "score", "head": "liveness", "primary": "acer", "truth": "species", "bona_fide": "bona_fide",
                "ignore": ["odd"], "score": "fake", "higher": "attack", "threshold": 0.5, "split": "split",
                "dev": "dev", "test": "test", "video": "clip",
            },
        },
        model="predictions:lives.csv",
    ),
    "live-dev": Case(
        {
            **FAST,
            "task": {
                "shape": "score", "truth": "species", "score": "fake", "split": "split", "dev": "dev",
                "threshold": {"from": "dev", "rule": "eer"},
            },
        },
        model="predictions:lives.csv",
    ),
}  # fmt: skip

SEEN: dict[str, tuple[str, str]] = {
    "weak_spots.attributes": ("classes", r'^weak_spots .*"columns":\["sex",'),
    "weak_spots.properties": ("classes", r'^weak_spots .*"columns":\[.*"picture brightness"\]'),
    "name": ("all-pairs", r'^protocol .*"name":"all-pairs"'),
    "title": ("all-pairs", r"^page .*All pairs of a few phantoms"),
    "version": ("all-pairs", r'^protocol .*"version":7'),
    "description": ("all-pairs", r"^page .*Described here\."),
    "data_statement": ("all-pairs", r"^page .*Shows little\."),
    "source": ("all-pairs", r"^page .*a renderer"),
    "licence": ("all-pairs", r"^page .*CC0-1\.0"),
    "known_defects": ("all-pairs", r"^page .*Very few people\."),
    "dataset.name": ("fixed", r'^data .*"name":"faces"'),
    "dataset.path": ("all-pairs", r'^data .*"n_images":48'),  # the run was given no --data
    "comparisons.kind": ("templates", r'"metric":"tar".*"n_genuine":12,"n_impostor":132'),
    "comparisons.pairs": ("listed", r'"metric":"tar".*"n_genuine":72,"n_impostor":300'),
    "comparisons.include_counterfactuals": ("edited-too", r'^data .*"n_images":32'),
    "fmr_targets": ("all-pairs", r'"fmr_target":0\.05.*"metric":"tar"'),
    "primary_fmr_target": ("all-pairs", r'^protocol .*"primary_fmr_target":0\.2'),
    "operating_points.fmr_target": ("fixed", r'"fmr_target":0\.1.*"metric":"tar"'),
    "operating_points.threshold": ("fixed", r'"metric":"hter".*"threshold":0\.7'),
    "operating_points.threshold.from": ("development", r'"threshold_source":"development:[0-9a-f]{12}"'),
    "operating_points.name": ("fixed", r"^page .*threshold “vendor”"),
    "primary_operating_point": ("fixed", r'^protocol .*"primary_operating_point":"vendor"'),
    "threshold_policy": ("all-pairs", r'"metric":"fmr".*"group":"sex=male".*"threshold_source":"sex=female"'),
    "groups.attributes": ("all-pairs", r'"group":"sex=male"'),
    "groups.bins": ("all-pairs", r'"group":"ita=10-90"'),
    "groups.intersections": ("all-pairs", r'"group":"sex=male&ita=10-90"'),
    "groups.ita": ("all-pairs", r'"metric":"fmr_gap".*"group":"ita"'),
    "groups.min_identities": ("all-pairs", r'"few_identities"'),
    "identification.ranks": ("all-pairs", r'"metric":"rank".*"k":3'),
    "identification.gallery": ("listed", r'"metric":"rank".*"n_genuine":24'),
    "identification.cmc": ("all-pairs", r'^curves .*"kind":"cmc".*"x":\[1\.0,2\.0,3\.0,4\.0\]'),
    "identification.open_set.hold_out": ("all-pairs", r'"metric":"fpir".*"n_impostor":16'),
    "identification.open_set.fpir_targets": ("all-pairs", r'"metric":"fnir".*"fpir_target":0\.3'),
    "identification.open_set.rank": ("all-pairs", r'"metric":"fnir".*"k":2'),
    "uncertainty.confidence": ("all-pairs", r'^protocol .*"confidence":0\.9'),
    "uncertainty.unit": ("classes", r'^task .*"unit":"film","n_units":6'),
    "robustness.conditions": ("listed", r'"metric":"tar".*"condition":"geometry:flip"'),
    "robustness.severities": ("listed", r'"condition":"geometry:rotation:2"'),
    "robustness.apply_to": ("listed", r'^robustness .*"apply_to":"both"'),
    "robustness.attacks.cells.attack": ("attacked", r'"condition":"attack:square-linf:'),
    "robustness.attacks.cells.goal": ("attacked", r'"metric":"robust_far".*:impersonation"'),
    "robustness.attacks.cells.knowledge": ("attacked", r'"condition":"attack:ensemble-transfer-linf:'),
    "robustness.attacks.cells.norm": ("attacked", r'"condition":"attack:pgd-l2:'),
    "robustness.attacks.cells.eps": ("attacked", r'"condition":"attack:[^"]*:4/255:'),
    "robustness.attacks.cells.steps": ("attacked", r'^robustness .*"unit":"steps","at":\[0,1,2,3\]'),
    "robustness.attacks.cells.restarts": ("attacked", r'^robustness .*"restarts":2'),
    "robustness.attacks.cells.queries": ("attacked", r'^robustness .*"unit":"queries","at":\[[0-9,]*17\]'),
    "robustness.attacks.cells.surrogate": ("attacked", r'"condition":"attack:fgsm-linf@phantom-triplet:'),
    "robustness.attacks.cells.pattern": ("attacked", r'"condition":"attack:occluder-glasses:'),
    "robustness.attacks.cells.max_pairs": ("attacked", r'^robustness .*"max_pairs":3\},"n_pairs":3'),
    "robustness.attacks.fmr_target": ("attacked", r'^robustness .*"fmr_target":0\.2'),
    "robustness.attacks.operating_point": ("fixed", r'^robustness .*"operating_point":"vendor"'),
    "robustness.attacks.max_pairs": ("attacked", r'^robustness .*"goal":"dodging","n_pairs":4'),
    "robustness.attacks.check_pairs": ("fixed", r'^robustness .*"signs":\{"n_pairs":[12],'),
    "robustness.attacks.save_examples": ("fixed", r"^files .*attacked/"),
    "impostor_ladder.sex": ("listed", r'"condition":"impostors:same-sex"'),
    "impostor_ladder.race": ("listed", r'"condition":"impostors:same-sex-race"'),
    "impostor_ladder.age": ("listed", r'"condition":"impostors:same-sex-race-age"'),
    "impostor_ladder.age_within": ("listed", r'^impostor_ladder .*age within 15"'),
    "impostor_ladder.neighbours": ("listed", r'"metric":"lookalike_match_rate"'),
    "causal.attributes": ("edited", r'^causal .*"attribute":"tone"'),
    "causal.group_by": ("edited", r'"metric":"score_change".*"group":"sex=male"'),
    "published_measures": ("listed", r'"metric":"rank_disparity"'),
    "error_versus_discard.quality": ("listed", r'"condition":"quality:sharpness"'),
    "error_versus_discard.discard": ("listed", r'"metric":"edc_fnmr".*"discarded":0\.15'),
    "error_versus_discard.up_to": ("listed", r'"metric":"edc_area".*"discarded":0\.3'),
    "covariates": ("listed", r'"metric":"fmr_odds_mean".*"group":"age"'),
    "ood.conditions": ("altered", r'"metric":"map_at_r".*"condition":"geometry:flip"'),
    "ood.attack.eps": ("altered", r'"condition":"attack:pgd-linf:3/255:dodging"'),
    "ood.rerank.comparator": ("altered", r"^ood .*earth mover"),
    "efficiency.batch_sizes": ("measured", r'^efficiency .*"batch_size":3,'),
    "efficiency.threads": ("measured", r'^efficiency .*"threads":1,'),
    "efficiency.repeats": ("measured", r'^efficiency .*"repeats":11,'),
    "efficiency.memory": ("measured", r'^efficiency .*"memory":null'),
    "explanation.methods.name": ("explained", r'^explanation .*"method":"occlusion"'),
    "explanation.methods.options": ("explained", r'^explanation .*"settings":\{"patch":28,"stride":28'),
    "explanation.pairs": ("explained", r'^explanation .*"pairs":\[\[[^\]]*\],\[[^\]]*\],\[[^\]]*\]\]'),
    "explanation.triplets": ("explained", r'^explanation .*"triplets":\[\[[^\]]*\]\]'),
    "explanation.gallery": ("explained", r'^explanation .*"gallery":\[\{"probe"'),
    "judgements.path": ("listed", r'"metric":"judgement_alignment"'),
    "task[classify].head": ("classes", r'^task .*"head":"mood"'),
    "task[classify].primary": ("classes", r'^task .*"primary":"top1_accuracy"'),
    "task[classify].shape": ("classes", r'^task .*"shape":"classify"'),
    "task[classify].truth": ("classes", r'^task .*"truth":\["mood"\]'),
    "task[classify].classes": ("classes", r'^task .*"names":\["calm","joy"\]'),
    "task[classify].ignore": ("classes", r'^task .*true class other, which the protocol leaves out":12'),
    "task[classify].merge": ("classes", r'^task .*"n_judged":36'),
    "task[multilabel].head": ("labels", r'^task .*"head":"units"'),
    "task[multilabel].primary": ("labels", r'^task .*"primary":"mean_f1"'),
    "task[multilabel].shape": ("labels", r'^task .*"shape":"multilabel"'),
    "task[multilabel].truth": ("labels", r'^task .*"truth":\["AU1","AU2"\]'),
    "task[regress].head": ("numbers", r'^task .*"head":"age"'),
    "task[regress].primary": ("numbers", r'^task .*"primary":"mae"'),
    "task[regress].shape": ("numbers", r'^task .*"shape":"regress"'),
    "task[regress].truth": ("numbers", r'^task .*"truth":\["age"\]'),
    "task[regress].ignore_values": ("numbers", r'^task .*"no true value":4'),
    "task[regress].within": ("numbers", r'"metric":"within"'),
    "task[regress].sigma": ("numbers", r'"metric":"epsilon_error"'),
    "task[regress].bins": ("numbers", r'"metric":"mae_by_value"'),
    "task[regress].rotation": ("turned", r'"metric":"geodesic"'),
    "task[distribution].head": ("votes", r'^task .*"head":"mood"'),
    "task[distribution].primary": ("votes", r'^task .*"primary":"kl"'),
    "task[distribution].shape": ("votes", r'^task .*"shape":"distribution"'),
    "task[distribution].truth": ("votes", r'^task .*"names":\["calm","glad"\]'),
    "task[score].head": ("live", r'^task .*"head":"liveness"'),
    "task[score].primary": ("live", r'^task .*"primary":"acer"'),
    "task[score].shape": ("live", r'^task .*"shape":"score"'),
    "task[score].truth": ("live", r'"metric":"apcer".*print'),
    "task[score].threshold.from": ("live-dev", r'"metric":"bpcer".*"threshold_source":"[^"]*dev'),
}
"""By key: a protocol that uses it, and a pattern that a line of its result, or its page, must match."""

OTHER: dict[str, tuple[str, Any, str]] = {
    "dataset.n_images": ("all-pairs", 1, "promises 1 images"),
    "dataset.n_genuine": ("listed", 1, "promises 1 genuine pairs"),
    "dataset.n_impostor": ("listed", 1, "promises 1 impostor pairs"),
    "dataset.manifest_sha256": ("fixed", "0" * 64, "defined on other data"),
    "operating_points.threshold.fmr_target": ("development", 0.3, "differs"),
    "templates.normalise_first": ("templates", False, "differs"),
    "templates.detector_weight": ("templates", False, "differs"),
    "templates.flip": ("templates", False, "differs"),
    "weak_spots.slices": ("classes", 3, "differs"),
    "weak_spots.min_units": ("classes", 6, "differs"),
    "task[classify].mirror": ("classes", {"calm": "blue"}, "mirror names 'blue'"),
    "task[multilabel].mirror": ("labels", {"AU1": "AU7"}, "mirror names 'AU7'"),
    "task[regress].mirror": ("numbers", ["height"], "mirror names 'height'"),
    "task[regress].turns": ("numbers", {"height": "clockwise"}, "turns names 'height'"),
    "task[distribution].mirror": ("votes", {"calm": "blue"}, "mirror names 'blue'"),
    "explanation.points": ("explained", [1.5] * 10, "less than or equal to 1|at most 1"),
    "uncertainty.replicates": ("classes", 120, "differs"),
    "robustness.attacks.batch": ("fixed", 2, "same"),
    "ood.attack.steps": ("altered", 1, "differs"),
    "ood.rerank.alpha": ("altered", 0.1, "differs"),
    "ood.rerank.top_k": ("altered", 40, "differs"),
    "efficiency.warmup": ("measured", 0, "must be at least 1|greater than or equal to 1"),
    "explanation.control_pairs": ("explained", 3, "differs"),
    "explanation.levels": ("explained", 4, "differs"),
    "explanation.sensitivity": ("explained", ["otsu"], "differs"),
    "task[classify].calibration_bins": ("classes", 3, "differs"),
    "task[multilabel].positive_from": ("labels", 1, "differs"),
    "task[multilabel].ignore_values": ("labels", [], "differs"),
    "task[multilabel].threshold": ("labels", 0.9, "differs"),
    "task[regress].range": ("numbers", [0, 50], "differs"),
    "task[regress].clip": ("numbers", False, "differs"),
    "task[regress].wrap": ("numbers", "360", "differs"),
    "task[distribution].other": ("votes", [], "differs"),
    "task[distribution].rule": ("votes", "most-votes", "differs"),
    "task[distribution].merge": ("votes", {}, "joy"),
    "task[distribution].calibration_bins": ("votes", 2, "differs"),
    "task[score].bona_fide": ("live", "print", "differs"),
    "task[score].ignore": ("live", [], "differs"),
    "task[score].score": ("live", "other", "differs"),
    "task[score].higher": ("live", "bona_fide", "differs"),
    "task[score].threshold": ("live", 0.1, "differs"),
    "task[score].split": ("live", "sex", "dev|test"),
    "task[score].dev": ("live-dev", "train", "train"),
    "task[score].test": ("live", "trial", "trial"),
    "task[score].video": ("live", "film", "frames of the video 'f0'"),
    "task[score].threshold.rule": ("live-dev", "err", "'eer'"),  # the only rule there is
}
"""By key: a protocol that uses it, another value, and what that does to the figures (`differs`, `same`), or how it is
refused."""

FILLED = {f"operating_points.threshold.{key}" for key in ("value", "result_id", "weights_sha256", "manifest_sha256")}
"""Keys that are filled in when the protocol is read, never written by hand."""
