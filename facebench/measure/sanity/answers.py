"""What makes answers doubtful: all alike, or scores that point the other way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facebench.schema import Doubt, Estimate, ModelCard
from facebench.schema.task import AnyTask, ScoreTask

_ALIKE = 1e-6


def answer_doubts(
    task: AnyTask, card: ModelCard, vectors: NDArray[np.float32], estimates: Sequence[Estimate]
) -> list[Doubt]:
    """Return what is doubtful in answers.

    Args:
        task: of the protocol.
        card: of the model, which names its outputs.
        vectors: (N, W) answers of all heads side by side, rows of NaN for none.
        estimates: of the result.
    """
    _, place = card.head(task.head)
    given = vectors[:, place]
    given = given[np.isfinite(given).all(axis=1)]
    if len(given) > 1 and float(np.ptp(given, axis=0).max()) <= _ALIKE:
        seen = f"all {len(given):,} answers of {task.head} are equal"
        cause = "does the model react to its input: are the weights loaded, and is the scale of the input right?"
        return [Doubt(about="constant", seen=seen, cause=cause)]
    area = next((e for e in estimates if e.metric == "answer_auc" and e.group == "all" and e.of is None), None)
    if isinstance(task, ScoreTask) and area is not None and area.ci_high is not None and area.ci_high < 0.5:
        seen = f"the scores look reversed: AUC {area.value:.3f} ({area.ci_low:.3f} to {area.ci_high:.3f})"
        cause = "do high scores mean an attack? Then say task.higher: attack; is task.score the right number?"
        return [Doubt(about="reversed", seen=seen, cause=cause)]
    return []
