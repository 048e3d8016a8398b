"""What a protocol asks of a model's answers: expression, age, valence, action units, pose and their like."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from facebench.schema._base import Strict

Names = Annotated[tuple[str, ...], Field(min_length=1)]


class Shape(StrEnum):
    """What one answer looks like, and so how it is counted."""

    CLASSIFY = "classify"  # one of K classes
    MULTILABEL = "multilabel"  # any of M labels, each by a score
    REGRESS = "regress"  # D numbers
    DISTRIBUTION = "distribution"  # K shares, against the votes of several people
    SCORE = "score"  # one number, higher for bona fide


class _Task(Strict):
    """What tasks of every shape have."""

    head: str = Field("answer", description="which of the model's outputs answers; a model with one needs no name")
    primary: str | None = Field(None, description="the metric the report, the gate and the leaderboard lead with")


class ClassifyTask(_Task):
    """One of K classes: expressions, age groups, one attribute."""

    shape: Literal[Shape.CLASSIFY]
    truth: str = Field(description="column of the manifest that holds the true class")
    classes: tuple[str, ...] = Field(min_length=2, description="all classes, by name; the set is fixed here")
    ignore: tuple[str, ...] = Field((), description="true values that are left out and counted as left out")
    merge: dict[str, str] = Field(
        default_factory=dict, description="other words for a class, of the truth and of the model: {disgusted: disgust}"
    )
    calibration_bins: int = Field(15, ge=2, le=1000, description="equal bins of confidence, for `ece`")
    mirror: dict[str, str] | None = Field(
        None,
        description="classes that change places when the picture is mirrored: {look_left: look_right}; default: names "
        "that differ in left and right",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _distinct(self.classes, "classes")
        _known_mirror(self.mirror, self.classes)
        wrong = [word for word in self.merge.values() if word not in self.classes and word not in self.ignore]
        if wrong:
            raise ValueError(f"merge leads to {wrong[0]!r}, which is no class: {', '.join(self.classes)}")
        return self


class MultilabelTask(_Task):
    """Any of M labels, each by a score: action units, attributes."""

    shape: Literal[Shape.MULTILABEL]
    truth: dict[str, str] = Field(min_length=1, description="label to column of the manifest: {AU12: au12}")
    positive_from: float = Field(0.5, description="a true value from here on is positive; DISFA intensities: 2")
    ignore_values: tuple[float, ...] = Field((), description="true values that mean not coded, such as 9 or -1")
    threshold: float = Field(0.5, description="a score from here on says yes")
    mirror: dict[str, str] | None = Field(
        None,
        description="labels that change places when the picture is mirrored: {look_left: look_right}; default: names "
        "that differ in left and right",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _known_mirror(self.mirror, self.truth)
        return self


class DistributionTask(_Task):
    """Shares of K classes, judged against the votes of several people: FER+, distributions of age labels."""

    shape: Literal[Shape.DISTRIBUTION]
    truth: dict[str, str] = Field(min_length=2, description="class to the column with its votes: {neutral: neutral}")
    other: tuple[str, ...] = Field((), description="columns with votes for no class, such as unknown: [unknown, NF]")
    rule: Literal["most-votes", "ferplus-majority"] = Field(
        "most-votes",
        description="which class is the majority: the one with most votes; or, after single votes are dropped, the one "
        "with more than half. Images without one are left out and counted",
    )
    merge: dict[str, str] = Field(default_factory=dict, description="the model's words for a class: {happy: happiness}")
    calibration_bins: int = Field(15, ge=2, le=1000, description="equal bins of confidence, for `ece`")
    mirror: dict[str, str] | None = Field(
        None,
        description="classes that change places when the picture is mirrored: {look_left: look_right}; default: names "
        "that differ in left and right",
    )

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes, by name."""
        return tuple(self.truth)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _distinct((*self.truth.values(), *self.other), "truth and other")
        _known_mirror(self.mirror, self.truth)
        wrong = [word for word in self.merge.values() if word not in self.truth]
        if wrong:
            raise ValueError(f"merge leads to {wrong[0]!r}, which is no class: {', '.join(self.truth)}")
        return self


class RegressTask(_Task):
    """D numbers per image: valence and arousal, age, head pose, intensities, traits."""

    shape: Literal[Shape.REGRESS]
    truth: Names = Field(description="columns of the manifest, in the order of the model's values")
    range: tuple[float, float] | None = Field(None, description="lowest and highest true value there can be")
    clip: bool = Field(False, description="cut answers to the range before they are judged")
    wrap: Literal["none", "360"] = Field("none", description="360: angles in degrees, 359 is two from 1")
    ignore_values: tuple[float, ...] = Field((), description="true values that mean not annotated, such as -2")
    within: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (), description="tolerances: the share of answers at most so far off, CS@k of age"
    )
    sigma: str | None = Field(None, description="column of the annotators' deviation, for the epsilon error of age")
    bins: tuple[float, ...] = Field(
        (), description="edges over the true value: error by value, and the mean over bins; lower <= value < upper"
    )

    rotation: tuple[str, str, str] | None = Field(
        None, description="which true columns are pitch, yaw and roll in degrees, for the angle between the poses"
    )

    mirror: tuple[str, ...] | None = Field(
        None,
        description="true columns that change their sign when the picture is mirrored; default: yaw and roll of "
        "`rotation`",
    )
    turns: dict[str, Literal["clockwise", "anticlockwise"]] | None = Field(
        None,
        description="true column that grows when the picture is turned, and which way: {roll: clockwise}; {} where "
        "none does",
    )

    @field_validator("truth", mode="before")
    @classmethod
    def _one(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _distinct(self.truth, "truth")
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError("range is lowest, highest")
        if self.clip and self.range is None:
            raise ValueError("clip needs range")
        if self.bins and (len(self.bins) < 2 or any(b <= a for a, b in pairwise(self.bins))):
            raise ValueError("bins must be at least two rising edges")
        if self.rotation is not None:
            strange = [name for name in self.rotation if name not in self.truth]
            if strange:
                raise ValueError(f"rotation names {strange[0]!r}, which is none of truth: {', '.join(self.truth)}")
            _distinct(self.rotation, "rotation")
        for key, named in (("mirror", self.mirror or ()), ("turns", self.turns or {})):
            strange = [name for name in named if name not in self.truth]
            if strange:
                raise ValueError(f"{key} names {strange[0]!r}, which is none of truth: {', '.join(self.truth)}")
        if self.sigma is not None and len(self.truth) > 1:
            raise ValueError("sigma goes with one true column")
        return self


class ThresholdRule(Strict):
    """A threshold that is set on part of the data."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    source: Literal["dev", "test"] = Field(
        alias="from",
        description="the split it is set on; test makes every figure at it better than it is, and flags it",
    )
    rule: Literal["eer"] = Field("eer", description="where attacks accepted and bona fide rejected lie nearest")


class ScoreTask(_Task):
    """One number per image or video: presentation attacks (liveness), deepfakes."""

    shape: Literal[Shape.SCORE]
    truth: str = Field(description="column of the manifest that holds the species of attack instrument, or bona fide")
    bona_fide: str = Field("bona_fide", description="its word for bona fide presentations; every other is an attack")
    ignore: tuple[str, ...] = Field((), description="words of the column that are left out and counted as left out")
    score: str | None = Field(
        None, description="which of the numbers of the head is the score, where it has several; default: `bona_fide`"
    )
    higher: Literal["bona_fide", "attack"] = Field(
        "bona_fide", description="what high scores mean; scores of attacks are negated before they are judged"
    )
    threshold: float | ThresholdRule = Field(description="accept from this score on, or {from: dev, rule: eer}")
    split: str | None = Field(None, description="column of the manifest that says which images are dev and which test")
    dev: str = Field("dev", description="its word for images that set the threshold")
    test: str = Field("test", description="its word for images that are judged")
    video: str | None = Field(
        None, description="column that says which frames are one presentation: their mean score is judged"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if isinstance(self.threshold, ThresholdRule) and self.threshold.source == "dev" and self.split is None:
            raise ValueError(
                "a threshold from dev needs `split`, the column that says which images are dev and which test"
            )
        if self.dev == self.test:
            raise ValueError("dev and test are two words of the column `split`")
        return self


AnyTask = ClassifyTask | MultilabelTask | DistributionTask | RegressTask | ScoreTask
Task = Annotated[AnyTask, Field(discriminator="shape")]


def truth_columns(task: AnyTask) -> tuple[str, ...]:
    """Return the columns of the manifest that hold the truth; they are no demographic groups unless asked for."""
    if isinstance(task, ClassifyTask):
        return (task.truth,)
    if isinstance(task, DistributionTask):
        return (*task.truth.values(), *task.other)
    if isinstance(task, ScoreTask):
        return tuple(name for name in (task.truth, task.split, task.video) if name is not None)
    if isinstance(task, MultilabelTask):
        return tuple(task.truth.values())
    return (*task.truth, *(() if task.sigma is None else (task.sigma,)))


def mirror_of(task: ClassifyTask | MultilabelTask | DistributionTask | RegressTask) -> Any:
    """Return what a mirrored picture changes: pairs of classes or labels, both ways; of numbers their columns or None.

    >>> task = ClassifyTask(shape="classify", truth="gaze", classes=("left", "ahead", "right"))
    >>> mirror_of(task)
    {'left': 'right', 'right': 'left'}
    """
    if isinstance(task, RegressTask):
        if task.mirror is None and task.rotation is not None:
            return task.rotation[1:]
        return task.mirror
    names = task.classes if isinstance(task, ClassifyTask) else tuple(task.truth)
    if task.mirror is not None:
        return {**task.mirror, **{b: a for a, b in task.mirror.items()}}
    swapped = {name: re.sub("left|right", _other_side, name, flags=re.IGNORECASE) for name in names}
    return {name: other for name, other in swapped.items() if other != name and other in names}


def _other_side(found: re.Match[str]) -> str:
    word = found.group()
    other = "right" if word.lower() == "left" else "left"
    return other.upper() if word.isupper() and len(word) > 1 else other.capitalize() if word[0].isupper() else other


def _known_mirror(mirror: dict[str, str] | None, names: Iterable[str]) -> None:
    strange = [name for pair in (mirror or {}).items() for name in pair if name not in names]
    if strange:
        raise ValueError(f"mirror names {strange[0]!r}, which is none of {', '.join(names)}")


def _distinct(names: tuple[str, ...], what: str) -> None:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"{what} name {twice[0]!r} twice")


class TaskDetails(Strict):
    """What was answered, beside the estimates.

    Counts of `confusion`: rows are true classes, columns the classes answered and, last, no class of the protocol.
    """

    shape: Shape
    head: str
    truth: tuple[str, ...]
    names: tuple[str, ...] = Field(description="classes, labels or values, in the order of the answers")
    primary: str
    unit: str = Field(description="what the intervals take as independent: identity, a column, or image")
    n_units: int = Field(description="how many of these there are")
    n_judged: int = Field(description="images with a truth that counts")
    n_answered: int = Field(description="of these, images the model answered; others count as wrong where that can be")
    left_out: dict[str, int] = Field(default_factory=dict, description="images without a truth that counts, by reason")
    confusion: dict[str, tuple[tuple[int, ...], ...]] = Field(
        default_factory=dict, description="counts by group; `all` holds all images"
    )
    threshold: float | None = Field(None, description="of scores: accept from here on")
    threshold_source: str = Field("", description="where the threshold comes from, in words")
    baseline: str = Field("", description="what an answer that ignores the picture scores, in words")
