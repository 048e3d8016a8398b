"""The number a map of an answer explains: the log odds of a class, a label or a score, or a value itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from facebench.probes.saliency.controls import RANDOM_DIM
from facebench.probes.saliency.subject import Faces, Scores, Vectors

if TYPE_CHECKING:
    from torch import Tensor

_LEAST = 1e-6  # a probability, before its log odds


@dataclass(frozen=True, eq=False)
class HeadTarget:
    """One number of one head.

    Attributes:
        numbers: where the head stands in a row of answers.
        places: which of its numbers are explained together, such as the words for one class.
        kind: ``logits``: log odds of these numbers against all others, or a single logit; ``probabilities``: log odds
            of their sum; ``values``: the number itself.
    """

    numbers: slice
    places: tuple[int, ...]
    kind: Literal["logits", "probabilities", "values"]

    @property
    def parts(self) -> tuple[NDArray[Any], ...]:
        """What names the target in a cache."""
        whole = [self.numbers.start, self.numbers.stop, *self.places]
        return (np.array(whole), np.frombuffer(self.kind.encode(), np.uint8))

    def score(self, vectors: Vectors) -> Scores:
        """Return (N,) scores of (N, W) answers; NaN where there is none."""
        import torch

        found = self.told(torch.from_numpy(np.nan_to_num(vectors.astype(np.float64)))).numpy()
        return np.where(np.isfinite(vectors[:, self.numbers]).all(axis=1), found, np.nan)

    def told(self, vectors: Tensor) -> Tensor:
        """Return the same of a tensor, differentiable."""
        import torch

        own = vectors[:, self.numbers]
        chosen = own[:, list(self.places)]
        if self.kind == "values":
            return chosen.sum(1)
        if self.kind == "probabilities":
            share = chosen.sum(1).clamp(_LEAST, 1 - _LEAST)
            return torch.log(share) - torch.log1p(-share)
        others = [place for place in range(own.shape[1]) if place not in self.places]
        odds = torch.logsumexp(chosen, 1)
        return odds - torch.logsumexp(own[:, others], 1) if others else odds

    def behind(self, _embed: Callable[[Faces], Vectors], _reference: Faces | None) -> HeadTarget:
        """Return the same question to another model with the same heads."""
        return self

    def untrained(self, _embed: Callable[[Faces], Vectors], _reference: Faces | None) -> HeadTarget:
        """Return a question to a model that has learnt nothing and has no heads: one of its numbers."""
        place = (self.numbers.start + self.places[0]) % RANDOM_DIM
        return HeadTarget(slice(place, place + 1), (0,), "values")
