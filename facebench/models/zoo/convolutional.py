"""The convolutional reference models as FaceBench meets them: weights, card and adapter."""

from __future__ import annotations

from pathlib import Path

from facebench.errors import ModelError
from facebench.files import sha256_file
from facebench.models.context import LoadContext
from facebench.models.torch_adapter import TorchModel
from facebench.models.zoo.network import DIM, INPUT, Network
from facebench.models.zoo.recipes import Recipe, recipe
from facebench.models.zoo.training_faces import POOL
from facebench.schema import ModelCard

WEIGHTS = Path(__file__).resolve().parent / "weights"


def load(context: LoadContext) -> TorchModel:
    """Load a shipped model by its name, or weights trained again through a model file with that adapter."""
    if context.spec is not None:
        return load_weights(context.spec.adapter, context.weights(), context.device, called=context.spec.name)
    own = recipe(context.name)
    return load_weights(context.name, WEIGHTS / f"{own.weights_of or context.name}.safetensors", context.device)


def load_weights(name: str, path: Path, device: str = "cpu", *, called: str = "") -> TorchModel:
    """Load a reference model from a file of weights, shipped or trained again; `called` renames it.

    Raises:
        ModelError: the file is missing, damaged, or belongs to another network.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    own = recipe(name)
    if not path.is_file():
        raise ModelError(f"the weights of {name} are missing ({path}); reinstall facebench, or train them: "
                         f"facebench zoo train {name} --out FILE")  # fmt: skip
    network = Network(own.view)
    try:
        tensors = {key: value.float() for key, value in load_file(path).items()}
        counters = {key: value for key, value in network.state_dict().items() if not value.is_floating_point()}
        network.load_state_dict({**tensors, **counters})
    except (SafetensorError, RuntimeError) as error:
        raise ModelError(f"{path} does not hold the weights of {name}: {str(error).splitlines()[0]}") from error
    network.eval().requires_grad_(False).to(torch.device(device))
    return TorchModel(network, card(called or name, own, sha256_file(path)), INPUT, device)


def card(name: str, own: Recipe, weights_sha256: str) -> ModelCard:
    """Return what a result says of a reference model; `options` tells how it was trained and what was planted."""
    pool = POOL[0]
    options = {
        "summary": own.summary,
        "loss": own.loss,
        "loss_settings": dict(own.settings),
        "training_identities": own.people.value,
        "view": own.view.value,
        "planted": own.planted or "nothing",
        "seed": own.seed,
    }
    people = f"{pool.identities} rendered identities from number {pool.first_identity}, seed {pool.seed}"
    return ModelCard(
        name=name, adapter="builtin", revision="1", weights_sha256=weights_sha256, licence="Apache-2.0",
        training_data=(people,), input=INPUT, embedding_dim=DIM, options=options,
    )  # fmt: skip
