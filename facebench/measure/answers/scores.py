"""Scores of presentations beside what they are: bona fide, or an attack of some species."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError, did_you_mean
from facebench.measure.answers.columns import (
    Floats,
    Judged,
    Threshold,
    as_stored,
    as_word,
    probabilities,
    refuse_nothing,
    truth_column,
)
from facebench.measure.groups import Column
from facebench.metrics.answers import score_table
from facebench.metrics.answers.score import eer_threshold
from facebench.schema.model import Activation, OutputSpec
from facebench.schema.task import ScoreTask

LISTED = 8


@dataclass(frozen=True, eq=False)
class _Shown:
    """Presentations: the image each begins with, its word, its split and its score."""

    rows: NDArray[np.int64]
    words: list[str]
    splits: list[str]
    scores: Floats

    def only(self, kept: NDArray[np.bool_]) -> _Shown:
        places = np.flatnonzero(kept)
        return _Shown(
            self.rows[places], [self.words[i] for i in places], [self.splits[i] for i in places], self.scores[places]
        )


def judged_scores(
    task: ScoreTask, head: OutputSpec, given: Floats, columns: Mapping[str, Column], where: str
) -> Judged:
    """Return the scores of the test images beside the species of their presentations.

    Raises:
        InputError: bona fide or attacks are missing where they are needed, or a split is; with the words there are.
    """
    words = [as_word(cell) for cell in truth_column(task.truth, columns, where)]
    splits = [task.test] * len(words)
    if task.split is not None:
        splits = [as_word(cell) for cell in truth_column(task.split, columns, where)]
    shown = _Shown(np.arange(len(words)), words, splits, _scores(task, head, given, where))
    counted = np.array([bool(word) and word not in task.ignore for word in words])
    left_out = Counter(
        f"{task.truth} {word}, which the protocol leaves out" if word else "no species"
        for word, kept in zip(words, counted, strict=True)
        if not kept
    )
    shown = shown.only(counted)
    if task.video is not None:
        shown = _videos(shown, [as_word(cell) for cell in truth_column(task.video, columns, where)], task, where)
    tested = np.array([split == task.test for split in shown.splits])
    for split, kept in zip(shown.splits, tested, strict=True):
        if not kept:
            left_out["of the split that sets the threshold" if split == task.dev else f"split {split or 'empty'}"] += 1
    test = shown.only(tested)
    if task.split is not None and not test.rows.size:
        raise InputError(_no_split(task, "test", task.test, shown.splits, where))
    refuse_nothing(test.rows, task.truth, where)
    _refuse_one_kind(test.words, task, "the images judged", where)
    threshold = _threshold(task, shown, test, where)
    names = tuple(sorted({word for word in test.words if word != task.bona_fide}))
    place = {task.bona_fide: 0, **{name: number for number, name in enumerate(names, 1)}}
    species = np.array([place[word] for word in test.words])
    table = score_table(test.scores, species, names, threshold=threshold.value)
    return Judged(
        table,
        test.rows,
        names,
        np.isfinite(test.scores),
        dict(left_out),
        threshold,
        (species == 0)[:, None].astype(float),
    )


def score_place(task: ScoreTask, head: OutputSpec, where: str) -> int:
    """Return which number of a head is the score.

    Raises:
        InputError: the head has no number of that name.
    """
    wanted = task.score or (head.names[0] if len(head.names) == 1 else task.bona_fide)
    if wanted not in head.names:
        raise InputError(
            f"{where}: the model has no number called {wanted!r}; its own are {', '.join(head.names)}."
            f"{did_you_mean(wanted, head.names)} Say in task.score which of them is the score"
        )
    return head.names.index(wanted)


def _scores(task: ScoreTask, head: OutputSpec, given: Floats, where: str) -> Floats:
    place = score_place(task, head, where)
    if head.activation is Activation.LABEL:
        raise InputError(f"{where} needs a score, but {head.name!r} holds words; thresholds and ROC areas need numbers")
    if head.activation is Activation.LOGITS:
        given = probabilities(given, head, where) if len(head.names) > 1 else 1 / (1 + np.exp(-given))
    scores = given[:, place] * head.scale
    return -scores if task.higher == "attack" else scores


def _videos(shown: _Shown, videos: list[str], task: ScoreTask, where: str) -> _Shown:
    """Return one presentation per video, with the mean score of the frames that have one."""
    members: dict[str, list[int]] = {}
    for place, row in enumerate(shown.rows):
        members.setdefault(videos[row] or f"\0{row}", []).append(place)
    for name, places in members.items():
        for what, cells in ((task.truth, shown.words), (task.split, shown.splits)):
            found = sorted({cells[place] for place in places})
            if len(found) > 1:
                raise InputError(
                    f"{where}: frames of the video {name!r} have {what} {found[0]!r} and {found[1]!r}; names of videos "
                    "must differ between folders, as real and fake videos often share theirs"
                )
    first = np.array([places[0] for places in members.values()])
    known = np.isfinite(shown.scores)
    means = [
        float(np.mean(shown.scores[inside])) if (inside := [p for p in places if known[p]]) else np.nan
        for places in members.values()
    ]
    return _Shown(shown.rows[first], [shown.words[i] for i in first], [shown.splits[i] for i in first], np.array(means))


def _threshold(task: ScoreTask, shown: _Shown, test: _Shown, where: str) -> Threshold:
    if isinstance(task.threshold, float):
        value = as_stored(-task.threshold if task.higher == "attack" else task.threshold)
        return Threshold(value, "fixed by the protocol", False)
    on_test = task.threshold.source == "test"
    used = test if on_test else shown.only(np.array([split == task.dev for split in shown.splits]))
    used = used.only(np.isfinite(used.scores))
    if not used.rows.size:
        raise InputError(
            _no_split(task, "dev", task.dev, shown.splits, where)
            + " Without such images give a fixed task.threshold, or {from: test}, which is flagged"
        )
    _refuse_one_kind(used.words, task, f"the images of split {task.dev!r} with an answer", where)
    value = eer_threshold(used.scores, np.array([word == task.bona_fide for word in used.words]))
    source = "equal error on the judged images themselves" if on_test else "equal error on the development images"
    return Threshold(value, f"{source} ({used.rows.size:,})", on_test)


def _no_split(task: ScoreTask, key: str, wanted: str, splits: list[str], where: str) -> str:
    found = sorted({split for split in splits if split})
    return (
        f"{where}: no image has {task.split} {wanted!r} (task.{key}) and counts; the column holds "
        f"{', '.join(found[:LISTED]) or 'nothing'}.{did_you_mean(wanted, found)}"
    )


def _refuse_one_kind(words: list[str], task: ScoreTask, what: str, where: str) -> None:
    attacks = sorted({word for word in words if word != task.bona_fide})
    if task.bona_fide not in words:
        raise InputError(
            f"{where}: none of {what} is bona fide: {task.truth} holds {', '.join(attacks[:LISTED])}, and "
            f"task.bona_fide is {task.bona_fide!r}.{did_you_mean(task.bona_fide, attacks)}"
        )
    if not attacks:
        raise InputError(
            f"{where}: all of {what} are bona fide ({task.truth} is {task.bona_fide!r}); attacks are needed"
        )
