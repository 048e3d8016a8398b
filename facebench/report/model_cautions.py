"""What a reader must know of the model itself before trusting any number of it."""

from __future__ import annotations

from collections.abc import Iterator

from facebench.report import format as fmt
from facebench.schema import Comparator, Result
from facebench.schema.model import FEW_DIMENSIONS


def model_cautions(result: Result) -> Iterator[str]:
    """Yield cautions in sentences: a model that does not repeat itself, or a very short embedding."""
    again, card = result.run.reembedded, result.model
    if again is not None and again.differs:
        size = (
            "the model failed on that batch"
            if again.largest_difference is None
            else f"values of vectors of length 1 moved by up to {fmt.number(again.largest_difference)}"
        )
        yield (
            f"The model does not repeat itself: {fmt.k_of_n(again.n_differing, again.n_images)} images gave another "
            f"embedding the second time, in another batch ({size}). It is random, or depends on the other images of "
            "the batch, so every number here is of one draw. Find the cause with `facebench check`."
        )
    if card.comparator is not Comparator.EXTERNAL and card.embedding_dim < FEW_DIMENSIONS:
        yield (
            f"The embedding has only {fmt.plural(card.embedding_dim, 'value')}: a norm, class scores or an age may "
            "have been taken for it."
        )
