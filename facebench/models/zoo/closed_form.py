"""Model phantoms whose robustness is known exactly: they show whether an attack and its checks tell the truth.

The embedding of a face x is ``(cos p, sin p)`` with the phase ``p = a <w, x>``, pixels in [0, 1]. Two faces are
accepted while their phases differ by at most ``arccos(threshold)``, so with ``D`` the difference of the phases the
distance of a pair to the threshold is ``|arccos(threshold) - |D|| / (a |w|_1)`` in Linf and ``... / (a |w|_2)`` in L2,
as long as no pixel meets the ends of its range.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from facebench.schema import InputSpec, ModelCard

if TYPE_CHECKING:
    from torch import Tensor, nn


class Fault(StrEnum):
    """What is wrong with a phantom, on purpose."""

    NONE = "none"
    MASKED = "masked"  # the phase is rounded to steps: the gradient is zero, the model no more robust
    RANDOM = "random"  # every call adds noise to the phase
    NAN = "nan"  # the gradient is NaN


class ClosedFormModel:
    """A face model with closed-form distances to any threshold.

    Args:
        slope: a; the Linf distances of two models are in the inverse ratio of their slopes.
        shape: height and width of the faces.
        weights: (H, W, 3) w; default: the same everywhere, with ``|w|_1 = 1``.
        fault: what is wrong with it.
    """

    def __init__(
        self,
        slope: float,
        *,
        shape: tuple[int, int] = (112, 112),
        weights: NDArray[np.float64] | None = None,
        fault: Fault = Fault.NONE,
    ) -> None:
        size = (*shape, 3)
        self.weights = np.full(size, 1 / np.prod(size)) if weights is None else weights
        self.slope = slope
        self.fault = fault
        self.card = ModelCard(
            name=f"closed-form-{slope:g}{'' if fault is Fault.NONE else f'-{fault}'}", adapter="closed-form",
            embedding_dim=2, input=InputSpec(height=shape[0], width=shape[1], alignment="none"),
            options={"slope": slope, "fault": fault.value},
        )  # fmt: skip

    def embed(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (N, 2) embeddings of (N, H, W, 3) uint8 faces."""
        import torch

        with torch.no_grad():
            pixels = torch.from_numpy(faces.transpose(0, 3, 1, 2).astype(np.float64) / 255)
            found: NDArray[np.float32] = self.module()(pixels).numpy().astype(np.float32)
        return found

    def module(self) -> nn.Module:
        """Return the model as a network from (N, 3, H, W) floats in [0, 1] to (N, 2)."""
        return _network(self.weights, self.slope, self.fault)

    def distance(
        self, probes: NDArray[np.uint8], enrolled: NDArray[np.uint8], threshold: float, *, norm: str = "linf"
    ) -> NDArray[np.float64]:
        """Return (N,) how far each pair of faces is from the threshold, on pixels in [0, 1]; L2 is not divided."""
        phases = [(faces / 255 * self.weights).sum((1, 2, 3)) * self.slope for faces in (probes, enrolled)]
        size = np.abs(self.weights).sum() if norm == "linf" else np.linalg.norm(self.weights)
        found: NDArray[np.float64] = np.abs(np.arccos(threshold) - np.abs(phases[0] - phases[1])) / (self.slope * size)
        return found


def _network(weights: NDArray[np.float64], slope: float, fault: Fault) -> nn.Module:
    import torch

    class Phase(torch.nn.Module):
        """The closed-form embedding."""

        def __init__(self) -> None:
            super().__init__()
            self.weights = torch.from_numpy(np.ascontiguousarray(weights.transpose(2, 0, 1)))

        def forward(self, faces: Tensor) -> Tensor:
            phase = slope * (faces.double() * self.weights.to(faces.device)).flatten(1).sum(1)
            if fault is Fault.MASKED:
                phase = torch.round(phase * 200) / 200
            elif fault is Fault.RANDOM:
                phase = phase + 0.05 * torch.randn_like(phase)
            elif fault is Fault.NAN:
                phase = phase + torch.sqrt((phase - phase.detach()) * 0)
            return torch.stack([torch.cos(phase), torch.sin(phase)], dim=1).to(faces.dtype)

    return Phase().eval()
