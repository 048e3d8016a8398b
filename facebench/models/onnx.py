"""Adapter ``onnx``: a network in an ONNX file, run by onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError, ModelError
from facebench.metrics.streams import Fixed, fixed_generator
from facebench.models.context import LoadContext
from facebench.models.onnx_file import hash_network
from facebench.models.onnx_heads import answers, head_tensors
from facebench.models.onnx_ports import check_input, choose_output, fixed, input_type
from facebench.models.outputs import NO_MIRROR, embedding_width, unequal
from facebench.models.preprocess import embed_flipped
from facebench.models.protocol import Embeddings, Faces
from facebench.schema import Colour, Flip, InputSpec, Layout, ModelCard

_FREE_BATCH = 32  # faces per call when the file leaves the batch open; bounds the memory of a large `embed`


class OnnxModel:
    """A face model run by onnxruntime: one input, the faces, and one output that is the embedding."""

    def __init__(
        self, session: Any, card: ModelCard, spec: InputSpec, weights: Path | None = None, output: str | None = None
    ) -> None:
        self.card = card
        self.weights = weights
        self._session = session
        self._spec = spec
        self._input = session.get_inputs()[0].name
        self._dtype = input_type(session, spec, card.name)
        batch = session.get_inputs()[0].shape[0]
        self.fixed_batch = int(batch) if fixed(batch) else None
        self._output = output or choose_output(session, card.output, card.name)
        self._heads = head_tensors(session, card) if card.outputs else ()

    def embed(self, faces: Faces) -> Embeddings:
        """Return (N, D) float32 embeddings of (N, H, W, 3) uint8 RGB aligned faces."""
        return embed_flipped(self._forward, faces, self._spec)

    def with_input(self, spec: InputSpec) -> OnnxModel:
        """Return the same network fed in another way; the preflight checks try alternatives.

        Raises:
            InputError: the network takes whole numbers, and this would feed it others.
        """
        card = self.card.model_copy(update={"input": spec})
        return OnnxModel(self._session, card, spec, self.weights, self._output)

    def on_session(self, session: Any) -> OnnxModel:
        """Return the same network in another session of onnxruntime, one that profiles for example."""
        return OnnxModel(session, self.card, self._spec, self.weights, self._output)

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
        widths = {part.shape[1] for part in parts}
        if len(widths) > 1:
            raise unequal(widths, f"model {self.card.name}: output {self._output}")
        return np.concatenate(parts) if parts else np.empty((0, dim), np.float32)

    def _run(self, chunk: NDArray[np.float32]) -> Embeddings:
        missing = (self.fixed_batch or len(chunk)) - len(chunk)
        padded = np.pad(chunk, [(0, missing), (0, 0), (0, 0), (0, 0)]) if missing else chunk
        if np.issubdtype(self._dtype, np.integer):
            padded = np.rint(padded)  # float32 holds them to rounding
        try:
            wanted = [tensor for tensor, _ in self._heads] or [self._output]
            results = self._session.run(wanted, {self._input: padded.astype(self._dtype, copy=False)})
        except Exception as error:  # onnxruntime raises its own types, one per kind of failure
            raise ModelError(f"model {self.card.name}: onnxruntime failed: {error}") from error
        if self._heads:
            return answers(results, self._heads, len(padded), self.card.name)[: len(chunk)]
        found = np.asarray(results[0])
        width = embedding_width(found.shape, len(padded), f"model {self.card.name}: output {self._output}")
        return np.asarray(found.reshape(len(padded), width)[: len(chunk)], np.float32)


def load(context: LoadContext) -> OnnxModel:
    """Run an ONNX network by onnxruntime; its weights are an .onnx file.

    Raises:
        InputError: the model file lacks `weights` or `input`, or they contradict the network.
        ModelError: onnxruntime cannot load the network, or it has no embedding output.
    """
    spec, given, weights = context.model_file(), context.input(), context.weights()
    session = _session(weights, context.device, spec.name)
    check_input(session, given, spec.name)
    if spec.outputs and given.flip is not Flip.NONE:
        raise InputError(f"model {spec.name}: {NO_MIRROR}")
    output = str(session.get_outputs()[0].name) if spec.outputs else choose_output(session, spec.output, spec.name)
    card = ModelCard(
        name=spec.name,
        adapter="onnx",
        revision=spec.revision,
        weights_sha256=hash_network(weights),
        licence=spec.licence,
        training_data=spec.training_data,
        input=given,
        embedding_dim=1,
        comparator=spec.comparator,
        options=spec.options,
        output=output if len(session.get_outputs()) > 1 and not spec.outputs else None,
        outputs=spec.outputs,
    )
    dim = _width(OnnxModel(session, card, given.model_copy(update={"flip": Flip.NONE}), output=output), given)
    dim *= 2 if given.flip is Flip.CONCAT else 1
    return OnnxModel(session, card.model_copy(update={"embedding_dim": dim}), given, weights, output)


def _width(probe: OnnxModel, spec: InputSpec) -> int:
    """Ask the network itself how many values it gives, on unlike faces; the file often leaves that open."""
    size = (spec.height, spec.width)
    deep = 1 if spec.colour is Colour.GREY else 3
    shape = (4, deep, *size) if spec.layout is Layout.NCHW else (4, *size, deep)
    low, high = ((end - np.mean(spec.mean)) / np.mean(spec.std) for end in (0, 255))
    faces = fixed_generator(Fixed.NETWORK_PROBE).uniform(low, high, shape).astype(np.float32)
    faces[0], faces[1] = low, high
    widths = {probe._forward(part).shape[1] for part in (faces, faces[:1], faces[1:2])}
    if len(widths) > 1:
        raise unequal(widths, f"model {probe.card.name}: its output")
    return int(widths.pop())


def _session(weights: Path, device: str, name: str) -> Any:
    import onnxruntime

    # what it would print past Python, with names as the file has them, stands in the errors it raises as well
    onnxruntime.set_default_logger_severity(4)
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
