"""What passes between a run and a section: what it may use, and what it gives back.

The module ``measure`` of a section has two functions: ``run(context)`` measures it with the model, ``remeasure(saved)``
computes its numbers again from the files beside the result. One that takes scores also has ``from_scores(listed)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.data import Dataset, decode_batches
from facebench.errors import InputError
from facebench.execution.counterfactuals import Edited
from facebench.execution.embedding import Embedded, fit_face
from facebench.execution.options import RunOptions
from facebench.measure.every_score import Measurement
from facebench.measure.sample import Images, Pairs, Scored
from facebench.schema import Artifact, Curve, Estimate, Failure, ProtocolSpec, Result, Strict, Unmeasured

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class RunContext:
    """What a section may use while the model is at hand.

    Attributes:
        model: the FaceModel.
        spec: the protocol.
        dataset: images that can be decoded, in the order of `images`.
        images, pairs: what the clean measurement used; `pairs` is None when all images were compared.
        embedded: clean embeddings, NaN rows for failed images.
        clean: the clean measurement, with the thresholds in its estimates.
        options: of the run; report progress through ``options.progress(stage, done, total)``.
        edited: embeddings of the counterfactual images, which `dataset` leaves out; None when there are none.
        embed: embeds faces (N, H, W, 3) uint8 in padded batches of the run's size -> (N, D) float32, NaN rows where
            the model returned nothing usable. Batches are not cached: key what is dear by content in ``options.out``.
    """

    model: Any
    spec: ProtocolSpec
    dataset: Dataset
    images: Images
    pairs: Pairs | None
    embedded: Embedded
    clean: Measurement
    options: RunOptions
    edited: Edited | None
    embed: Callable[[NDArray[np.uint8]], NDArray[np.float32]]

    def faces(self, rows: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """Return (N, H, W, 3) decoded faces of some images, exactly as the model's `embed` is given them.

        Args:
            rows: of `dataset`; one may be asked for twice.

        Raises:
            InputError: an image cannot be read any more, or the faces differ in size.
        """
        unique, inverse = np.unique(rows, return_inverse=True)
        batch = next(decode_batches(self.dataset, [unique.tolist()], self.options.workers))
        spec = self.model.card.input
        fitted = [fit_face(face, self.dataset.image_ids[i], spec) for face, i in zip(batch, unique, strict=True)]
        usable = [face for face in fitted if not isinstance(face, Failure)]
        if len(usable) < len(fitted) or len({face.shape for face in usable}) > 1:
            failed = next((face.reason for face in fitted if isinstance(face, Failure)), "faces differ in size")
            raise InputError(f"faces cannot be used together: {failed}")
        return np.stack(usable)[inverse]


@dataclass(frozen=True, eq=False)
class SectionResult:
    """What a section adds to a result.

    Attributes:
        estimates, curves, unmeasured, failures: added to those of the clean measurement.
        details: a record stored in the field of `Result` that bears the section's name.
        tensors: written to ``<section>.safetensors`` beside the result; all that `remeasure` needs.
        artifacts: of files the section wrote itself below ``options.out``.
    """

    estimates: tuple[Estimate, ...] = ()
    curves: tuple[Curve, ...] = ()
    unmeasured: tuple[Unmeasured, ...] = ()
    failures: tuple[Failure, ...] = ()
    details: Strict | None = None
    tensors: Tensors = field(default_factory=dict)
    artifacts: tuple[Artifact, ...] = ()


@dataclass(frozen=True, eq=False)
class Saved:
    """What a section can be computed from again: the stored result and the files beside it."""

    result: Result
    spec: ProtocolSpec
    images: Images
    pairs: Pairs | None
    vectors: NDArray[np.float32]
    tensors: Tensors
    clean: Measurement


@dataclass(frozen=True, eq=False)
class Listed:
    """What a section may use of a file of scores, in a run and when its numbers are computed again.

    Attributes:
        spec: the protocol, its thresholds as similarities.
        images: the samples compared.
        pairs: the comparisons of the file.
        scored: their scores.
        clean: the clean measurement.
        seed: of the run.
    """

    spec: ProtocolSpec
    images: Images
    pairs: Pairs
    scored: Scored
    clean: Measurement
    seed: int


@dataclass(frozen=True)
class PlanRow:
    """What one part of a run will cost."""

    what: str
    images: int
    seconds: float
