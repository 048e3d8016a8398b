"""Looks for hidden gradients on a few rows of a white-box cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from facebench.schema.attack_report import Signs
from facebench.schema.attacks import AttackCell

RESCALED = 4.0
RESCALED_PAIRS, RESCALED_STEPS = 4, 10


def signs_of(cell: AttackCell, rows: Any, target: Any, counts: Mapping[str, float], device: str) -> tuple[Signs, int]:
    """Return what a few rows say of the model's gradients, and how many passes the question took.

    Args:
        cell: a white-box cell.
        rows: `probes.attacks.batch.Rows`, the few.
        target: `probes.attacks.batch.Target` of these rows.
        counts: what the cell's own batches counted.
        device: of the network.
    """
    from facebench.probes.attacks.batch import check_masking, run_gradient

    found, ledger = check_masking(rows, target, device=device)
    spent = ledger.forwards + ledger.backwards
    rescaled = None
    if cell.attack in ("fgsm", "bim", "pgd", "mim"):
        few = rows.some(np.arange(min(len(rows), RESCALED_PAIRS)))
        aim = replace(target, templates=target.templates[: len(few)])
        short = _short(cell)
        again = [run_gradient(short, few, aim, scale=scale, device=device) for scale in (1.0, RESCALED)]
        rescaled = float((again[0].crossed == again[1].crossed).mean())
        spent += sum(one.ledger.forwards + one.ledger.backwards for one in again)
    seen = max(counts["gradient_rows"], 1)
    return Signs(
        n_pairs=len(rows), zero_gradients=counts["zero_rows"] / seen, broken_gradients=counts["broken_rows"] / seen,
        agreement=found.agreement, free=found.free, scatter=found.scatter, rescaled=rescaled, broken=found.broken,
    ), spent  # fmt: skip


def _short(cell: AttackCell) -> AttackCell:
    """Return the cell at its middle budget, once and with few steps."""
    eps = (cell.eps[len(cell.eps) // 2],)
    steps = min(cell.steps or cell.known.steps or 1, RESCALED_STEPS)
    return cell.model_copy(update={"eps": eps, "restarts": 1, "steps": steps})
