"""ONNX networks as exporters write them: several outputs, other types and layouts, outputs that are no embedding."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from facebench.data import decode_batches, load_dataset
from facebench.models import load_model
from tests.command_line import Shell
from tests.models.onnx_writer import field, integer, ints, model, node, tensor, value

FLOAT, UINT8, INT8, INT64, STRING, BOOL, HALF = 1, 2, 3, 7, 8, 9, 10
INPUT = "input: {height: 112, width: 112, layout: NCHW, mean: 127.5, std: 127.5}\n"
RAW = "input: {height: 112, width: 112, layout: NCHW, mean: 0, std: 1}\n"
SIZE = 32
SHRINK = (ints("kernel_shape", [14, 14]), ints("strides", [14, 14]))


def weights() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((192, SIZE)).astype(np.float32)


def network(
    tail: Sequence[bytes] = (),
    outputs: Sequence[bytes] = (value("y", ["N", SIZE]),),
    tensors: Sequence[bytes] = (),
    head: Sequence[bytes] = (),
    given: bytes = value("x", ["N", 3, 112, 112]),
) -> bytes:
    """Return a network: `head` makes "pixels" of "x", their averages become the embedding "y", then comes `tail`."""
    nodes = [
        *(head or [node("Identity", ["x"], ["pixels"])]),
        node("AveragePool", ["pixels"], ["small"], SHRINK),
        node("Flatten", ["small"], ["flat"]),
        node("MatMul", ["flat", "w"], ["y"]),
        *tail,
    ]
    return model(nodes, [tensor("w", weights()), *tensors], [given], list(outputs))


def expected(faces: np.ndarray) -> np.ndarray:
    pixels = (faces.transpose(0, 3, 1, 2).astype(np.float64) - 127.5) / 127.5
    small = pixels.reshape(len(faces), 3, 8, 14, 8, 14).mean(axis=(3, 5))
    return small.reshape(len(faces), -1) @ weights().astype(np.float64)


def write(folder: Path, content: bytes, text: str = INPUT) -> Path:
    (folder / "m.onnx").write_bytes(content)
    path = folder / "m.yaml"
    path.write_text(f"name: m\nadapter: onnx\nweights: m.onnx\n{text}", encoding="utf-8")
    return path


def faces_of(people: Path, n: int = 9) -> np.ndarray:
    dataset = load_dataset(people).subset(n)
    return np.stack(next(decode_batches(dataset, [list(range(n))], workers=1)))


NORM = node("ReduceL2", ["y"], ["norm"], (ints("axes", [1]), integer("keepdims", 1)))
SEVERAL = network([NORM], [value("norm", ["N", 1]), value("y", ["N", SIZE])])


def test_several_outputs_are_named_and_the_chosen_one_is_recorded(shell: Shell, people: Path) -> None:
    path = write(shell.folder, SEVERAL)
    for words in (["check", path, "--data", people], ["run", path, "verification", "--data", f"faces={people}"]):
        told = shell.refused(*words)
        assert "2 outputs: norm [?, 1], y [?, 32]" in told
        assert "'output: NAME'" in told
    path = write(shell.folder, SEVERAL, INPUT + "output: y\n")
    found = shell.run(path, people)["model"]
    assert (found["output"], found["embedding_dim"]) == ("y", SIZE)
    path = write(shell.folder, SEVERAL, INPUT + "output: z\n")
    assert "no output 'z' (key 'output'); it has norm [?, 1], y [?, 32]" in shell.refused("check", path)


def test_the_only_output_needs_no_name_and_a_number_is_one(shell: Shell, people: Path) -> None:
    path = write(shell.folder, network())
    assert shell.run(path, people)["model"]["output"] is None
    numbered = network([node("Identity", ["y"], ["683"]), NORM], [value("683", ["N", SIZE]), value("norm", ["N", 1])])
    assert load_model(write(shell.folder, numbered, INPUT + "output: 683\n")).card.output == "683"


def test_a_short_embedding_is_a_warning(shell: Shell, people: Path) -> None:
    path = write(shell.folder, SEVERAL, INPUT + "output: norm\n")
    shell("check", path, "--data", people)
    assert "WARN  length of the embedding: 1 value" in shell.out
    shell.run(path, people)
    assert "The embedding has only 1 value" in shell.out
    assert "The embedding has only 1 value" in (shell.folder / "out" / "report.html").read_text(encoding="utf-8")


def unsqueezed(axes: list[int], shape: list[int | str]) -> bytes:
    tail = [node("Unsqueeze", ["y", "axes"], ["o"])]
    return network(tail, [value("o", shape)], [tensor("axes", np.array(axes, np.int64))])


PREPROCESS = [
    node("Cast", ["x"], ["f"], (integer("to", FLOAT),)),
    node("Sub", ["f", "m"], ["centred"]),
    node("Div", ["centred", "m"], ["pixels"]),
]
MEAN = [tensor("m", np.array([127.5], np.float32))]
TURN = node("Transpose", ["x"], ["t"], (ints("perm", [0, 3, 1, 2]),))
TURNED = [node("Cast", ["t"], ["f"], (integer("to", FLOAT),)), *PREPROCESS[1:]]
FEWER = [node("Add", ["f", "shift"], ["g"]), node("Div", ["g", "m"], ["pixels"])]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        pytest.param(unsqueezed([2, 3], ["N", SIZE, 1, 1]), INPUT, id="(N, D, 1, 1)"),
        pytest.param(unsqueezed([1, 2], ["N", 1, 1, SIZE]), INPUT, id="(N, 1, 1, D)"),
        pytest.param(unsqueezed([2], ["N", "a", "b"]), INPUT, id="open (N, D, 1)"),
        pytest.param(network(head=PREPROCESS, tensors=MEAN), RAW, id="preprocessing inside"),
        pytest.param(
            network(head=PREPROCESS, tensors=MEAN, given=value("x", ["N", 3, 112, 112], UINT8)), RAW, id="uint8"
        ),
        pytest.param(
            network(head=[TURN, *TURNED], tensors=MEAN, given=value("x", ["N", 112, 112, 3], UINT8)),
            RAW.replace("NCHW", "NHWC"),
            id="uint8 NHWC",
        ),
        pytest.param(
            network(
                head=[PREPROCESS[0], *FEWER],
                tensors=[*MEAN, tensor("shift", np.array([0.5], np.float32))],
                given=value("x", ["N", 3, 112, 112], INT8),
            ),
            RAW.replace("mean: 0", "mean: 128"),
            id="int8",
        ),
        pytest.param(network(given=value("x", [1, 3, 112, 112])), INPUT, id="fixed batch of 1"),
        pytest.param(network(given=value("x", [4, 3, 112, 112])), INPUT, id="fixed batch of 4"),
        pytest.param(
            network(
                head=[node("Cast", ["x"], ["pixels"], (integer("to", FLOAT),))],
                given=value("x", ["N", 3, 112, 112], HALF),
                tail=[node("Cast", ["y"], ["o"], (integer("to", HALF),))],
                outputs=[value("o", ["N", SIZE], HALF)],
            ),
            INPUT,
            id="float16 in and out",
        ),
    ],
)
def test_what_exporters_write_gives_the_same_embeddings(content: bytes, text: str, shell: Shell, people: Path) -> None:
    path = write(shell.folder, content, text)
    faces = faces_of(people)
    found, wanted = load_model(path).embed(faces), expected(faces)
    assert found.shape == (9, SIZE)
    assert np.abs(found - wanted).max() < 1e-3 * np.abs(wanted).max()
    assert shell("check", path, "--data", people) in (0, 1)
    assert "FAIL  batch" not in shell.out
    assert shell.run(path, people)["run"]["reembedded"]["n_differing"] == 0


def test_quantised_outputs_are_numbers(shell: Shell, people: Path) -> None:
    scale = [tensor("s", np.array(0.02, np.float32)), tensor("z", np.array(128, np.uint8))]
    content = network([node("QuantizeLinear", ["y", "s", "z"], ["o"])], [value("o", ["N", SIZE], UINT8)], scale)
    path = write(shell.folder, content)
    found = load_model(path).embed(faces_of(people))
    assert found.dtype == np.float32
    assert found.max() > 1
    shell.run(path, people)


WHOLE = network(head=PREPROCESS, tensors=MEAN, given=value("x", ["N", 3, 112, 112], UINT8))
CUT = [tensor(n, np.array([v], np.int64)) for n, v in (("from", 0), ("to", 0), ("axis", 1))]
PICK = [
    node("ReduceMean", ["y"], ["mean"], (ints("axes", [0]), integer("keepdims", 0))),
    node("Greater", ["mean", "zero"], ["keep"]),
    node("Compress", ["y", "keep"], ["o"], (integer("axis", 1),)),
]
ZERO = [tensor("zero", np.array([0], np.float32))]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(
            network([node("Slice", ["y", "from", "to", "axis"], ["o"])], [value("o", ["N", "D"])], CUT),
            "an embedding without values",
            id="0-wide",
        ),
        pytest.param(
            network([node("Slice", ["y", "from", "to", "axis"], ["o"])], [value("o", ["N", 0])], CUT),
            "an embedding without values",
            id="0-wide, said in the file",
        ),
        pytest.param(
            network([node("Cast", ["y"], ["o"], (integer("to", STRING),))], [value("o", ["N", SIZE], STRING)]),
            "output o is tensor(string); an embedding holds numbers",
            id="string",
        ),
        pytest.param(
            network([node("Greater", ["y", "zero"], ["o"])], [value("o", ["N", SIZE], BOOL)], ZERO),
            "output o is tensor(bool); an embedding holds numbers",
            id="bool",
        ),
        pytest.param(network(PICK, [value("o", ["N", "D"])], ZERO), "an embedding has one length", id="data-dependent"),
        pytest.param(
            network([node("NonZero", ["y"], ["o"])], [value("o", [2, "M"], INT64)]),
            "returned 2 rows for 4 faces",
            id="rows that are no faces",
        ),
        pytest.param(
            network(
                [node("ReduceMean", ["y"], ["o"], (ints("axes", [1]), integer("keepdims", 0)))], [value("o", ["N"])]
            ),
            "one number per face",
            id="one number",
        ),
        pytest.param(network(outputs=[value("small", ["N", 3, 8, 8])]), "a map of features", id="a map"),
        pytest.param(WHOLE, "the network takes uint8", id="uint8 fed with fractions"),
        pytest.param(
            network(
                head=[node("Concat", ["x", "x", "x"], ["pixels"], (integer("axis", 1),))],
                given=value("x", ["N", 1, 112, 112]),
            ),
            "write 'colour: grey'",
            id="grey",
        ),
    ],
)
def test_what_is_no_embedding_is_refused_by_check_and_run(
    content: bytes, told: str, shell: Shell, people: Path
) -> None:
    path = write(shell.folder, content)
    for words in (["check", path, "--data", people], ["run", path, "verification", "--data", f"faces={people}"]):
        assert told.lower() in shell.refused(*words).lower()


RANDOM = [node("RandomNormalLike", ["y"], ["noise"]), node("Add", ["y", "noise"], ["o"])]
CENTRED = [
    node("ReduceMean", ["y"], ["mean"], (ints("axes", [0]), integer("keepdims", 1))),
    node("Sub", ["y", "mean"], ["o"]),
]


@pytest.mark.parametrize(
    ("tail", "check"), [(RANDOM, "same faces, same embeddings"), (CENTRED, "batch size does not matter")]
)
def test_random_and_batch_dependent_networks_are_told(
    tail: list[bytes], check: str, shell: Shell, people: Path
) -> None:
    path = write(shell.folder, network(tail, [value("o", ["N", SIZE])]))
    assert shell("check", path, "--data", people) == 1
    assert f"FAIL  {check}" in shell.out
    again = shell.run(path, people)["run"]["reembedded"]
    assert (again["n_images"], again["n_differing"]) == (8, 8)
    said = "The model does not repeat itself: 8 of 8 images"
    assert said in shell.out
    assert said in (shell.folder / "out" / "report.html").read_text(encoding="utf-8")


def test_weights_outside_the_file_belong_to_its_identity(shell: Shell) -> None:
    entry = field(1, "location") + field(2, "w.bin")
    outside = field(1, 192) + field(1, SIZE) + field(2, 1) + field(8, "w") + field(13, entry) + field(14, 1)
    nodes = [
        node("AveragePool", ["x"], ["small"], SHRINK),
        node("Flatten", ["small"], ["flat"]),
        node("MatMul", ["flat", "w"], ["y"]),
    ]
    content = model(nodes, [outside], [value("x", ["N", 3, 112, 112])], [value("y", ["N", SIZE])])
    path = write(shell.folder, content)
    (shell.folder / "w.bin").write_bytes(weights().tobytes())
    first = load_model(path).card.weights_sha256
    (shell.folder / "w.bin").write_bytes((weights() + 1).tobytes())
    assert load_model(path).card.weights_sha256 != first
    (shell.folder / "w.bin").unlink()
    assert "w.bin" in shell.refused("check", path)
