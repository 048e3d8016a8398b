"""The one place where foolbox is imported."""

from __future__ import annotations

import os
import warnings

from torch import Tensor

from facebench.probes.attacks.head import PairHead

# foolbox asks for git while it is imported, and fails where there is none
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it takes gaussian_filter from SciPy's old place
    import foolbox
    from foolbox.criteria import Misclassification

__all__ = ["Misclassification", "foolbox", "wrap"]


def wrap(head: PairHead) -> foolbox.PyTorchModel:
    """Return the head as foolbox wants it; images are in [0, 1]."""
    templates: Tensor = head.templates
    return foolbox.PyTorchModel(head, bounds=(0, 1), device=templates.device)
