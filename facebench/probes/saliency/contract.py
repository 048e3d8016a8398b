"""The contract every saliency method must keep, as one function plug-in authors can call from their own tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.metrics.streams import FIXED_SEED
from facebench.probes.saliency.subject import Explained, Saliency, Target, Traits, Uses

SIDE = 48


def check_saliency_contract(method: Any, name: str) -> None:
    """Check a saliency method on a network of one layer, whose score depends on the left half of a face alone.

    Raises:
        AssertionError: says which rule is broken.
    """
    traits = getattr(method, "traits", None)
    assert isinstance(traits, Traits), f"{name}: decorate the function with @declares(uses=..., random=...)"
    subject = _subject()
    before = subject.probe.copy()
    found = method(subject)
    assert np.array_equal(before, subject.probe), f"{name} changed the probe it was given"
    assert isinstance(found, Saliency), f"{name} returned {type(found).__name__}; expected Saliency.of(values, ...)"
    assert found.method, f"{name}: the map does not say its method"
    if found.values is None:
        assert found.flag, f"{name} returned no map and no reason"
        return
    assert found.values.shape == (SIDE, SIDE), f"{name} returned {found.values.shape} for a face of {SIDE} x {SIDE}"
    again = method(subject)
    assert np.array_equal(found.values, again.values), f"{name}: two maps of one question and seed differ"
    other = method(replace(subject, seed=subject.seed + 1))
    differs = not np.array_equal(found.values, other.values)
    assert traits.random or not differs, f"{name} depends on the seed; declare random=True"
    if traits.uses is not Uses.EMBEDDINGS:
        without = method(replace(subject, module=None, no_gradients="it has none"))
        assert without.flag == "unsupported", f"{name} needs the network, and does not say so when there is none"
    else:
        alone = method(replace(subject, module=None, no_gradients="it has none"))
        assert alone.values is not None, (
            f"{name} gives no map without the network; declare uses='layers' or 'gradients'"
        )


def _subject() -> Explained:
    import torch
    from torch import nn

    class Half(nn.Module):
        """Convolution and pooling, then a linear layer that sees the left half."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(FIXED_SEED)
            self.layers = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.ReLU(), nn.AvgPool2d(4))
            self.last = nn.Linear(8 * (SIDE // 8) ** 2, 16, bias=False)

        def forward(self, faces: torch.Tensor) -> torch.Tensor:
            left: torch.Tensor = torch.zeros_like(faces)
            left[..., : SIDE // 2] = 1
            embedded: torch.Tensor = self.last(self.layers(faces * left).flatten(1))
            return embedded

    network = Half().eval()

    def embed(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.no_grad():
            pixels = torch.from_numpy(np.ascontiguousarray(faces.transpose(0, 3, 1, 2))).float() / 255
            rows: NDArray[np.float32] = network(pixels).numpy()
        return rows

    rng = np.random.default_rng(FIXED_SEED)
    probe, mate = rng.integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.uint8)
    return Explained(probe, Target(embed(mate[None])[0]), embed, module=network, reference=mate)
