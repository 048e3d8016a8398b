"""Which attacks of a protocol a model cannot be asked, and why; known before the work."""

from __future__ import annotations

from typing import Any

from facebench.errors import InputError
from facebench.models.gradients import why_no_gradients
from facebench.schema import ProtocolSpec, Unmeasured
from facebench.schema.attacks import Knowledge


def attack_needs(model: Any, spec: ProtocolSpec) -> tuple[Unmeasured, ...]:
    """Return the cells that ask for gradients of a model that gives none.

    Raises:
        InputError: the model's adapter has no gradients, and the section asks for nothing else.
    """
    asked = spec.robustness.attacks if spec.robustness else None
    if asked is None or spec.robustness is None:
        return ()
    cells = [cell for cell in asked.cells if cell.knowledge is Knowledge.WHITE_BOX]
    reason = why_no_gradients(model) if cells else None
    if reason is None:
        return ()
    why = f"a white-box attack needs gradients: {reason}; or use black-box and transfer cells"
    if len(cells) == len(asked.cells) and not spec.robustness.conditions and not hasattr(model, "module"):
        raise InputError(f"model {model.card.name}: no cell of robustness.attacks can be run: {why}")
    return tuple(Unmeasured(what=cell.condition(None), why=why) for cell in cells)
