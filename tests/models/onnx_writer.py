"""Writes small ONNX files byte by byte, so that counts can be checked against networks whose size is known."""

from __future__ import annotations

import numpy as np


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, content: int | bytes | str) -> bytes:
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def tensor(name: str, values: np.ndarray) -> bytes:
    kind = {"int64": 7, "uint8": 2, "int8": 3}.get(str(values.dtype), 1)
    dims = b"".join(field(1, n) for n in values.shape)
    return dims + field(2, kind) + field(8, name) + field(9, values.tobytes())


def value(name: str, shape: list[int | str], kind: int = 1) -> bytes:
    """Return an input or output; a word in its shape is an open axis, and kind is that of onnx.TensorProto."""
    dims = b"".join(field(1, field(2 if isinstance(n, str) else 1, n)) for n in shape)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, dims)))


def ints(name: str, numbers: list[int]) -> bytes:
    return field(1, name) + b"".join(field(8, n) for n in numbers) + field(20, 7)


def integer(name: str, number: int) -> bytes:
    return field(1, name) + field(3, number) + field(20, 2)


def node(op: str, inputs: list[str], outputs: list[str], attributes: tuple[bytes, ...] = ()) -> bytes:
    head = b"".join(field(1, i) for i in inputs) + b"".join(field(2, o) for o in outputs)
    return head + field(4, op) + b"".join(field(5, a) for a in attributes)


def model(nodes: list[bytes], tensors: list[bytes], inputs: list[bytes], outputs: list[bytes]) -> bytes:
    graph = b"".join(field(1, n) for n in nodes) + field(2, "g") + b"".join(field(5, t) for t in tensors)
    graph += b"".join(field(11, i) for i in inputs) + b"".join(field(12, o) for o in outputs)
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13))


def small_network(rng: np.random.Generator) -> tuple[bytes, int, int]:
    """Return a network of two convolutions (one in groups) and a matrix product, its parameters and multiply-adds.

    (1, 3, 112, 112) -> conv 8 x 3 x 3, stride 2 -> (8, 56, 56) -> depthwise 3 x 3 -> mean over pixels -> (8) -> 16.
    """
    first = rng.standard_normal((8, 3, 3, 3)).astype(np.float32)
    second = rng.standard_normal((8, 1, 3, 3)).astype(np.float32)
    last = rng.standard_normal((8, 16)).astype(np.float32)
    shape = np.array([1, 8], np.int64)
    nodes = [
        node("Conv", ["x", "a"], ["h"], (ints("strides", [2, 2]), ints("pads", [1, 1, 1, 1]))),
        node("Conv", ["h", "b"], ["i"], (ints("pads", [1, 1, 1, 1]), integer("group", 8))),
        node("GlobalAveragePool", ["i"], ["j"]),
        node("Reshape", ["j", "s"], ["k"]),
        node("MatMul", ["k", "c"], ["y"]),
    ]
    content = model(
        nodes,
        [tensor("a", first), tensor("b", second), tensor("c", last), tensor("s", shape)],
        [value("x", [1, 3, 112, 112])],
        [value("y", [1, 16])],
    )
    multiply_adds = 8 * 56 * 56 * 27 + 8 * 56 * 56 * 9 + 8 * 16
    return content, first.size + second.size + last.size, multiply_adds
