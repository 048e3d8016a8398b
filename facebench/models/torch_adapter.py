"""Adapter ``torch``: a network built by a Python factory, with weights from safetensors or a state dict."""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError, ModelError
from facebench.files import sha256_bytes, sha256_file
from facebench.models.load import LoadContext
from facebench.models.preprocess import embed_flipped, prepare
from facebench.models.protocol import Embeddings, Faces
from facebench.schema import Colour, Flip, InputSpec, Layout, ModelCard

if TYPE_CHECKING:
    from torch import Tensor, nn


class TorchModel:
    """A face model run by PyTorch."""

    def __init__(self, network: nn.Module, card: ModelCard, spec: InputSpec, device: str) -> None:
        self.card = card
        self._network = network
        self._spec = spec
        self._device = device

    def embed(self, faces: Faces) -> Embeddings:
        """Return (N, D) float32 embeddings of (N, H, W, 3) uint8 RGB aligned faces."""
        if not len(faces):
            return np.empty((0, self.card.embedding_dim), np.float32)
        return embed_flipped(self._forward, faces, self._spec)

    def with_input(self, spec: InputSpec) -> TorchModel:
        """Return the same network fed in another way; the preflight checks try alternatives."""
        return type(self)(self._network, self.card.model_copy(update={"input": spec}), spec, self._device)

    def module(self) -> nn.Module:
        """Return the network behind its preprocessing: (N, 3, H, W) floats in [0, 1] of aligned faces to (N, D)."""
        return _whole(self._network, self._spec)

    def _forward(self, batch: NDArray[np.float32]) -> Embeddings:
        import torch

        with torch.inference_mode():
            output = self._network(torch.from_numpy(batch).to(self._device))
        if not isinstance(output, torch.Tensor) or output.ndim != 2 or len(output) != len(batch):
            found = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
            raise ModelError(f"model {self.card.name}: the network returned {found}; expected ({len(batch)}, D)")
        return output.float().cpu().numpy()


class PatchTorchModel(TorchModel):
    """A face model whose network also tells the features of patches of a face.

    The network has a method ``embed_patches(x)`` that takes the same input as the network and returns (N, D, h, w),
    such as the map before its last pooling, or (N, P, D).
    """

    def embed_patches(self, faces: Faces) -> Embeddings:
        """Return (N, P, D) float32 features of P patches of (N, H, W, 3) uint8 RGB aligned faces; no mirror images."""
        import torch

        batch = torch.from_numpy(prepare(faces, self._spec)).to(self._device)
        with torch.inference_mode():
            found = self._network.embed_patches(batch)  # type: ignore[operator]
        if not isinstance(found, torch.Tensor) or found.ndim not in (3, 4) or len(found) != len(faces):
            shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise ModelError(
                f"model {self.card.name}: embed_patches returned {shape}; expected ({len(faces)}, D, h, w) or "
                f"({len(faces)}, P, D)"
            )
        if found.ndim == 4:
            found = found.flatten(2).transpose(1, 2)
        return found.float().cpu().numpy()


def _whole(network: nn.Module, spec: InputSpec) -> nn.Module:
    import torch

    class Whole(torch.nn.Module):
        """Crop, resize, order, normalise and embed, all differentiable."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, faces: Tensor) -> Tensor:
            plain: Tensor = self.network(_prepare(faces, spec))
            if spec.flip is Flip.NONE:
                return plain
            mirrored: Tensor = self.network(_prepare(faces.flip(3), spec))
            return plain + mirrored if spec.flip is Flip.SUM else torch.cat([plain, mirrored], dim=1)

    return Whole().eval()


def _prepare(faces: Tensor, spec: InputSpec) -> Tensor:
    import torch

    if spec.crop is not None:
        top, left, bottom, right = spec.crop
        faces = faces[:, :, top:bottom, left:right]
    if tuple(faces.shape[2:]) != (spec.height, spec.width):
        size = (spec.height, spec.width)
        faces = torch.nn.functional.interpolate(faces, size, mode="bilinear", align_corners=False, antialias=True)
    if spec.colour is Colour.BGR:
        faces = faces.flip(1)
    mean, std = (
        torch.tensor(v, dtype=faces.dtype, device=faces.device).reshape(-1, 1, 1) for v in (spec.mean, spec.std)
    )
    values = (faces * 255 - mean) / std
    return values if spec.layout is Layout.NCHW else values.permute(0, 2, 3, 1)


def load(context: LoadContext) -> TorchModel:
    """Build the adapter from a model file.

    Raises:
        InputError: `--trust-code` was not given, or a key is missing or wrong.
        ModelError: the factory fails, or the weights do not fit the network.
    """
    spec, given = context.model_file(), context.input()
    if not spec.factory:
        raise InputError(f"model {spec.name}: key 'factory' is missing; write package.module:function")
    if not context.trust_code:
        raise InputError(
            f"model {spec.name} runs Python code ({spec.factory}); read it, and if you trust it say --trust-code"
        )
    weights = context.weights()
    tensors = _read_weights(weights, spec.state_dict_key)
    network, code = _build(spec.factory, context.folder, spec.name)
    _fill(network, tensors, weights)
    network = network.eval().to(_device(context.device))
    card = ModelCard(
        name=spec.name,
        adapter="torch",
        revision=spec.revision,
        weights_sha256=sha256_file(weights),
        licence=spec.licence,
        training_data=spec.training_data,
        input=given,
        embedding_dim=1,
        comparator=spec.comparator,
        code=code,
        options=spec.options,
    )
    probe = TorchModel(network, card, given, context.device)
    side = (max(given.crop[2], 112), max(given.crop[3], 112)) if given.crop else (112, 112)
    dim = probe.embed(np.zeros((1, *side, 3), np.uint8)).shape[1]
    kind = PatchTorchModel if hasattr(network, "embed_patches") else TorchModel
    return kind(network, card.model_copy(update={"embedding_dim": dim}), given, context.device)


def _device(name: str) -> str:
    import torch

    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError("PyTorch finds no GPU here; use --device cpu")
    try:
        torch.device(name)
    except RuntimeError:
        raise InputError(f"unknown device {name!r}; known: cpu, cuda, cuda:<number>") from None
    return name


def _build(factory: str, folder: Path, name: str) -> tuple[nn.Module, str]:
    """Import and call the factory; return the network and which code it was, by sha256."""
    import torch

    module_name, colon, function = factory.partition(":")
    if not colon or not module_name or not function:
        raise InputError(f"model {name}: factory {factory!r} must be package.module:function")
    sys.path.insert(0, str(folder))
    try:
        module = import_module(module_name)
        network = getattr(module, function)()
    except Exception as error:  # the user's code may fail in any way
        raise ModelError(f"model {name}: factory {factory} failed: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(folder))
    if not isinstance(network, torch.nn.Module):
        raise ModelError(f"model {name}: factory {factory} returned {type(network).__name__}, not a torch.nn.Module")
    source = inspect.getsourcefile(module)
    digest = sha256_bytes(Path(source).read_bytes()) if source else "unknown"
    return network, f"{factory} sha256:{digest}"


def _read_weights(path: Path, key: str | None) -> dict[str, Any]:
    """Read tensors without running anything a pickle may hold."""
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many types for damaged or refused files
        text = str(error).splitlines()[0]
        raise ModelError(f"{path} is not a plain state dict or safetensors file: {text}") from error
    if key is not None:
        if not isinstance(found, dict) or key not in found:
            known = ", ".join(map(str, list(found)[:8])) if isinstance(found, dict) else type(found).__name__
            raise InputError(f"{path} has no key {key!r} (state_dict_key); it holds: {known}")
        found = found[key]
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        inner = [k for k, v in found.items() if isinstance(v, dict)] if isinstance(found, dict) else []
        hint = f"; write state_dict_key: {inner[0]}" if inner else ""
        raise InputError(f"{path} does not hold tensors by name at its top{hint}")
    return found


def _fill(network: nn.Module, tensors: dict[str, Any], path: Path) -> None:
    own = network.state_dict()
    missing, extra = sorted(set(own) - set(tensors)), sorted(set(tensors) - set(own))
    shapes = [k for k in own if k in tensors and own[k].shape != tensors[k].shape]
    if missing or extra or shapes:
        kinds = (("missing", missing), ("unexpected", extra), ("of another shape", shapes))
        text = "; ".join(f"{len(keys)} {kind} ({', '.join(keys[:3])})" for kind, keys in kinds if keys)
        raise ModelError(f"the weights in {path} do not fit the network: {text}")
    network.load_state_dict(tensors, strict=True)
