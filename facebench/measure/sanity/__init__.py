"""Signs that the pipeline around a model is broken: scores that say nothing, pictures that are no aligned faces."""

from facebench.measure.sanity.answers import answer_doubts
from facebench.measure.sanity.doubts import file_doubts, picture_doubts, score_doubts

__all__ = ["answer_doubts", "file_doubts", "picture_doubts", "score_doubts"]
