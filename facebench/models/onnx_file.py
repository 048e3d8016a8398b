"""Reads from an ONNX file what onnxruntime does not tell: how many elements its weight tensors hold, and which files
beside it hold some of them.

An ONNX file is a protocol-buffers message. Only the few fields on the way to the tensors' shapes are read, so that the
``onnx`` package is not needed; see onnx.proto for the numbers of the fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path

from facebench.errors import InputError
from facebench.files import sha256_bytes, sha256_file

MODEL_GRAPH, GRAPH_NODE, GRAPH_INITIALIZER, NODE_ATTRIBUTE, ATTRIBUTE_TENSOR = 7, 1, 5, 5, 5
NODE_OPERATOR, TENSOR_DIMS, TENSOR_TYPE, TENSOR_EXTERNAL, ENTRY_KEY, ENTRY_VALUE = 4, 1, 2, 13, 1, 2
INT64 = 7  # shapes and axes, not weights

Buffer = memoryview


def count_parameters(path: Path) -> int:
    """Return the number of elements in all weight tensors of an ONNX file; shapes and axes (int64) do not count.

    Raises:
        InputError: the file is not an ONNX file.
    """
    try:
        return sum(_elements(tensor) for tensor in _tensors(memoryview(Path(path).read_bytes())))
    except (ValueError, IndexError) as error:
        raise InputError(f"{path}: not an ONNX file: {error}") from error


def hash_network(path: Path) -> str:
    """Return the sha256 of an ONNX file, or of it and the files that hold weights outside it, in the order of names.

    Raises:
        InputError: the file is not an ONNX file, or such a file is missing.
    """
    try:
        names = {name for tensor in _tensors(memoryview(Path(path).read_bytes())) for name in _outside(tensor)}
    except (ValueError, IndexError) as error:
        raise InputError(f"{path}: not an ONNX file: {error}") from error
    hashes = [sha256_file(path)]
    for name in sorted(names):
        if not (path.parent / name).is_file():
            raise InputError(f"{path}: its weights lie in {name}, which is not beside it")
        hashes.append(f"{name} {sha256_file(path.parent / name)}")
    return hashes[0] if len(hashes) == 1 else sha256_bytes("\n".join(hashes).encode())


def _outside(tensor: Buffer) -> Iterator[str]:
    """Yield where a tensor's values lie, if that is another file."""
    for entry in _messages(tensor, TENSOR_EXTERNAL):
        fields = dict(_fields(entry))
        key, value = fields.get(ENTRY_KEY), fields.get(ENTRY_VALUE)
        if isinstance(key, memoryview) and isinstance(value, memoryview) and bytes(key) == b"location":
            yield bytes(value).decode()


def _tensors(model: Buffer) -> Iterator[Buffer]:
    for graph in _messages(model, MODEL_GRAPH):
        yield from _messages(graph, GRAPH_INITIALIZER)
        for node in _messages(graph, GRAPH_NODE):
            if any(bytes(name) == b"Constant" for name in _messages(node, NODE_OPERATOR)):
                for attribute in _messages(node, NODE_ATTRIBUTE):
                    yield from _messages(attribute, ATTRIBUTE_TENSOR)


def _elements(tensor: Buffer) -> int:
    dims: list[int] = []
    kind = 0
    for number, value in _fields(tensor):
        if number == TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif number == TENSOR_DIMS:
            dims += [value] if isinstance(value, int) else _packed(value)
    return 0 if kind == INT64 else prod(dims)


def _messages(buffer: Buffer, wanted: int) -> Iterator[Buffer]:
    return (value for number, value in _fields(buffer) if number == wanted and not isinstance(value, int))


def _fields(buffer: Buffer) -> Iterator[tuple[int, int | Buffer]]:
    """Yield number and content of each field of a message: whole numbers, or the bytes of anything longer."""
    at = 0
    while at < len(buffer):
        key, at = _varint(buffer, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(buffer, at)
            yield key >> 3, value
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        elif kind == 2:
            length, at = _varint(buffer, at)
            if at + length > len(buffer):
                raise ValueError("a field reaches beyond the end")
            yield key >> 3, buffer[at : at + length]
            at += length
        else:
            raise ValueError(f"unknown wire type {kind}")


def _varint(buffer: Buffer, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = buffer[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("a number is too long")


def _packed(buffer: Buffer) -> list[int]:
    values, at = [], 0
    while at < len(buffer):
        value, at = _varint(buffer, at)
        values.append(value)
    return values
