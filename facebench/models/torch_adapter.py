"""Adapter ``torch``: a network built by a Python factory, with weights from safetensors or a state dict."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from facebench.errors import FaceBenchError, InputError, ModelError
from facebench.files import sha256_file
from facebench.models.context import LoadContext
from facebench.models.outputs import NO_MIRROR, embedding_width, unequal
from facebench.models.preprocess import LUMINANCE, embed_flipped, prepare
from facebench.models.protocol import Embeddings, Faces
from facebench.models.state_dict import fill, read_state_dict
from facebench.models.torch_outputs import answers_of, embedding_of
from facebench.models.user_code import UserCode
from facebench.schema import Colour, Flip, InputSpec, Layout, ModelCard

if TYPE_CHECKING:
    from torch import Tensor, nn


class TorchModel:
    """A face model run by PyTorch."""

    def __init__(
        self, network: nn.Module, card: ModelCard, spec: InputSpec, device: str, code: UserCode | None = None
    ) -> None:
        self.card = card
        self.device = device
        self._network = network
        self._spec = spec
        self._code = code

    def embed(self, faces: Faces) -> Embeddings:
        """Return (N, D) float32 embeddings of (N, H, W, 3) uint8 RGB aligned faces."""
        if not len(faces):
            return np.empty((0, self.card.embedding_dim), np.float32)
        return embed_flipped(self._forward, faces, self._spec)

    def with_input(self, spec: InputSpec) -> TorchModel:
        """Return the same network fed in another way; the preflight checks try alternatives."""
        card = self.card.model_copy(update={"input": spec})
        return type(self)(self._network, card, spec, self.device, self._code)

    def module(self) -> nn.Module:
        """Return the network behind its preprocessing: (N, 3, H, W) floats in [0, 1] of aligned faces to (N, D)."""
        return _whole(self._call, self._network, self._spec)

    def active(self) -> AbstractContextManager[None]:
        """Let the network import what lies beside it."""
        return self._code.active() if self._code else nullcontext()

    def _call(self, network: nn.Module, batch: Tensor) -> Tensor:
        """Return (N, D) that a network, this one or a copy, makes of its input."""
        with self.active():
            found = network(batch)
        if self.card.outputs is not None:
            return answers_of(found, self.card.outputs, len(batch), self.card.name)
        output = embedding_of(found, self.card.output, self.card.name)
        return output.reshape(len(batch), embedding_width(output.shape, len(batch), f"model {self.card.name}"))

    def _forward(self, batch: NDArray[np.float32]) -> Embeddings:
        import torch

        try:
            with torch.inference_mode():
                return self._call(self._network, torch.from_numpy(batch).to(self.device)).float().cpu().numpy()
        except FaceBenchError:
            raise
        except (Exception, SystemExit) as error:  # the user's code may fail in any way
            raise ModelError(
                f"model {self.card.name}: the network failed on {len(batch)} faces: {type(error).__name__}: {error}"
            ) from error


class PatchTorchModel(TorchModel):
    """A face model whose network also tells the features of patches of a face.

    The network has a method ``embed_patches(x)`` that takes the same input as the network and returns (N, D, h, w),
    such as the map before its last pooling, or (N, P, D).
    """

    def embed_patches(self, faces: Faces) -> Embeddings:
        """Return (N, P, D) float32 features of P patches of (N, H, W, 3) uint8 RGB aligned faces; no mirror images."""
        import torch

        batch = torch.from_numpy(prepare(faces, self._spec)).to(self.device)
        with torch.inference_mode(), self.active():
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


def _whole(call: Callable[[nn.Module, Tensor], Tensor], network: nn.Module, spec: InputSpec) -> nn.Module:
    import torch

    class Whole(torch.nn.Module):
        """Crop, resize, order, normalise and embed, all differentiable."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, faces: Tensor) -> Tensor:
            plain: Tensor = call(self.network, _prepare(faces, spec))
            if spec.flip is Flip.NONE:
                return plain
            mirrored: Tensor = call(self.network, _prepare(faces.flip(3), spec))
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
    elif spec.colour is Colour.GREY:
        weights = torch.from_numpy(LUMINANCE).to(faces)
        faces = (faces * weights.reshape(1, 3, 1, 1)).sum(1, keepdim=True)
    mean, std = (
        torch.tensor(v, dtype=faces.dtype, device=faces.device).reshape(-1, 1, 1) for v in (spec.mean, spec.std)
    )
    values = (faces * 255 - mean) / std
    return values if spec.layout is Layout.NCHW else values.permute(0, 2, 3, 1)


def load(context: LoadContext) -> TorchModel:
    """Run a PyTorch network: weights as safetensors or a state dict, and a factory of the module.

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
    if spec.outputs and given.flip is not Flip.NONE:
        raise InputError(f"model {spec.name}: {NO_MIRROR}")
    weights, code = context.weights(), UserCode(context.folder)
    tensors = read_state_dict(weights, spec.state_dict_key, spec.state_dict_ignore)
    network = _build(spec.factory, code, spec.name)
    fill(network, tensors, spec.state_dict_prefix, weights)
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
        options=spec.options,
        output=None if spec.outputs else spec.output,
        outputs=spec.outputs,
    )
    probe = TorchModel(network, card, given, context.device, code)
    side = (max(given.crop[2], 112), max(given.crop[3], 112)) if given.crop else (112, 112)
    faces = np.zeros((2, *side, 3), np.uint8)
    faces[1] = 255
    widths = {probe.embed(part).shape[1] for part in (faces, faces[:1])}
    if len(widths) > 1:
        raise unequal(widths, f"model {spec.name}: its output")
    # after a first call, so that what the network imports only then is known as well
    card = card.model_copy(update={"embedding_dim": widths.pop(), "code": code.digest(spec.factory)})
    kind = PatchTorchModel if hasattr(network, "embed_patches") else TorchModel
    return kind(network, card, given, context.device, code)


def _device(name: str) -> str:
    import torch

    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError("PyTorch finds no GPU here; use --device cpu")
    try:
        torch.device(name)
    except RuntimeError:
        raise InputError(f"unknown device {name!r}; known: cpu, cuda, cuda:<number>") from None
    return name


def _build(factory: str, code: UserCode, name: str) -> nn.Module:
    """Import and call the factory, and return its network."""
    import torch

    module_name, colon, function = factory.partition(":")
    if not colon or not module_name or not function:
        raise InputError(f"model {name}: factory {factory!r} must be package.module:function")
    try:
        with code.active():
            network = getattr(code.import_module(module_name), function)()
    except (Exception, SystemExit) as error:  # the user's code may fail in any way
        raise ModelError(f"model {name}: factory {factory} failed: {type(error).__name__}: {error}") from error
    if not isinstance(network, torch.nn.Module):
        raise ModelError(f"model {name}: factory {factory} returned {type(network).__name__}, not a torch.nn.Module")
    return network
