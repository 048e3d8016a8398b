"""What a verdict is made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Tone(StrEnum):
    """How a statement is marked: by a word and a shape, never by colour alone."""

    PLAIN = "plain"
    FINDING = "finding"
    UNKNOWN = "unknown"
    CAUTION = "caution"


@dataclass(frozen=True)
class Statement:
    """One part of the verdict: a headline that stands alone, and the numbers behind it."""

    topic: str
    tone: Tone
    headline: str
    detail: str = ""
    grouping: str | None = None

    @property
    def text(self) -> str:
        """The statement as running text."""
        return f"{self.headline} {self.detail}".strip()
