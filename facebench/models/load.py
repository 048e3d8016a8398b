"""Finds a model by its file or by its registered name, and builds its adapter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from facebench.errors import FaceBenchError, InputError, ModelError, UnknownNameError
from facebench.files import is_file, read_yaml
from facebench.models.context import LoadContext as LoadContext  # its former home
from facebench.models.predictions import is_prediction_reference, load_predictions
from facebench.models.protocol import FaceModel, PrecomputedModel
from facebench.models.zoo.catalogue import LOADERS, describe
from facebench.registry import Registry, first_sentence
from facebench.schema import ModelFile
from facebench.scoring.comparators import comparators

Model = FaceModel | PrecomputedModel

_SUFFIXES = (".yaml", ".yml")


Factory = Callable[[LoadContext], Model]


def _about(name: str, factory: Factory) -> str:
    summaries = {row["name"]: row["summary"] for row in describe()}
    return f"Reference model: {summaries[name]}." if name in summaries else first_sentence(factory)


models: Registry[Factory] = Registry(
    "model",
    builtin={
        "onnx": "facebench.models.onnx:load",
        "torch": "facebench.models.torch_adapter:load",
        "embeddings": "facebench.models.precomputed:load",
        **LOADERS,
    },
    group="facebench.models",
    page="models.md",
    contract="facebench.models.contract:check_factory_contract",
    about=_about,
)
"""Names to factories: functions from a `LoadContext` to a model, of adapters and of models by name."""


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
    with models.blame(context.spec.adapter if context.spec else str(reference), "cannot be built"):
        made = factory(context)
    return _checked(made, str(reference))


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
