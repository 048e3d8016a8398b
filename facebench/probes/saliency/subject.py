"""What is explained, and what an explanation is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

Faces = NDArray[np.uint8]
Vectors = NDArray[np.float32]
Scores = NDArray[np.float64]
MapArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Target:
    """The number a map explains: ``cos(f(x), mate)``, or with a non-mate the triplet margin
    ``cos(f(x), mate) - cos(f(x), non_mate)``.

    Attributes:
        mate, non_mate: (D,) embeddings.
    """

    mate: Vectors
    non_mate: Vectors | None = None

    def __post_init__(self) -> None:
        for vector in (self.mate, self.non_mate):
            if vector is not None and not (np.isfinite(vector).all() and vector.any()):
                raise InputError("a reference embedding is NaN, infinite or zero; there is nothing to compare with")

    @property
    def weights(self) -> Scores:
        """(D,) direction w with score = w . f(x) / |f(x)|."""
        unit = self.mate / np.linalg.norm(self.mate.astype(np.float64))
        if self.non_mate is not None:
            unit = unit - self.non_mate / np.linalg.norm(self.non_mate.astype(np.float64))
        return np.asarray(unit, np.float64)

    @property
    def parts(self) -> tuple[NDArray[Any] | None, ...]:
        """What names the target in a cache."""
        return (self.mate, self.non_mate)

    def told(self, vectors: Tensor) -> Tensor:
        """Return the scores of a tensor of embeddings, differentiable."""
        import torch

        direction = torch.from_numpy(self.weights.astype(np.float32))
        found: Tensor = (vectors @ direction) / vectors.norm(dim=1)
        return found

    def behind(self, embed: Callable[[Faces], Vectors], reference: Faces | None) -> Target:
        """Return the same question to another model, by which the reference is embedded anew."""
        assert reference is not None
        return Target(embed(reference[None])[0])

    def untrained(self, embed: Callable[[Faces], Vectors], reference: Faces | None) -> Target:
        """Return the same question to a model that has learnt nothing."""
        return self.behind(embed, reference)

    def score(self, vectors: Vectors) -> Scores:
        """Return (N,) scores of (N, D) embeddings; NaN where an embedding is unusable."""
        v = vectors.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((v @ self.weights) / np.linalg.norm(v, axis=1))


class Asked(Protocol):
    """The number a map explains, whatever it is of: a comparison (`Target`) or an answer (`heads.HeadTarget`)."""

    @property
    def parts(self) -> tuple[NDArray[Any] | None, ...]:
        """What names it in a cache."""
        ...

    def score(self, vectors: Vectors) -> Scores:
        """Return (N,) scores of what the model says."""
        ...

    def told(self, vectors: Tensor) -> Tensor:
        """Return the same of a tensor, differentiable."""
        ...

    def behind(self, embed: Callable[[Faces], Vectors], reference: Faces | None, /) -> Asked:
        """Return the same question to another model."""
        ...

    def untrained(self, embed: Callable[[Faces], Vectors], reference: Faces | None, /) -> Asked:
        """Return the same question to a model that has learnt nothing."""
        ...


@dataclass(frozen=True, eq=False)
class Explained:
    """A probe, the target its map explains, and the model behind it.

    Attributes:
        probe: (H, W, 3) uint8 RGB.
        target: the explained scalar.
        embed: (N, H, W, 3) uint8 -> (N, D) float32.
        batch_size: faces handed to `embed` at once; changes a map by no more than embeddings change with it.
        module: torch network (N, 3, H, W) in [0, 1] -> (N, D), or None for a model without gradients.
        reference: (H, W, 3) uint8, the mate's face, for methods that mask both faces; None when only its embedding is
            known.
        seed: of methods that draw random masks or noise.
        no_gradients: why `module` is None.
    """

    probe: Faces
    target: Asked
    embed: Callable[[Faces], Vectors]
    batch_size: int = 32
    module: Any = None
    reference: Faces | None = None
    seed: int = 0
    no_gradients: str = ""

    def __post_init__(self) -> None:
        if self.reference is not None and np.array_equal(self.reference, self.probe):
            raise InputError(
                "the probe is its own reference: a face compared with itself has no gradient and no explanation"
            )

    def scores(self, faces: Faces) -> Scores:
        """Return (N,) scores of faces."""
        return self.target.score(self.embed(faces))


@dataclass(frozen=True, eq=False)
class Saliency:
    """A map, or why there is none.

    Attributes:
        values: (H, W) float32, higher = the pixel supports the explained score more; None when `flag` says why.
        method: name.
        convention: what the sign means.
        flag: ``unsupported`` (the method is not defined for this model), ``constant`` or ``nan``: a degenerate map is
            no map, and never a hit.
        why: the reason behind a flag.
        forwards, backwards: passes of the network for this one map.
        settings: baseline, layer, seed and other choices.
    """

    values: MapArray | None
    method: str
    convention: str = "positive: supports the match"
    flag: str | None = None
    why: str = ""
    forwards: int = 0
    backwards: int = 0
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, values: NDArray[np.floating[Any]], method: str, **about: Any) -> Saliency:
        """Check a map: NaN and constant ones are flagged instead of kept."""
        if not np.isfinite(values).all():
            return cls(None, method, flag="nan", why="the map holds NaN or infinity", **about)
        if float(np.ptp(values)) <= 1e-12:
            return cls(None, method, flag="constant", why="every pixel of the map has the same value", **about)
        return cls(np.ascontiguousarray(values, dtype=np.float32), method, **about)

    @classmethod
    def unsupported(cls, method: str, why: str) -> Saliency:
        """Return the absence of a map a method cannot give for a model."""
        return cls(None, method, flag="unsupported", why=why)


class Uses(StrEnum):
    """What of a model a saliency method reads."""

    EMBEDDINGS = "embeddings"  # nothing but `embed`: any model can be explained
    LAYERS = "layers"  # what lies inside the network: activations, or signals sent back through it
    GRADIENTS = "gradients"  # the slope of the score with respect to pixels; held to the stricter control


@dataclass(frozen=True)
class Traits:
    """What a saliency method declares: what it reads of the model, and whether its map depends on the seed."""

    uses: Uses
    random: bool

    @property
    def needs_gradients(self) -> bool:
        """Whether the model must open its network."""
        return self.uses is not Uses.EMBEDDINGS


class Method(Protocol):
    """A saliency method: a function of what is explained and its own options, with what it `declares`."""

    traits: Traits

    def __call__(self, subject: Explained, **options: Any) -> Saliency:
        """Return the map."""
        ...


def declares(*, uses: str, random: bool) -> Callable[[Callable[..., Saliency]], Method]:
    """Return a decorator that makes a function a saliency method.

    Args:
        uses: ``embeddings``, ``layers`` or ``gradients``; see `Uses`.
        random: whether the map depends on ``subject.seed``.

    >>> @declares(uses="embeddings", random=False)
    ... def flat(subject): ...
    >>> flat.traits.needs_gradients
    False
    """

    def declared(function: Callable[..., Saliency]) -> Method:
        method: Any = function
        method.traits = Traits(Uses(uses), random)
        return method  # type: ignore[no-any-return]

    return declared
