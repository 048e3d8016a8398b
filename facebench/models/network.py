"""What a network consists of: parameters, size and multiply-adds; and how many threads it may use."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from facebench.models.onnx import OnnxModel
from facebench.models.onnx_file import count_parameters
from facebench.models.protocol import Faces
from facebench.models.torch_adapter import TorchModel


@dataclass(frozen=True)
class NetworkSize:
    """Parameters, bytes of the weights file and multiply-adds of one face; None where they cannot be told.

    Attributes:
        counted_by: how multiply-adds were counted.
        not_counted: operators without multiply-adds, and how often each occurs.
    """

    parameters: int | None = None
    size_bytes: int | None = None
    multiply_adds: int | None = None
    counted_by: str | None = None
    not_counted: dict[str, int] = field(default_factory=dict)


def network_size(model: Any, face: Faces) -> NetworkSize:
    """Return the size of a model's network; of an adapter that is neither onnx nor torch nothing is known.

    Args:
        model: a FaceModel.
        face: (1, H, W, 3) uint8, one face of the kind the model takes.
    """
    if isinstance(model, OnnxModel) and model.weights is not None:
        return _onnx_size(model, model.weights, face)
    if isinstance(model, TorchModel):
        return _torch_size(model, face)
    return NetworkSize()


def _onnx_size(model: OnnxModel, weights: Path, face: Faces) -> NetworkSize:
    """Run one face with profiling on and without rewriting of the graph; each node then states its shapes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
        model.on_session(session).embed(face)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    total, others = 0, Counter[str]()
    for event in events:
        if event.get("cat") != "Node" or not event["name"].endswith("_kernel_time"):
            continue
        arguments = event["args"]
        found = onnx_multiply_adds(
            arguments["op_name"], _shapes(arguments["input_type_shape"]), _shapes(arguments["output_type_shape"])
        )
        if found is None:
            others[arguments["op_name"]] += 1
        else:
            total += found
    # an input with a fixed batch holds more than the one face; the mirrored face of `flip` is a second one, and counts
    batch = model.fixed_batch or 1
    return NetworkSize(
        count_parameters(weights), weights.stat().st_size, total // batch, "graph, by onnxruntime's profiler",
        dict(sorted(others.items())),
    )  # fmt: skip


def _shapes(described: list[dict[str, list[int]]]) -> list[list[int]]:
    return [shape for entry in described for shape in entry.values()]


_WEIGHT = {"Conv": 1, "FusedConv": 1, "ConvInteger": 1, "QLinearConv": 3}


def onnx_multiply_adds(op: str, inputs: list[list[int]], outputs: list[list[int]]) -> int | None:
    """Return the multiply-adds of one node from its shapes; None for operators that have none.

    Convolution: every output value takes one multiply-add per weight of its channel, ``|Y| * |W| / C_out``. Transposed
    convolution: ``|X| * |W| / C_in``. Matrix product of (M, K) and (K, N): ``M K N``.

    >>> onnx_multiply_adds("Conv", [[1, 3, 112, 96], [64, 3, 3, 3]], [[1, 64, 56, 48]])
    4644864
    """
    if op in _WEIGHT:
        return prod(outputs[0]) * prod(inputs[_WEIGHT[op]][1:])
    if op == "ConvTranspose":
        return prod(inputs[0]) * prod(inputs[1][1:])
    if op in ("Gemm", "FusedGemm"):
        return prod(inputs[0]) * outputs[0][-1]
    if op in ("MatMul", "MatMulInteger", "FusedMatMul"):
        return prod(outputs[0]) * inputs[0][-1]
    if op == "QLinearMatMul":
        return prod(outputs[0]) * inputs[0][-1]
    return None


def _torch_size(model: TorchModel, face: Faces) -> NetworkSize:
    """Count the products that PyTorch dispatches while one face is embedded; half of their operations."""
    from torch.utils.flop_counter import FlopCounterMode

    network = model.module()
    parameters = list(network.parameters())
    counter = FlopCounterMode(display=False)
    with counter:
        model.embed(face)
    size = sum(p.numel() * p.element_size() for p in [*parameters, *network.buffers()])
    return NetworkSize(
        sum(p.numel() for p in parameters), size, int(counter.get_total_flops()) // 2,
        "operations PyTorch dispatched", {},
    )  # fmt: skip


@contextmanager
def limited_threads(model: Any, threads: int) -> Iterator[tuple[Any, bool]]:
    """Yield the model held to a number of threads, and whether its adapter could be held."""
    if isinstance(model, OnnxModel) and model.weights is not None:
        yield model.with_threads(threads), True
        return
    from threadpoolctl import threadpool_limits

    if isinstance(model, TorchModel):
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            with threadpool_limits(threads):
                yield model, True
        finally:
            torch.set_num_threads(before)
        return
    with threadpool_limits(threads):
        yield model, False
