"""Attacks that look for the smallest change: CW, DDN, DeepFool, FMN and EAD through foolbox."""

from __future__ import annotations

import torch
from torch import Tensor

from facebench.probes.attacks._foolbox import Misclassification, foolbox, wrap
from facebench.probes.attacks.head import PairHead, succeeded


def smallest(head: PairHead, faces: Tensor, labels: Tensor, *, name: str, norm: str, steps: int, seed: int) -> Tensor:
    """Return (N, 3, H, W): the closest adversarial face found, or the face itself where none was.

    foolbox's CW and EAD return black images where they fail, and stop a whole batch when its summed loss stalls
    (``abort_early``, off here): each face is judged again, and one that does not cross the threshold is put back.
    DDN and FMN draw from torch's global generator where a gradient is zero, so that is seeded.

    Args:
        name: cw, ddn, deepfool, fmn or ead.
        norm: linf or l2, for deepfool.
        seed: of the batch.
    """
    attack = {
        "cw": lambda: foolbox.attacks.L2CarliniWagnerAttack(
            binary_search_steps=5, steps=steps, stepsize=0.01, initial_const=1.0, abort_early=False
        ),
        "ddn": lambda: foolbox.attacks.DDNAttack(steps=steps),
        "deepfool": lambda: (
            foolbox.attacks.LinfDeepFoolAttack if norm == "linf" else foolbox.attacks.L2DeepFoolAttack
        )(steps=steps),
        "fmn": lambda: foolbox.attacks.LInfFMNAttack(steps=steps),
        "ead": lambda: foolbox.attacks.EADAttack(
            binary_search_steps=5, steps=steps, initial_const=1.0, abort_early=False, decision_rule="L1"
        ),
    }[name]()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        found: Tensor = attack.run(wrap(head), faces, Misclassification(labels))
    found = torch.where(torch.isfinite(found), found, faces)
    with torch.no_grad():
        crossed = succeeded(head.margin(found), labels)
    return torch.where(crossed[:, None, None, None], found, faces)
