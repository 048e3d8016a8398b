"""Parts of a protocol beyond clean verification: each is a section with a key of its own in the protocol file.

A section lives in one module with two functions: ``run(context)`` measures it with the model, ``remeasure(saved)``
computes its numbers again from the files beside the result. Adding one takes a line in `SECTIONS`, a field of the same
name in `ProtocolSpec`, and, if it reports more than estimates, one in `Result`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facebench.data import Dataset
from facebench.runner.edited import Edited
from facebench.runner.embedding import Embedded
from facebench.runner.measure import Measurement
from facebench.runner.options import RunOptions
from facebench.runner.sample import Images, Pairs
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


@dataclass(frozen=True)
class PlanRow:
    """What one part of a run will cost."""

    what: str
    images: int
    seconds: float


class Section(Protocol):
    """The module of a section.

    A module may also say ``NEEDS_MODEL = False``: it then works on stored embeddings too. It may define
    ``plan(spec, n_images, seconds_per_image) -> Sequence[PlanRow]``, from which `facebench plan` adds up its cost, and
    ``needs(model, spec) -> Sequence[Unmeasured]``, what it will not measure with this model, told before the work; it
    raises InputError where nothing of the section can be measured.
    """

    def run(self, context: RunContext) -> SectionResult:
        """Measure the section with the model."""
        ...

    def remeasure(self, saved: Saved) -> SectionResult:
        """Compute estimates and details again; what needs the model itself is copied from the stored result."""
        ...


SECTIONS: dict[str, str] = {
    "robustness": "facebench.runner.robustness",
    "impostor_ladder": "facebench.runner.impostor_ladder",
    "covariates": "facebench.runner.covariates",
    "causal": "facebench.runner.causal",
    "error_versus_discard": "facebench.runner.error_versus_discard",
    "published_measures": "facebench.runner.published_measures",
    "judgements": "facebench.runner.judgements",
    "ood": "facebench.runner.ood",
    "efficiency": "facebench.runner.efficiency",
    "explanation": "facebench.runner.explanation",
}
"""Protocol key to module, in the order in which sections are run."""


def sections_of(spec: ProtocolSpec) -> Iterator[tuple[str, Section]]:
    """Yield the name and module of every section a protocol asks for."""
    for name, module in SECTIONS.items():
        if getattr(spec, name) is not None:
            yield name, import_module(module)
