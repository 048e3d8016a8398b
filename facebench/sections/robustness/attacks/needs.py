"""Which attacks of a protocol a model cannot be asked, and why; known before the work."""

from __future__ import annotations

from typing import Any

from facebench.errors import InputError
from facebench.models.gradients import why_no_gradients
from facebench.schema import ProtocolSpec, Unmeasured
from facebench.schema.attacks import AttackSpec, Knowledge, Norm


def attack_needs(model: Any, spec: ProtocolSpec) -> tuple[Unmeasured, ...]:
    """Return the cells that ask for gradients of a model that gives none.

    Raises:
        InputError: the model's adapter has no gradients, and the section asks for nothing else; a cell is not known for
            answers.
    """
    asked = spec.robustness.attacks if spec.robustness else None
    if asked is None or spec.robustness is None:
        return ()
    if spec.task is not None:
        _check_answers(spec, asked)
    cells = [cell for cell in asked.cells if cell.knowledge is Knowledge.WHITE_BOX]
    reason = why_no_gradients(model) if cells else None
    if reason is None:
        return ()
    others = "" if spec.task is not None else "; or use black-box and transfer cells"
    why = f"a white-box attack needs gradients: {reason}{others}"
    if len(cells) == len(asked.cells) and not spec.robustness.conditions and not hasattr(model, "module"):
        raise InputError(f"model {model.card.name}: no cell of robustness.attacks can be run: {why}")
    return tuple(Unmeasured(what=cell.condition(None), why=why) for cell in cells)


def _check_answers(spec: ProtocolSpec, asked: AttackSpec) -> None:
    """Refuse what is not known for attacks on answers."""
    for key in ("fmr_target", "operating_point", "save_examples"):
        if getattr(asked, key):
            raise InputError(f"protocol {spec.name}: robustness.attacks.{key} is about comparisons; leave it out")
    for cell in asked.cells:
        if cell.knowledge is not Knowledge.WHITE_BOX or cell.norm is Norm.PATTERN:
            raise InputError(
                f"protocol {spec.name}: {cell.condition(None)}: attacks on answers are white-box and bounded by a "
                'norm, such as {attack: pgd, goal: answer, eps: ["2/255", "8/255"]}'
            )
