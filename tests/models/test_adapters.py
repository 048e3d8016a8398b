"""Every adapter keeps the contract, refuses what it must, and agrees with the others on the same network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from facebench.data import decode_batches, load_dataset
from facebench.errors import InputError, ModelError
from facebench.models import load_model
from facebench.models.contract import check_adapter_contract
from facebench.models.preflight import check_model
from facebench.models.preprocess import prepare
from facebench.phantoms.shipped import shipped_dataset
from facebench.schema import InputSpec, Layout

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "weights"
real = pytest.mark.skipif(not REAL.exists(), reason="the real weights are not here")
SPEC = "input: {height: 112, width: 96, crop: [0, 8, 112, 104], mean: 127.5, std: 128.0, flip: FLIP}\n"


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    dataset = load_dataset(shipped_dataset("phantom-smoke-v1")).subset(40)
    return np.stack(next(decode_batches(dataset, [list(range(40))], workers=2)))


@pytest.fixture(scope="module")
def identities() -> list[str]:
    return list(load_dataset(shipped_dataset("phantom-smoke-v1")).identities[:40])


def torch_file(folder: Path, extra: str = "", flip: str = "none") -> Path:
    shutil.copy(Path(__file__).with_name("mobilefacenet.py"), folder / "test_net.py")
    weights = REAL / "mobilefacenet_casia.state_dict.pt"
    text = f"name: m\nadapter: torch\nfactory: test_net:build\nweights: {weights}\n{SPEC.replace('FLIP', flip)}"
    path = folder / "torch.yaml"
    path.write_text(text + (extra or "state_dict_key: net_state_dict\n"), encoding="utf-8")
    return path


def onnx_file(folder: Path, flip: str = "none", spec: str = SPEC) -> Path:
    path = folder / "onnx.yaml"
    text = f"name: m\nadapter: onnx\nweights: {REAL / 'mobilefacenet_casia.onnx'}\n{spec.replace('FLIP', flip)}"
    path.write_text(text, encoding="utf-8")
    return path


def test_builtin_model_keeps_the_contract(faces: np.ndarray) -> None:
    check_adapter_contract(load_model("phantom-eigenfaces"), faces)


@real
@pytest.mark.parametrize("flip", ["none", "concat", "sum"])
def test_onnx_and_torch_keep_the_contract_and_agree(flip: str, faces: np.ndarray, tmp_path: Path) -> None:
    onnx = load_model(onnx_file(tmp_path, flip))
    torch = load_model(torch_file(tmp_path, flip=flip), trust_code=True)
    for model in (onnx, torch):
        check_adapter_contract(model, faces)
    a, b = onnx.embed(faces), torch.embed(faces)
    norm = np.linalg.norm(a, axis=1, keepdims=True)
    assert np.abs(a / norm - b / norm).max() < 1e-5
    assert torch.card.code.startswith("test_net:build sha256:")


@real
def test_the_torch_module_takes_whole_faces_and_has_gradients(faces: np.ndarray, tmp_path: Path) -> None:
    import torch

    model = load_model(torch_file(tmp_path), trust_code=True)
    x = torch.from_numpy(faces[:3].transpose(0, 3, 1, 2).astype(np.float32) / 255).requires_grad_()
    found = model.module()(x)
    np.testing.assert_allclose(found.detach().numpy(), model.embed(faces[:3]), atol=2e-4)
    found.sum().backward()
    assert x.grad is not None
    assert float(x.grad.abs().sum()) > 0


@real
def test_code_is_not_run_without_trust(tmp_path: Path) -> None:
    path = torch_file(tmp_path)
    marker = tmp_path / "ran"
    (tmp_path / "test_net.py").write_text(f"open({str(marker)!r}, 'w')\n", encoding="utf-8")
    with pytest.raises(InputError, match="--trust-code"):
        load_model(path)
    assert not marker.exists()


def test_a_hostile_pickle_runs_nothing(tmp_path: Path) -> None:
    import os
    import pickle

    marker = tmp_path / "ran"

    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {marker}",)

    (tmp_path / "w.pt").write_bytes(pickle.dumps({"x": Hostile()}))
    (tmp_path / "m.yaml").write_text(
        "name: m\nadapter: torch\nfactory: json:loads\nweights: w.pt\ninput: {height: 8, width: 8}\n", encoding="utf-8"
    )
    with pytest.raises(ModelError, match=r"w\.pt"):
        load_model(tmp_path / "m.yaml", trust_code=True)
    assert not marker.exists()


@real
def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="state_dict_key: net_state_dict"):
        load_model(torch_file(tmp_path, extra="revision: x\n"), trust_code=True)
    text = (tmp_path / "test_net.py").read_text().replace("self.linear1 =", "self.linear2 =")
    (tmp_path / "broken_net.py").write_text(text.replace("self.linear1(", "self.linear2("), encoding="utf-8")
    path = torch_file(tmp_path)
    path.write_text(path.read_text().replace("test_net", "broken_net"), encoding="utf-8")
    with pytest.raises(ModelError, match=r"missing \(linear2"):
        load_model(path, trust_code=True)


@real
def test_a_wrong_layout_is_named(tmp_path: Path) -> None:
    spec = "input: {height: 112, width: 96, crop: [0, 8, 112, 104], layout: NHWC}\n"
    with pytest.raises(InputError, match="layout: NCHW"):
        load_model(onnx_file(tmp_path, spec=spec))


def test_grey_is_the_luminance_pillow_computes() -> None:
    from PIL import Image

    faces = np.random.default_rng(4).integers(0, 256, (3, 24, 20, 3), dtype=np.uint8)
    spec = InputSpec(height=24, width=20, colour="grey", mean=0, std=1, alignment="none")
    found = prepare(faces, spec)
    wanted = np.stack([np.asarray(Image.fromarray(face).convert("L")) for face in faces])
    assert found.shape == (3, 1, 24, 20)
    assert np.abs(found[:, 0] - wanted).max() <= 1  # Pillow's coefficients are whole numbers of 65,536 parts
    assert (found[:, 0] != wanted).mean() < 0.01


def test_prepare_by_hand() -> None:
    face = np.zeros((1, 112, 112, 3), np.uint8)
    face[..., 0], face[..., 1], face[..., 2] = 10, 20, 30
    spec = InputSpec(
        height=2, width=2, crop=(0, 0, 2, 2), colour="BGR", layout="NHWC", mean=(1.0, 2.0, 3.0), std=(2.0, 4.0, 8.0)
    )
    found = prepare(face, spec)
    assert found.shape == (1, 2, 2, 3)
    np.testing.assert_allclose(found[0, 0, 0], [(30 - 1) / 2, (20 - 2) / 4, (10 - 3) / 8])
    assert prepare(face, spec.model_copy(update={"layout": Layout.NCHW})).shape == (1, 3, 2, 2)
    with pytest.raises(InputError, match="112"):
        prepare(face[:, :100], spec)


@pytest.mark.parametrize("kind", ["npy", "npz", "safetensors", "parquet"])
def test_stored_embeddings_by_id(kind: str, tmp_path: Path) -> None:
    vectors = np.arange(12, dtype=np.float32).reshape(4, 3)
    ids = ["a", "b", "c", "d"]
    extra = ""
    if kind == "npy":
        np.save(tmp_path / "e.npy", vectors)
        (tmp_path / "ids.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
        extra = "ids: ids.txt\n"
    elif kind == "npz":
        np.savez(tmp_path / "e.npz", embs=vectors, filenames=np.array(ids))
    elif kind == "safetensors":
        from safetensors.numpy import save_file

        save_file({"embeddings": vectors}, tmp_path / "e.safetensors", {"image_ids": json.dumps(ids)})
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"image_id": ids, "embedding": vectors.tolist()}), tmp_path / "e.parquet")
    (tmp_path / "m.yaml").write_text(f"name: m\nadapter: embeddings\nweights: e.{kind}\n{extra}", encoding="utf-8")
    model = load_model(tmp_path / "m.yaml")
    np.testing.assert_array_equal(model.lookup(["d", "a"]), vectors[[3, 0]])
    with pytest.raises(InputError, match="1 of 2 images have no embedding, the first: x"):
        model.lookup(["a", "x"])


def test_pickled_ids_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", embs=np.zeros((1, 2)), ids=np.array(["a"], dtype=object))
    (tmp_path / "m.yaml").write_text("name: m\nadapter: embeddings\nweights: e.npz\n", encoding="utf-8")
    with pytest.raises(InputError, match="Python objects"):
        load_model(tmp_path / "m.yaml")


class Broken:
    """A model with one planted fault."""

    def __init__(self, fault: str) -> None:
        self._inner = load_model("phantom-eigenfaces")
        self.card = self._inner.card
        self.fault = fault
        self.calls = 0

    def embed(self, faces: np.ndarray) -> np.ndarray:
        self.calls += 1
        found = self._inner.embed(faces)
        if self.fault == "nan":
            found = np.full_like(found, np.nan)
        elif self.fault == "constant":
            found = np.ones_like(found)
        elif self.fault == "random":
            found = found + np.float32(self.calls) * 0.01
        elif self.fault == "batch" and len(found):
            found = found - found.mean(axis=0)
        return found.astype(np.float32)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("nan", "finite embeddings"),
        ("constant", "different faces differ"),
        ("random", "same faces, same embeddings"),
        ("batch", "batch size does not matter"),
    ],
)
def test_planted_faults_are_found(fault: str, check: str, faces: np.ndarray, identities: list[str]) -> None:
    failed = {finding.name for finding in check_model(Broken(fault), faces, identities) if not finding.passed}
    assert check in failed
    with pytest.raises(AssertionError):
        check_adapter_contract(Broken(fault), faces)


@real
def test_a_wrong_normalisation_is_named(tmp_path: Path, faces: np.ndarray, identities: list[str]) -> None:
    spec = "input: {height: 112, width: 96, crop: [0, 8, 112, 104], mean: 2000, std: 4000}\n"
    findings = check_model(load_model(onnx_file(tmp_path, spec=spec)), faces, identities)
    assert any(f.name == "normalisation" and not f.passed and "127.5" in f.likely_cause for f in findings)


def test_unknown_names_and_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Did you mean 'onnx'"):
        load_model("onx")
    with pytest.raises(InputError, match="adapter"):
        load_model("onnx")
    (tmp_path / "m.yaml").write_text("name: m\nadapter: onnx\nweigths: x\n", encoding="utf-8")
    with pytest.raises(InputError, match="Did you mean 'weights'"):
        load_model(tmp_path / "m.yaml")


def test_a_plugin_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch, faces: np.ndarray) -> None:
    from importlib.metadata import EntryPoint

    from facebench.models.load import models

    point = EntryPoint("my-plugin", "facebench.models.zoo.eigenfaces:load", "facebench.models")
    broken = EntryPoint("broken-plugin", "no_such_module:load", "facebench.models")
    monkeypatch.setattr(models, "_plugins", {"my-plugin": point, "broken-plugin": broken})
    assert load_model("my-plugin").card.name == "phantom-eigenfaces"
    with pytest.raises(InputError, match="broken-plugin"):
        load_model("broken-plugin")
