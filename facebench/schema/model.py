"""What a model is and what it expects: InputSpec, the model file, the model card."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from facebench.schema._base import Strict

FEW_DIMENSIONS = 16
"""Embeddings shorter than this are rarely meant: a norm, class scores or an age is often taken for one."""


class Colour(StrEnum):
    """Order of the colour channels the network was trained on."""

    RGB = "RGB"
    BGR = "BGR"
    GREY = "grey"  # one channel: the luminance of ITU-R BT.601, rounded, as Pillow's mode L


class Layout(StrEnum):
    """Order of the axes of the network's input."""

    NCHW = "NCHW"
    NHWC = "NHWC"


class Flip(StrEnum):
    """What is done with the mirrored image: nothing, concatenate both embeddings, or add them."""

    NONE = "none"
    CONCAT = "concat"
    SUM = "sum"


class Alignment(StrEnum):
    """How the faces must have been aligned before they reach the adapter."""

    ARCFACE_112 = "arcface-112"
    NONE = "none"


class Comparator(StrEnum):
    """How two embeddings are compared; higher is always more alike.

    Other names stand for comparators of `facebench.scoring.comparators` and of plug-ins; a model that names one that
    does not exist is refused when it is loaded.
    """

    COSINE = "cosine"
    DOT = "dot"
    EUCLIDEAN = "euclidean"
    EXTERNAL = "external"  # scores were read from a file: no embeddings are compared

    @classmethod
    def _missing_(cls, value: object) -> Comparator | None:
        if not isinstance(value, str) or not re.fullmatch(r"[a-z][a-z0-9_-]*", value):
            return None
        other = str.__new__(cls, value)
        other._name_ = other._value_ = value
        return cls._value2member_map_.setdefault(value, other)  # type: ignore[return-value]


Channels = float | Annotated[tuple[float, float, float], Field(description="one value per channel, in `colour` order")]


class InputSpec(Strict):
    """How aligned RGB faces (uint8, 0..255) become the network's input.

    The steps, in this order: cut out `crop`, resize to `height` x `width` if the cut differs (bilinear), reorder the
    channels to `colour`, compute ``(x - mean) / std`` on values 0..255, and arrange the axes as `layout`.
    """

    height: int = Field(gt=0, le=4096, description="rows of the network's input, pixels")
    width: int = Field(gt=0, le=4096, description="columns of the network's input, pixels")
    crop: tuple[int, int, int, int] | None = Field(
        None, description="top, left, bottom, right in the aligned image, pixels"
    )
    colour: Colour = Colour.RGB
    layout: Layout = Layout.NCHW
    mean: Channels = Field(
        127.5, description="subtracted, on the scale 0..255; one number, or one per channel in `colour` order"
    )
    std: Channels = Field(127.5, description="divided by, on the scale 0..255")
    flip: Flip = Flip.NONE
    alignment: Alignment = Alignment.ARCFACE_112

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.crop is not None:
            top, left, bottom, right = self.crop
            if not (0 <= top < bottom and 0 <= left < right):
                raise ValueError(
                    f"crop {list(self.crop)} must be top, left, bottom, right with top < bottom and left < right"
                )
        stds = self.std if isinstance(self.std, tuple) else (self.std,)
        if any(value <= 0 for value in stds):
            raise ValueError("std must be above 0")
        return self


class Activation(StrEnum):
    """What the numbers of an output that classifies mean."""

    PROBABILITIES = "probabilities"  # of the classes, summing to 1; of each label, from 0 to 1
    LOGITS = "logits"  # softmax, or for labels the logistic function, makes them probabilities
    LABEL = "label"  # 1 for what was answered, 0 for all else; words that are no class are no answer
    VALUES = "values"  # as they are


class OutputSpec(Strict):
    """One head of a model that answers: what its numbers are called, never by their order alone."""

    name: str = Field(min_length=1, max_length=60, pattern=r"^[A-Za-z][\w-]*$", description="what protocols call it")
    tensor: str | None = Field(None, description="the network's own name of the output; default: the same name")
    names: tuple[str, ...] = Field(min_length=1, description="of each number: classes, labels, or values")
    activation: Activation = Activation.VALUES
    unit: str = Field("", description="of values, such as degrees or years")
    scale: float = Field(1.0, description="values are multiplied by it; 57.29578 turns radians into degrees")

    @field_validator("names")
    @classmethod
    def _distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("two numbers of one output have the same name")
        return names


class ModelFile(Strict):
    """A model as its owner describes it in a YAML file."""

    name: str = Field(min_length=1, max_length=120, pattern=r"^[A-Za-z0-9][\w.+-]*$")
    adapter: str = Field(description="onnx, torch, embeddings, or the name of an installed plug-in")
    weights: str | None = Field(None, description="path, relative to the model file")
    input: InputSpec | None = None
    comparator: Comparator = Field(Comparator.COSINE, description="cosine, dot or euclidean")
    revision: str = ""
    licence: str = ""
    training_data: tuple[str, ...] = ()
    output: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="onnx and torch: which output of the network is the embedding, where it has several"
    )
    outputs: tuple[OutputSpec, ...] | None = Field(
        None, description="heads that answer (expression, age, ...), for protocols with a task"
    )
    factory: str | None = Field(None, description="torch only: package.module:function that returns the network")
    state_dict_key: str | None = Field(None, description="torch only: key under which the weights lie in the file")
    state_dict_prefix: str = Field("", description="torch only: what every name of the weights begins with, dropped")
    state_dict_ignore: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), description="torch only: weights whose names begin with one of these are left out, such as a head"
    )
    ids: str | None = Field(None, description="embeddings only: text file with one image_id per row")
    missing: Literal["refuse", "failures"] = Field(
        "refuse", description="embeddings only: what images without an embedding are; failures: no face was found"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="handed to plug-in adapters as they are")

    @field_validator("output", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        # names of outputs are often numbers, and YAML reads those as such
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("comparator")
    @classmethod
    def _compares(cls, value: Comparator) -> Comparator:
        if value is Comparator.EXTERNAL:
            raise ValueError("external belongs to files of scores (facebench run scores:FILE)")
        return value


class ModelCard(Strict):
    """What a result says of the model it measured."""

    name: str
    adapter: str
    revision: str = ""
    weights_sha256: str | None = None
    licence: str = ""
    training_data: tuple[str, ...] = ()
    input: InputSpec | None = None
    embedding_dim: int = Field(ge=0, description="0: scores were read from a file")
    comparator: Comparator = Comparator.COSINE
    code: str | None = Field(
        None, description="code the model ran from the user's side: package.module:function and its sha256"
    )
    options: dict[str, Any] = Field(default_factory=dict)
    output: str | None = Field(None, description="which of several outputs of the network is the embedding")
    outputs: tuple[OutputSpec, ...] | None = Field(
        None, description="heads that answer; their numbers stand side by side in each stored row"
    )

    def head(self, name: str) -> tuple[OutputSpec, slice]:
        """Return a head and where its numbers stand in a row; a model with one head needs no name.

        Raises:
            KeyError: the model has no such head.
        """
        start, found = 0, self.outputs or ()
        for output in found:
            if output.name == name or len(found) == 1:
                return output, slice(start, start + len(output.names))
            start += len(output.names)
        raise KeyError(name)

    @property
    def distances(self) -> bool:
        """Whether lower means more alike where the model's own scores are written."""
        return self.comparator is Comparator.EUCLIDEAN or self.options.get("scale") == "distance"
