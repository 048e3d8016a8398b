"""How a protocol makes one embedding of the several images of a template."""

from __future__ import annotations

from pydantic import Field

from facebench.schema._base import Strict


class TemplateSpec(Strict):
    """The options of pooling; all are stated, because public codes mean different things by their short names."""

    normalise_first: bool = Field(description="N: each embedding is brought to length 1 before it is averaged")
    detector_weight: bool = Field(description="D: each embedding is multiplied by the detector's score of its face")
    flip: bool = Field(description="F: the embedding of the mirrored face is added to that of the face")

    def letters(self) -> str:
        """Return the options in use, such as ``N+F``; ``none`` without any.

        >>> TemplateSpec(normalise_first=True, detector_weight=False, flip=True).letters()
        'N+F'
        """
        used = {"N": self.normalise_first, "D": self.detector_weight, "F": self.flip}
        return "+".join(letter for letter, on in used.items() if on) or "none"
