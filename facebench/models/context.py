"""What a factory of models is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facebench.errors import InputError
from facebench.files import is_file
from facebench.schema import InputSpec, ModelFile

_ADAPTERS = ("onnx", "torch", "embeddings")


@dataclass(frozen=True)
class LoadContext:
    """What a factory is told: the model file or the registered name, its folder, the user's choices.

    Attributes:
        spec: the model file, parsed; None where the model was asked for by its registered name. The keys an adapter of
            a plug-in needs beyond the common ones stand in ``spec.options``.
        folder: of the model file, to which its paths are relative; the working folder without one.
        device: ``cpu``, ``cuda`` or ``cuda:1``, as the user asked.
        trust_code: whether the user allows code that a model file names to run.
        name: the registered name; empty with a model file.
    """

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
