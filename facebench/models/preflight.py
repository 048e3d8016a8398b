"""Checks of a model before it is measured: what is most often wrong, found and named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError, ModelError
from facebench.metrics.verification import area_under_curve
from facebench.models.calling import TOLERANCE, call_model, distances, scaled
from facebench.models.protocol import Faces
from facebench.schema import Colour, InputSpec
from facebench.schema.model import FEW_DIMENSIONS

CLEARLY_BETTER = 0.005
"""Gain in AUC from which another InputSpec is reported as the likely right one."""

_SCALES: dict[str, tuple[Any, Any]] = {
    "mean 127.5, std 127.5": (127.5, 127.5),
    "mean 127.5, std 128": (127.5, 128.0),
    "mean 0, std 1 (0 to 255)": (0.0, 1.0),
    "mean 0, std 255 (0 to 1)": (0.0, 255.0),
    "ImageNet mean and std": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}


@dataclass(frozen=True)
class Finding:
    """One check: whether it passed, what was seen, and if it failed what probably causes it.

    A `warning` that did not pass asks for a look, and does not fail the check as a whole.
    """

    name: str
    passed: bool
    detail: str
    likely_cause: str = ""
    warning: bool = False


def check_model(model: Any, faces: Faces, identities: Sequence[str]) -> list[Finding]:
    """Check a model on some faces of known identities.

    Args:
        model: a FaceModel.
        faces: (N, H, W, 3) uint8 RGB aligned faces.
        identities: N names; some must repeat.

    Raises:
        ModelError: the model only holds stored embeddings, so there is nothing to run; or it fails on the faces.
    """
    if not hasattr(model, "embed"):
        raise ModelError(f"model {model.card.name} holds stored embeddings only; there is no network to check")
    whole = call_model(model, faces)
    findings = [
        _finite(whole), _constant(whole), _long_enough(whole), _repeatable(model, faces, whole),
        _batch(model, faces, whole),
    ]  # fmt: skip
    if all(finding.passed for finding in findings[:2]):
        findings += _input_findings(model, faces, np.asarray(identities), whole)
    return findings


def _finite(found: NDArray[np.float32]) -> Finding:
    bad = int((~np.isfinite(found)).any(axis=1).sum())
    zero = int((~found.any(axis=1)).sum())
    detail = f"{bad} of {len(found)} embeddings hold NaN or infinity, {zero} are all zero"
    cause = "an overflow in the network, damaged weights, or inputs on the wrong scale"
    return Finding("finite embeddings", not bad and not zero, detail, cause)


def _constant(found: NDArray[np.float32]) -> Finding:
    unit = scaled(np.nan_to_num(found))
    spread = float(np.abs(unit - unit[0]).max())
    cause = "the output is not the embedding, the weights were not loaded, or the input is saturated by its scale"
    return Finding("different faces differ", spread > 1e-4, f"largest difference {spread:.1e}", cause)


def _long_enough(found: NDArray[np.float32]) -> Finding:
    dim = found.shape[1]
    cause = "the output is not the embedding but, for example, its norm, class scores or an age"
    return Finding("length of the embedding", dim >= FEW_DIMENSIONS, f"{dim} values", cause, warning=True)


def _repeatable(model: Any, faces: Faces, whole: NDArray[np.float32]) -> Finding:
    worst = _worst(whole, call_model(model, faces))
    cause = "dropout or batch normalisation in training mode, or a random step in the network"
    return Finding("same faces, same embeddings", worst == 0, f"two calls differ by {worst:.1e}", cause)


def _batch(model: Any, faces: Faces, whole: NDArray[np.float32]) -> Finding:
    name, cause = "batch size does not matter", "batch normalisation in training mode, or normalisation over the batch"
    try:
        ones = np.concatenate([call_model(model, faces[i : i + 1]) for i in range(min(8, len(faces)))])
    except ModelError as error:
        return Finding(name, False, f"one face alone cannot be embedded: {error}", cause)
    worst = _worst(whole[: len(ones)], ones)
    return Finding(name, worst <= TOLERANCE, f"alone or together differ by {worst:.1e}", cause)


def _input_findings(
    model: Any, faces: Faces, identities: NDArray[np.str_], whole: NDArray[np.float32]
) -> Iterator[Finding]:
    own = _auc(whole, identities)
    if own is None or not hasattr(model, "with_input") or model.card.input is None:
        return
    for name, cause, alternatives in _alternatives(model.card.input):
        scores = {label: _auc(call_model(fed, faces), identities) or 0.0 for label, fed in _fed(model, alternatives)}
        if not scores:
            continue
        best = max(scores, key=lambda label: scores[label])
        gain = scores[best] - own
        detail = f"AUC {own:.4f} as given; the best alternative, {best}, gives {scores[best]:.4f}"
        yield Finding(name, gain < CLEARLY_BETTER, detail, f"{cause}: the model was probably trained with {best}")


def _fed(model: Any, alternatives: list[tuple[str, InputSpec]]) -> Iterator[tuple[str, Any]]:
    """Yield the model fed in other ways; a network of whole numbers cannot take all of them."""
    for label, spec in alternatives:
        try:
            yield label, model.with_input(spec)
        except InputError:
            continue


def _alternatives(spec: InputSpec) -> Iterator[tuple[str, str, list[tuple[str, InputSpec]]]]:
    colour = Colour.BGR if spec.colour is Colour.RGB else Colour.RGB
    swapped = spec.model_copy(update={"colour": colour})
    yield "colour order", "wrong colour order", [(f"colour: {colour.value}", swapped)]
    scaled = [
        (label, spec.model_copy(update={"mean": mean, "std": std}))
        for label, (mean, std) in _SCALES.items()
        if (mean, std) != (spec.mean, spec.std)
    ]
    yield "normalisation", "wrong normalisation", scaled


def _auc(found: NDArray[np.float32], identities: NDArray[np.str_]) -> float | None:
    unit = scaled(found)
    if not np.isfinite(unit).all():
        return None
    rows, columns = np.triu_indices(len(unit), 1)
    scores, same = (unit @ unit.T)[rows, columns], identities[rows] == identities[columns]
    if same.all() or not same.any():
        return None
    return area_under_curve(scores[same], scores[~same])


def _worst(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(distances(a, b).max())
