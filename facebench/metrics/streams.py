"""The streams of random numbers of a run: each has a number of its own, so that no two draws share one.

numpy makes a stream of a list of whole numbers. A zero at its end changes nothing, so ``[seed, 5]`` and
``[seed, 5, 0]`` are one stream; lists that differ in the second place never are. The numbers are part of what a seed
means: a new use takes a new number, and none is changed or used again.
"""

from __future__ import annotations

from enum import IntEnum, unique

import numpy as np


@unique
class Stream(IntEnum):
    """What the numbers drawn with the seed of a run are for."""

    VERTEX_WEIGHTS = 1
    FAIR_DRAWS = 2
    CONTROL_LABELS = 4
    ATTACKED_COMPARISONS = 5
    IMPERSONATIONS = 6
    KNOWN_IMAGES = 7
    PATTERN_SHIFTS = 17
    RANDOM_PROJECTION = 28
    EXPLAINED_PAIRS = 31
    TRIPLETS = 37
    BLIND_REMOVAL = 41
    BLIND_GAMES = 43
    NEAR_PROBES = 47
    SCORE_ALIGNMENT = 53
    REEMBEDDED = 59
    CAUSAL = 61
    DISCARD = 67
    PUBLISHED = 71
    CALIBRATED_RATIOS = 73
    CALIBRATED_FAIR = 79
    CALIBRATED_SEARCH = 83
    ANSWERS = 89
    FAIR_ANSWERS = 97
    ATTACKED_ANSWERS = 101
    EXPLAINED_ANSWERS = 103
    WEAK_SPOTS = 107


@unique
class Fixed(IntEnum):
    """Draws that are the same in every run, whatever its seed."""

    TRIED_EDIT = 0
    NETWORK_PROBE = 1
    ALTERED_FAIR_DRAWS = 2
    TIMED_VECTORS = 3
    DIVERSE_INPUTS = 7
    SPLIT_RATERS = 11
    POWER = 13
    FINGERPRINT_PAIRS = 17
    REPEATED_SAMPLE = 19
    DRAWN_COMPARISONS = 23
    DRAWN_PEOPLE = 29
    PAIRED_GROUPS = 31


FIXED_SEED = 0
"""Where a sample asks for a seed and the numbers drawn are not reported: timings, checks before a run."""


def generator(stream: Stream, seed: int, *more: int) -> np.random.Generator:
    """Return the random numbers of a stream under the seed of a run.

    Args:
        stream: what they are for.
        seed: of the run.
        more: what tells parts of the stream apart, such as the number of a step.
    """
    return np.random.default_rng([seed, int(stream), *more])


def fixed_generator(stream: Fixed, *more: int) -> np.random.Generator:
    """Return random numbers that do not depend on the seed of a run."""
    return np.random.default_rng([int(stream), *more])
