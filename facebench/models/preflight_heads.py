"""Checks of a model that answers, before it is measured: numbers, probabilities, batches, mirror, class order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from facebench.errors import ModelError
from facebench.models.calling import call_model
from facebench.models.preflight import Finding
from facebench.models.protocol import Faces
from facebench.schema import ModelCard
from facebench.schema.model import Activation, OutputSpec

TOLERANCE = 1e-3
"""How far an answer may depend on its batch, in parts of what it spans over the faces."""
SUM_OFF = 1e-3
FEWEST_LABELLED = 20
CLEARLY = 3.0
"""Standard errors by which another order of the classes must fit better to be reported."""

Answers = NDArray[np.float32]
Words = Mapping[str, Sequence[str | float | None]]


def check_heads(model: object, faces: Faces, columns: Words) -> list[Finding]:
    """Check a model that answers on some faces.

    Args:
        model: a FaceModel whose card names outputs.
        faces: (N, H, W, 3) uint8 RGB, N > 1.
        columns: N cells each; one that holds the names of classes is used to check their order.

    Raises:
        ModelError: there is no network to run, or it fails on the faces.
    """
    card: ModelCard = model.card  # type: ignore[attr-defined]
    if not hasattr(model, "embed"):
        raise ModelError(f"model {card.name} holds stored answers only; there is no network to check")
    whole = call_model(model, faces)
    findings = [_numbers(whole)]
    if not findings[0].passed:
        return findings
    findings += [_alone(model, faces, whole), _repeated(model, faces, whole), _order(model, faces, whole)]
    mirrored = call_model(model, np.ascontiguousarray(faces[:, :, ::-1]))
    for output in card.outputs or ():
        _, place = card.head(output.name)
        findings += _of_head(output, whole[:, place], mirrored[:, place], columns)
    return findings


def _of_head(output: OutputSpec, found: Answers, mirrored: Answers, columns: Words) -> Iterator[Finding]:
    span = float(np.ptp(found, axis=0).max())
    cause = "the weights were not loaded, the tensor is another one, or the input is saturated by its scale"
    yield Finding(f"{output.name}: different faces differ", span > 1e-6, f"answers span {span:.2g}", cause)
    if len(output.names) > 1 and output.activation is not Activation.LOGITS:
        yield _sums(output, found)
    yield Finding(f"{output.name}: mirrored faces", True, _mirror(output, found, mirrored))
    if len(output.names) > 1:
        for name, column in columns.items():
            finding = _class_order(output, found, name, column)
            if finding is not None:
                yield finding


def _numbers(found: Answers) -> Finding:
    bad = int((~np.isfinite(found)).any(axis=1).sum())
    cause = "an overflow, damaged weights, or inputs on the wrong scale; such images count as left without an answer"
    return Finding("answers are numbers", not bad, f"{bad} of {len(found)} answers hold NaN or infinity", cause)


def _apart(whole: Answers, other: Answers) -> tuple[float, bool]:
    span = np.ptp(whole, axis=0)
    worst = np.abs(whole - other).max(axis=0)
    return float(worst.max()), bool((worst <= TOLERANCE * span + 1e-6).all())


def _alone(model: object, faces: Faces, whole: Answers) -> Finding:
    name, cause = "batch size does not matter", "batch normalisation in training mode, or averages over the batch"
    few = min(8, len(faces))
    try:
        ones = np.concatenate([call_model(model, faces[i : i + 1]) for i in range(few)])
    except ModelError as error:
        return Finding(name, False, f"one face alone cannot be answered: {error}", cause)
    worst = np.abs(whole[:few] - ones).max(axis=0)
    passed = bool((worst <= TOLERANCE * np.ptp(whole, axis=0) + 1e-6).all())
    return Finding(name, passed, f"alone or together differ by {worst.max():.1e}", cause)


def _repeated(model: object, faces: Faces, whole: Answers) -> Finding:
    worst, _ = _apart(whole, call_model(model, faces))
    cause = "dropout in training mode, or a random step in the network"
    return Finding("same faces, same answers", worst == 0, f"two calls differ by {worst:.1e}", cause)


def _order(model: object, faces: Faces, whole: Answers) -> Finding:
    worst, passed = _apart(whole, call_model(model, faces[::-1].copy())[::-1])
    cause = "answers do not follow their faces, or depend on the others of the batch"
    return Finding("order of the faces does not matter", passed, f"reversed they differ by {worst:.1e}", cause)


def _sums(output: OutputSpec, found: Answers) -> Finding:
    """Rows of probabilities sum to 1; values that do so may be probabilities by mistake."""
    off = np.abs(found.sum(axis=1, dtype=np.float64) - 1)
    inside = bool((found >= -SUM_OFF).all())
    if output.activation is Activation.VALUES:
        like = inside and bool((off <= SUM_OFF).all())
        detail = "they all sum to 1 and are none below 0" if like else "they do not sum to 1"
        cause = "they are probabilities: say activation: probabilities"
        return Finding(f"{output.name}: values are no probabilities", not like, detail, cause, warning=True)
    detail = f"the furthest from 1 is {off.max():.2g} off; the lowest is {found.min():.2g}"
    cause = "they are logits (say activation: logits), scores of labels that exclude nothing (values), or percent"
    return Finding(f"{output.name}: probabilities sum to 1", inside and bool((off <= SUM_OFF).all()), detail, cause)


def _mirror(output: OutputSpec, found: Answers, mirrored: Answers) -> str:
    """Say what mirroring changes; a yaw turns round and left becomes right, so nothing is required."""
    if len(output.names) > 1 and output.activation is not Activation.VALUES:
        same = int((found.argmax(axis=1) == mirrored.argmax(axis=1)).sum())
        return f"the same class for {same} of {len(found)}"
    span = np.where(np.ptp(found, axis=0) > 0, np.ptp(found, axis=0), 1)
    parts = np.abs(found - mirrored).mean(axis=0) / span
    each = ", ".join(f"{name} {part:.0%}" for name, part in zip(output.names[:6], parts, strict=False))
    return f"answers move by, in parts of what they span: {each}"


def _class_order(output: OutputSpec, found: Answers, name: str, column: Sequence[str | float | None]) -> Finding | None:
    """Say whether another order of the names fits labelled faces clearly better; None where too few are labelled."""
    from scipy.optimize import linear_sum_assignment

    place = {word: number for number, word in enumerate(output.names)}
    rows = [row for row, cell in enumerate(column) if isinstance(cell, str) and cell in place]
    true = np.array([place[str(column[row])] for row in rows], int)
    if len(rows) < FEWEST_LABELLED or len(set(true.tolist())) < 2:
        return None
    said = found[rows].argmax(axis=1)
    counts = np.zeros((len(place), len(place)))
    np.add.at(counts, (said, true), 1)
    answered, meant = linear_sum_assignment(-counts)
    # where nothing is known of an answer it keeps its name
    best = dict(zip(answered.tolist(), meant.tolist(), strict=True))
    better, own = int(counts[answered, meant].sum()), int(np.trace(counts))
    moved = [k for k in best if counts[k].any()]
    passed = better - own <= CLEARLY * np.sqrt(better + own) and better - own <= len(rows) / 5
    detail = f"{own} of {len(rows)} faces whose {name} is known are answered rightly"
    listing = ", ".join(output.names[best[k]] if k in moved else output.names[k] for k in range(len(place)))
    cause = f"names are in another order than the network's; as {listing} there would be {better}"
    return Finding(f"{output.name}: order of the classes", passed, detail, cause)
