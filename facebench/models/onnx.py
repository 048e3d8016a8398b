"""Adapter ``onnx``: a network in an ONNX file, run by onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError, ModelError
from facebench.files import sha256_file
from facebench.models.load import LoadContext
from facebench.models.preprocess import embed_flipped
from facebench.models.protocol import Embeddings, Faces
from facebench.schema import Flip, InputSpec, Layout, ModelCard

_FREE_BATCH = 32  # faces per call when the file leaves the batch open; bounds the memory of a large `embed`


class OnnxModel:
    """A face model run by onnxruntime: one input, the first 2-D output is the embedding."""

    def __init__(self, session: Any, card: ModelCard, spec: InputSpec, weights: Path | None = None) -> None:
        self.card = card
        self.weights = weights
        self._session = session
        self._spec = spec
        self._input = session.get_inputs()[0].name
        self._dtype = _float_type(session.get_inputs()[0].type, card.name)
        batch = session.get_inputs()[0].shape[0]
        self.fixed_batch = batch if isinstance(batch, int) else None
        self._output = _embedding_output(session, card.name)

    def embed(self, faces: Faces) -> Embeddings:
        """Return (N, D) float32 embeddings of (N, H, W, 3) uint8 RGB aligned faces."""
        return embed_flipped(self._forward, faces, self._spec)

    def with_input(self, spec: InputSpec) -> OnnxModel:
        """Return the same network fed in another way; the preflight checks try alternatives."""
        return OnnxModel(self._session, self.card.model_copy(update={"input": spec}), spec, self.weights)

    def on_session(self, session: Any) -> OnnxModel:
        """Return the same network in another session of onnxruntime, one that profiles for example."""
        return OnnxModel(session, self.card, self._spec, self.weights)

    def with_threads(self, threads: int) -> OnnxModel:
        """Return the same network held to a number of threads."""
        import onnxruntime

        if self.weights is None:
            raise ModelError(f"model {self.card.name}: its weights file is not known, so threads cannot be set")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        providers = self._session.get_providers()
        return self.on_session(onnxruntime.InferenceSession(str(self.weights), options, providers=providers))

    def _forward(self, batch: NDArray[np.float32]) -> Embeddings:
        step = self.fixed_batch or _FREE_BATCH
        parts = [self._run(batch[start : start + step]) for start in range(0, len(batch), step)]
        dim = self.card.embedding_dim // (2 if self._spec.flip is Flip.CONCAT else 1)
        return np.concatenate(parts) if parts else np.empty((0, dim), np.float32)

    def _run(self, chunk: NDArray[np.float32]) -> Embeddings:
        missing = (self.fixed_batch or len(chunk)) - len(chunk)
        padded = np.pad(chunk, [(0, missing), (0, 0), (0, 0), (0, 0)]) if missing else chunk
        try:
            result = self._session.run([self._output], {self._input: padded.astype(self._dtype, copy=False)})[0]
        except Exception as error:  # onnxruntime raises its own types, one per kind of failure
            raise ModelError(f"model {self.card.name}: onnxruntime failed: {error}") from error
        if result.shape[0] != len(padded):
            raise ModelError(
                f"model {self.card.name}: the network returned {result.shape[0]} rows for {len(padded)} faces; "
                "export it with a batch axis in its input and output"
            )
        return np.asarray(result[: len(chunk)], np.float32)


def load(context: LoadContext) -> OnnxModel:
    """Build the adapter from a model file.

    Raises:
        InputError: the model file lacks `weights` or `input`, or they contradict the network.
        ModelError: onnxruntime cannot load the network, or it has no embedding output.
    """
    spec, given, weights = context.model_file(), context.input(), context.weights()
    session = _session(weights, context.device, spec.name)
    _check_shape(session, given, spec.name)
    card = ModelCard(
        name=spec.name,
        adapter="onnx",
        revision=spec.revision,
        weights_sha256=sha256_file(weights),
        licence=spec.licence,
        training_data=spec.training_data,
        input=given,
        embedding_dim=1,
        comparator=spec.comparator,
        options=spec.options,
    )
    # The file often leaves the width of the output open, so the network itself is asked.
    probe = OnnxModel(session, card, given.model_copy(update={"flip": Flip.NONE}))
    shape = (1, 3, given.height, given.width) if given.layout is Layout.NCHW else (1, given.height, given.width, 3)
    dim = probe._forward(np.zeros(shape, np.float32)).shape[1]
    dim *= 2 if given.flip is Flip.CONCAT else 1
    return OnnxModel(session, card.model_copy(update={"embedding_dim": dim}), given, weights)


def _session(weights: Path, device: str, name: str) -> Any:
    import onnxruntime

    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise InputError(f"unknown device {device!r}; known: cpu, cuda, cuda:<number>")
    providers: list[Any] = ["CPUExecutionProvider"]
    if kind == "cuda":
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise InputError("this onnxruntime cannot use a GPU; install onnxruntime-gpu, or take --device cpu")
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": int(index or 0)}))
    try:
        return onnxruntime.InferenceSession(str(weights), providers=providers)
    except Exception as error:  # onnxruntime raises its own types, one per kind of failure
        raise ModelError(f"model {name}: onnxruntime cannot load {weights}: {error}") from error


def _check_shape(session: Any, spec: InputSpec, name: str) -> None:
    """Compare the input declared in the file with the InputSpec; open dimensions fit anything."""
    inputs = session.get_inputs()
    if len(inputs) != 1:
        found = ", ".join(entry.name for entry in inputs)
        raise ModelError(f"model {name}: the network has {len(inputs)} inputs ({found}); expected one, the faces")
    shape = inputs[0].shape
    if len(shape) != 4:
        raise ModelError(f"model {name}: the network's input has shape {shape}; expected four axes")
    nchw, nhwc = (3, spec.height, spec.width), (spec.height, spec.width, 3)
    wanted, other = (nchw, nhwc) if spec.layout is Layout.NCHW else (nhwc, nchw)
    if _fits(shape[1:], wanted):
        return
    if _fits(shape[1:], other):
        layout = Layout.NHWC if spec.layout is Layout.NCHW else Layout.NCHW
        hint = f"write 'layout: {layout.value}'"
    else:
        hint = "correct height, width and layout"
    raise InputError(
        f"model {name}: input says {spec.layout.value} with height {spec.height} and width {spec.width}, that is "
        f"{list(wanted)} per face, but the network takes {shape[1:]}; {hint} in the model file"
    )


def _fits(found: list[int | str | None], wanted: tuple[int, ...]) -> bool:
    return all(not isinstance(size, int) or size == want for size, want in zip(found, wanted, strict=True))


def _float_type(kind: str, name: str) -> type[np.floating[Any]]:
    types: dict[str, type[np.floating[Any]]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
    if kind not in types:
        raise ModelError(f"model {name}: the network takes {kind}; expected float or float16")
    return types[kind]


def _embedding_output(session: Any, name: str) -> str:
    for output in session.get_outputs():
        if len(output.shape) == 2:
            return str(output.name)
    found = ", ".join(f"{output.name} {output.shape}" for output in session.get_outputs())
    raise ModelError(f"model {name}: no output has two axes (faces, embedding); found {found}")
