"""Finds a model by its file or by its registered name, and builds its adapter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from facebench.errors import FaceBenchError, InputError, ModelError, UnknownNameError
from facebench.files import is_file, read_yaml
from facebench.models.predictions import is_prediction_reference, load_predictions
from facebench.models.protocol import FaceModel, PrecomputedModel
from facebench.models.zoo.catalogue import LOADERS
from facebench.registry import Registry
from facebench.schema import InputSpec, ModelFile
from facebench.scoring.comparators import comparators

Model = FaceModel | PrecomputedModel

_SUFFIXES = (".yaml", ".yml")
_ADAPTERS = ("onnx", "torch", "embeddings")


@dataclass(frozen=True)
class LoadContext:
    """What a factory is told: the model file or the registered name, its folder, the user's choices."""

    spec: ModelFile | None
    folder: Path
    device: str = "cpu"
    trust_code: bool = False
    name: str = ""

    def model_file(self) -> ModelFile:
        """Return the model file; an adapter cannot be used without one."""
        if self.spec is None:
            raise InputError(
                f"{', '.join(_ADAPTERS)} are adapters, not models: write a model file (YAML) with "
                "'name:', 'adapter:' and 'weights:', and give its path"
            )
        return self.spec

    def weights(self) -> Path:
        """Return the path of the weights, which must exist."""
        spec = self.model_file()
        if not spec.weights:
            raise InputError(f"model {spec.name}: key 'weights' is missing; write the path, relative to the model file")
        path = self.folder / spec.weights
        if not is_file(path):
            raise InputError(f"model {spec.name}: weights not found: {path}")
        return path

    def input(self) -> InputSpec:
        """Return how the network wants its input; never guessed."""
        spec = self.model_file()
        if spec.input is None:
            raise InputError(
                f"model {spec.name}: key 'input' is missing; write what the network was trained on, for example "
                "input: {height: 112, width: 112, colour: RGB, layout: NCHW, mean: 127.5, std: 127.5}"
            )
        return spec.input


Factory = Callable[[LoadContext], Model]

models: Registry[Factory] = Registry(
    "model",
    builtin={
        "onnx": "facebench.models.onnx:load",
        "torch": "facebench.models.torch_adapter:load",
        "embeddings": "facebench.models.precomputed:load",
        **LOADERS,
    },
    group="facebench.models",
)


def load_model(reference: str | Path, *, device: str = "cpu", trust_code: bool = False) -> Model:
    """Load a model from its file (``.yaml``) or by its registered name.

    `device` is ``cpu``, ``cuda`` or ``cuda:1``. `trust_code` lets a model file name Python code, which is then run.

    Raises:
        UnknownNameError: no model of that name; the message suggests the closest.
        InputError: the file is missing or wrong.
        ModelError: the model cannot be loaded.
    """
    if str(reference).startswith("scores:"):
        raise InputError(f"{reference} names scores, not a model; only `facebench run` takes it")
    if is_prediction_reference(str(reference)):
        return load_predictions(str(reference))
    path = Path(reference)
    if path.suffix.lower() in _SUFFIXES:
        spec = ModelFile.parse(read_yaml(path, "model file"), where=f"model file {path}")
        factory = models.get(spec.adapter, where=f"{path}, key 'adapter'")
        context = LoadContext(spec, path.resolve().parent, device, trust_code)
    elif is_file(path):
        raise InputError(
            f"{path} is not a model file; write a YAML file that names it as 'weights:', and give that one"
        )
    else:
        factory = models.get(str(reference))
        context = LoadContext(None, Path.cwd(), device, trust_code, str(reference))
    return _checked(factory(context), str(reference))


def register_model(name: str, factory: Callable[[], FaceModel]) -> None:
    """Make a model available by name in this process; a name in use is an error."""

    def build(_context: LoadContext) -> Model:
        try:
            return factory()
        except FaceBenchError:
            raise
        except (Exception, SystemExit) as error:  # somebody else's code may fail in any way
            raise ModelError(f"model {name!r} cannot be built: {type(error).__name__}: {error}") from error

    models.register(name, build)


def _checked(model: object, reference: str) -> Model:
    if isinstance(model, FaceModel | PrecomputedModel):
        name = model.card.comparator.value
        if name not in comparators:
            raise UnknownNameError("comparator", name, comparators.names(), where=f"model {model.card.name}")
        return model
    raise ModelError(
        f"model {reference}: its factory returned {type(model).__name__}, which lacks 'card' and 'embed' "
        "(or 'lookup'); see facebench.models.FaceModel"
    )
