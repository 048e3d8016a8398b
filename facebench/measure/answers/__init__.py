"""From answers to estimates: whatever a model says of single images, judged against what is known of them."""

from facebench.measure.answers.measure import measure_answers

__all__ = ["measure_answers"]
