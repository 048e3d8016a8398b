"""What makes a result doubtful, in words for a reader who does not know yet that something is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facebench.data import Dataset, decode_batches
from facebench.data.aligned import ARCFACE_112, AlignedSource
from facebench.measure.sanity import alignment
from facebench.measure.sanity.scores import Separation, separation
from facebench.schema import Alignment, Curve, Doubt, Estimate, Failure, ModelCard

LOOK_AT = "are the faces aligned as the model expects, are colour order and scale of the input right?"
MOST = 0.5
LANDMARKS_OFF = 0.12
"""Median distance of landmarks from the template, in distances of the eyes, from which faces are not aligned."""
_SPAN = 2e-6  # scores that differ by less are equal but for rounding
_ALIKE = 0.1


def score_doubts(estimates: Sequence[Estimate], curves: Sequence[Curve], *, own_scores: bool = False) -> list[Doubt]:
    """Return what is doubtful in scores, from what a result holds of them.

    Args:
        estimates: of a result; the AUC is read.
        curves: of a result; the histograms are read.
        own_scores: the scores were read from a file, so no picture or model is to blame.
    """
    found = separation(estimates, curves)
    if found is None:
        return []
    if found.span <= _SPAN:
        cause = "is the right column read as score?" if own_scores else f"does the model react to its input: {LOOK_AT}"
        return [Doubt(about="constant", seen="all scores are equal", cause=cause)]
    for check in (_reversed, _chance, _medians):
        doubt = check(found, own_scores)
        if doubt is not None:
            return [doubt]  # they are degrees of one thing
    return []


def _limits(found: Separation) -> str:
    auc, low, high = (f"{value:.3f}" if value >= 0.0005 else "0" for value in (found.auc, found.low, found.high))
    return f"AUC {auc} ({low} to {high})"


def _reversed(found: Separation, own_scores: bool) -> Doubt | None:
    if found.high >= 0.5:
        return None
    seen = f"the scores look reversed: {_limits(found)}, so impostor comparisons score higher than genuine ones"
    cause = "are they distances? Then add scale=distance, as in scores:FILE#scale=distance"
    if not own_scores:
        cause = "does the comparator suit the embeddings, and are the identity labels right?"
    return Doubt(about="reversed", seen=seen, cause=cause)


def _chance(found: Separation, own_scores: bool) -> Doubt | None:
    if found.low > 0.5:
        return None
    seen = f"no better than chance: {_limits(found)}"
    cause = "are genuine and impostor comparisons labelled right, and is the right column read as score?"
    return Doubt(about="chance", seen=seen, cause=cause if own_scores else LOOK_AT)


def _medians(found: Separation, own_scores: bool) -> Doubt | None:
    if abs(found.medians[0] - found.medians[1]) > _ALIKE * found.spread:
        return None
    seen = f"genuine and impostor scores have the same median, about {found.medians[0]:.3g}"
    cause = "are genuine and impostor comparisons labelled right?" if own_scores else LOOK_AT
    return Doubt(about="medians", seen=seen, cause=cause)


def file_doubts(notes: Sequence[str]) -> list[Doubt]:
    """Return what is doubtful in a file of scores, from what its reader noticed."""
    cause = "name the files of single scores: rates, intervals and thresholds cannot be had from these numbers"
    return [Doubt(about="histogram", seen=note, cause=cause) for note in notes if "histogram" in note]


def picture_doubts(dataset: Dataset, card: ModelCard, failures: Sequence[Failure], workers: int = 2) -> list[Doubt]:
    """Return what is doubtful in pictures: most of them cannot be used, or faces do not lie where the model has them.

    Alignment is looked at only where the model asks for the ArcFace template, and in `alignment.N_PICTURES` pictures.
    """
    n = len(dataset)
    if len(failures) > MOST * n:
        reason, times = Counter(f"{failure.stage}: {failure.reason}" for failure in failures).most_common(1)[0]
        seen = f"{len(failures):,} of {n:,} images could not be used, {times:,} of them for this reason: {reason}"
        return [Doubt(about="failures", seen=seen, cause="run `facebench data check PATH` and `facebench check MODEL`")]
    if card.input is None or card.input.alignment is not Alignment.ARCFACE_112:
        return []
    doubt = _landmarks(dataset) or pixel_doubt(_some_pictures(dataset, failures, workers))
    return [] if doubt is None else [doubt]


def pixel_doubt(pictures: Sequence[NDArray[np.uint8]]) -> Doubt | None:
    """Say whether (112, 112, 3) pictures do not look like faces aligned to the ArcFace template."""
    reading = alignment.read_alignment(pictures)
    if reading is None:
        return None
    if reading.scattered:
        seen = f"in {reading.n} pictures looked at, the faces lie at different places or are no faces"
    elif reading.elsewhere:
        seen = f"in {reading.n} pictures looked at, {_where(reading)}"
    else:
        return None
    return Doubt(about="alignment", seen=f"the faces do not look aligned: {seen}", cause=_ALIGN)


_ALIGN = (
    "the model expects faces warped to the 112 x 112 ArcFace template by five landmarks; give such pictures, or a "
    "model file with `alignment: none` if it takes others"
)


def _where(reading: alignment.AlignmentReading) -> str:
    if reading.agreement < alignment.AGREEMENT:
        return "the average picture does not look like a face"
    off = [
        f"{abs(by):.2f} {over if by > 0 else under}"
        for by, over, under in zip(reading.off, ("to the right", "too low"), ("to the left", "too high"), strict=True)
        if by
    ]
    if off:
        return f"the faces lie {' and '.join(off)} against the template, in distances of the eyes"
    return f"the faces are {'smaller' if reading.area < 1 else 'larger'} than the template has them"


def _landmarks(dataset: Dataset) -> Doubt | None:
    """Compare landmarks with the template, where they are known in the frame of the picture."""
    points = dataset.landmarks
    if points is None or any(isinstance(source, AlignedSource) for source in dataset.images):
        return None
    known = points[~np.isnan(points).any(axis=(1, 2))]
    if len(known) < alignment.MIN_PICTURES:
        return None
    apart = np.linalg.norm(ARCFACE_112[1] - ARCFACE_112[0])
    off = np.linalg.norm((known - ARCFACE_112).mean(axis=1), axis=1) / apart
    size = np.linalg.norm(known - known.mean(axis=1, keepdims=True), axis=(1, 2))
    size = size / np.linalg.norm(ARCFACE_112 - ARCFACE_112.mean(axis=0))
    middle, large = float(np.median(off)), float(np.median(size))
    if middle <= LANDMARKS_OFF and 0.8 <= large <= 1.25:
        return None
    seen = f"the faces do not look aligned: their landmarks lie {middle:.2f} distances of the eyes off the template"
    return Doubt(about="alignment", seen=f"{seen}, at {large:.2f} times its size (medians)", cause=_ALIGN)


def _some_pictures(dataset: Dataset, failures: Sequence[Failure], workers: int) -> list[NDArray[np.uint8]]:
    failed = {failure.image_id for failure in failures}
    rows = [row for row, image_id in enumerate(dataset.image_ids) if image_id not in failed]
    if len(rows) < alignment.MIN_PICTURES:
        return []
    some = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, alignment.N_PICTURES).astype(int))]
    return [
        picture
        for batch in decode_batches(dataset, [[row] for row in some], workers)
        for picture in batch
        if not isinstance(picture, Failure)
    ]
