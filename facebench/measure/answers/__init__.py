"""From answers to estimates: whatever a model says of single images, judged against what is known of them."""

from facebench.measure.answers.measure import measure_answers
from facebench.measure.answers.truth import check_model

__all__ = ["check_model", "measure_answers"]
