"""What an ONNX network takes and gives: which output is the embedding, and which types and shapes can be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facebench.errors import InputError, ModelError
from facebench.schema import Colour, InputSpec, Layout

_NUMBERS: dict[str, Any] = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8, "tensor(int8)": np.int8, "tensor(uint16)": np.uint16, "tensor(int16)": np.int16,
    "tensor(int32)": np.int32, "tensor(int64)": np.int64,
}  # fmt: skip


def input_type(session: Any, spec: InputSpec, name: str) -> np.dtype[Any]:
    """Return the type of the network's input.

    Raises:
        ModelError: it takes no numbers.
        InputError: it takes whole numbers, and `mean` and `std` make others of the pixels.
    """
    kind = session.get_inputs()[0].type
    if kind not in _NUMBERS:
        raise ModelError(f"model {name}: the network takes {kind}; expected numbers, such as float or uint8")
    found: np.dtype[Any] = np.dtype(_NUMBERS[kind])
    if np.issubdtype(found, np.integer):
        ends = [(end - np.asarray(spec.mean, float)) / np.asarray(spec.std, float) for end in (0, 1, 255)]
        limits = np.iinfo(found)
        if any((e != np.rint(e)).any() or e.min() < limits.min or e.max() > limits.max for e in ends):
            mean = 128 if found == np.int8 else 0
            raise InputError(
                f"model {name}: the network takes {found}, whole numbers from {limits.min} to {limits.max}, and mean "
                f"{spec.mean}, std {spec.std} make others of the pixels; write 'mean: {mean}, std: 1' in the model "
                "file, and leave the rest to the network"
            )
    return found


def check_input(session: Any, spec: InputSpec, name: str) -> None:
    """Compare the input declared in the file with the InputSpec; open dimensions fit anything.

    Raises:
        ModelError: there is not one input of four axes.
        InputError: height, width, layout or channels differ.
    """
    inputs = session.get_inputs()
    if len(inputs) != 1:
        found = ", ".join(entry.name for entry in inputs)
        raise ModelError(f"model {name}: the network has {len(inputs)} inputs ({found}); expected one, the faces")
    shape = inputs[0].shape
    if len(shape) != 4:
        raise ModelError(f"model {name}: the network's input has shape {shape}; expected four axes")
    deep = 1 if spec.colour is Colour.GREY else 3
    nchw, nhwc = (deep, spec.height, spec.width), (spec.height, spec.width, deep)
    wanted, other = (nchw, nhwc) if spec.layout is Layout.NCHW else (nhwc, nchw)
    if _fits(shape[1:], wanted):
        return
    channels = shape[1] if spec.layout is Layout.NCHW else shape[3]
    if _fits(shape[1:], other):
        layout = Layout.NHWC if spec.layout is Layout.NCHW else Layout.NCHW
        hint = f"write 'layout: {layout.value}' in the model file"
    elif channels == 1:
        hint = "write 'colour: grey' in the model file"
    elif channels == 4:
        hint = "a network of 4 channels is not supported: export it with a first step that takes RGB"
    else:
        hint = "correct height, width and layout in the model file"
    raise InputError(
        f"model {name}: input says {spec.layout.value} with height {spec.height} and width {spec.width}, that is "
        f"{list(wanted)} per face, but the network takes {shape[1:]}; {hint}"
    )


def _fits(found: Sequence[int | str | None], wanted: tuple[int, ...]) -> bool:
    return all(size == want or not fixed(size) for size, want in zip(found, wanted, strict=True))


def fixed(size: int | str | None) -> bool:
    """Whether an axis has one size; exporters write open axes as a name, as nothing, or as a number below 1."""
    return isinstance(size, int) and size > 0


def choose_output(session: Any, wanted: str | None, name: str) -> str:
    """Return the name of the output that is the embedding: the only one, or the one that the model file names.

    Raises:
        InputError: there are several and none is named, or there is none of that name.
        ModelError: it holds no numbers, or no values.
    """
    outputs = {str(entry.name): entry for entry in session.get_outputs()}
    listed = ", ".join(f"{key} {_described(entry)}" for key, entry in outputs.items())
    if wanted is not None and wanted not in outputs:
        raise InputError(f"model {name}: the network has no output {wanted!r} (key 'output'); it has {listed}")
    if wanted is None and len(outputs) > 1:
        raise InputError(
            f"model {name}: the network has {len(outputs)} outputs: {listed}. Say which is the embedding with "
            "'output: NAME' in the model file"
        )
    entry = outputs[wanted] if wanted is not None else next(iter(outputs.values()))
    if entry.type not in _NUMBERS:
        raise ModelError(f"model {name}: output {entry.name} is {entry.type}; an embedding holds numbers")
    if 0 in entry.shape[1:]:
        raise ModelError(f"model {name}: output {entry.name} has the shape {entry.shape}: an embedding without values")
    return str(entry.name)


def _described(entry: Any) -> str:
    shape = [size if fixed(size) or size == 0 else "?" for size in entry.shape]
    return f"[{', '.join(map(str, shape))}]" + ("" if entry.type == "tensor(float)" else f" {entry.type}")
