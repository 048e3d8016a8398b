"""Torch networks as people keep them: helpers beside the factory, checkpoints of training runs, several outputs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from facebench.models import load_model
from facebench.models.gradients import why_no_gradients
from tests.command_line import Shell

CODE = """
import torch
from torch import nn
SCALE = 1.0
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool, self.fc, self.bn = nn.AvgPool2d(8), nn.Linear(588, 32), nn.BatchNorm1d(32)
    def forward(self, x):
        return SCALE * self.bn(self.fc(self.pool(x).flatten(1)))
def make():
    return Net()
"""
MODEL = """name: m
adapter: torch
weights: w.pth
factory: net:make
input: {height: 112, width: 112, mean: 127.5, std: 127.5}
"""


def state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    scope: dict[str, object] = {}
    exec(CODE, scope)
    found = scope["make"]().state_dict()
    return {
        name: torch.rand(value.shape, generator=generator) - 0.5 if name.startswith("fc") else value
        for name, value in found.items()
    }


def write(folder: Path, code: str = CODE, weights: object = None, extra: str = "", **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in {"net": code, **files}.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    torch.save(state() if weights is None else weights, folder / "w.pth")
    path = folder / "m.yaml"
    path.write_text(MODEL + extra, encoding="utf-8")
    return path


@pytest.fixture
def faces() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (9, 112, 112, 3)).astype(np.uint8)


HELPED = CODE.replace("SCALE = 1.0", "import helper").replace("SCALE *", "helper.scale(x.shape[0]) *")
LAZY = CODE.replace("return SCALE *", "import helper\n        return helper.scale(x.shape[0]) *")
HELPER = "def scale(n): return {}\n"


@pytest.mark.parametrize("code", [HELPED, LAZY], ids=["imported first", "imported in the call"])
def test_a_changed_helper_is_another_model(code: str, shell: Shell, people: Path, faces: np.ndarray) -> None:
    folder = shell.folder / "model"
    first = shell.run(write(folder, code, helper=HELPER.format(2.0)), people, "--trust-code")
    old = load_model(folder / "m.yaml", trust_code=True)
    before = old.embed(faces)
    second = shell.run(write(folder, code, helper=HELPER.format("-3.0 + 0.1 * n")), people, "--trust-code")
    assert first["model"]["code"] != second["model"]["code"]
    assert first["model"]["code"].endswith(" of helper.py, net.py")
    assert first["result_id"] != second["result_id"]
    assert second["run"]["embedded_images"] > 0  # nothing came from the cache of the first
    assert second["run"]["reembedded"]["n_differing"] >= 0
    np.testing.assert_array_equal(old.embed(faces), before)  # a loaded model keeps the code it was loaded with


def test_code_that_did_not_change_is_the_same_model(shell: Shell, people: Path) -> None:
    folder = shell.folder / "model"
    path = write(folder, HELPED, helper=HELPER.format(2.0), other="raise SystemError('nobody imports this')")
    first = shell.run(path, people, "--trust-code")
    (folder / "other.py").write_text("x = 1", encoding="utf-8")
    second = shell.run(path, people, "--trust-code")
    assert first["result_id"] == second["result_id"]
    assert second["run"]["embedded_images"] == 0


@pytest.mark.parametrize("code", [CODE, HELPED, LAZY])
def test_two_folders_with_the_same_names_are_two_models(code: str, tmp_path: Path, faces: np.ndarray) -> None:
    plain = write(tmp_path / "a", code.replace("SCALE = 1.0", "SCALE = 2.0"), helper=HELPER.format(2.0))
    other = write(tmp_path / "b", code.replace("SCALE = 1.0", "SCALE = 4.0"), helper=HELPER.format(4.0))
    a, b = (load_model(path, trust_code=True) for path in (plain, other))
    for _ in range(2):
        np.testing.assert_allclose(2 * a.embed(faces), b.embed(faces), rtol=1e-6)
    assert a.card.code != b.card.code


def test_packages_and_relative_imports_belong_to_the_code(tmp_path: Path, faces: np.ndarray) -> None:
    def packed(folder: str, value: float) -> Path:
        path = write(tmp_path / folder, CODE)
        inner = tmp_path / folder / "nets"
        inner.mkdir()
        (inner / "__init__.py").write_text("", encoding="utf-8")
        (inner / "net.py").write_text(HELPED.replace("import helper", "from . import helper"), encoding="utf-8")
        (inner / "helper.py").write_text(HELPER.format(value), encoding="utf-8")
        path.write_text(MODEL.replace("net:make", "nets.net:make"), encoding="utf-8")
        return path

    a, b = (load_model(packed(f, v), trust_code=True) for f, v in (("a", 2.0), ("b", 4.0)))
    np.testing.assert_allclose(2 * a.embed(faces), b.embed(faces), rtol=1e-6)
    assert a.card.code.endswith("of nets/__init__.py, nets/helper.py, nets/net.py")


def prefixed(*words: str, extra: bool = False) -> dict[str, torch.Tensor]:
    found = {".".join((*words, name)): value for name, value in state().items()}
    return found | ({"head.weight": torch.ones(3, 32)} if extra else {})


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (prefixed("module"), "state_dict_prefix: module."),
        (prefixed("model"), "state_dict_prefix: model."),
        (prefixed("backbone", extra=True), "state_dict_prefix: backbone. and state_dict_ignore: [head.]"),
        (prefixed("module", "net"), "state_dict_prefix: module.net."),
        (prefixed(extra=True), "state_dict_ignore: [head.]"),
        ({"epoch": 3, "state_dict": prefixed()}, "state_dict_key: state_dict"),
        ({"epoch": 3, **prefixed()}, "state_dict_ignore: [epoch]"),
    ],
)
def test_the_keys_that_make_a_checkpoint_fit_are_named_and_do(
    weights: object, said: str, shell: Shell, people: Path
) -> None:
    path = write(shell.folder / "model", weights=weights)
    told = shell.refused("run", path, "verification", "--data", f"faces={people}", "--trust-code")
    assert f"{said} in the model file" in told or told.strip().endswith(f"write {said}")
    assert "\x1b" not in told
    path = write(shell.folder / "model", weights=weights, extra=said.replace(" and ", "\n") + "\n")
    shell.run(path, people, "--trust-code")


def test_old_checkpoints_without_counters_fit(tmp_path: Path) -> None:
    weights = {name: value for name, value in state().items() if not name.endswith("num_batches_tracked")}
    load_model(write(tmp_path / "m", weights=weights), trust_code=True)


def test_a_network_that_wraps_the_weights_owner_is_told(shell: Shell) -> None:
    wrapped = CODE.replace("return Net()", "return nn.Sequential(Net())")
    told = shell.refused("check", write(shell.folder / "m", wrapped), "--trust-code")
    assert "The network's own names begin with '0.'" in told


def test_whole_models_and_damaged_files_are_refused_in_our_words(shell: Shell) -> None:
    from torch.nn import Linear

    class Mine:
        def __reduce__(self) -> tuple:
            return os.getpid, ()

    for content in (Linear(2, 2), {"x": Mine()}):
        told = shell.refused("check", write(shell.folder / "m", weights=content), "--trust-code")
        assert "holds Python objects" in told
        assert "torch.save(model.state_dict(), 'weights.pth')" in told
        assert "\x1b" not in told
        assert len(told.splitlines()) == 1
    path = write(shell.folder / "m")
    (shell.folder / "m" / "w.pth").write_bytes(b"nonsense" * 40)
    assert "it is damaged" in shell.refused("check", path, "--trust-code")
    with pytest.warns(DeprecationWarning, match="script"):
        torch.jit.script(torch.nn.Linear(2, 2)).save(str(shell.folder / "m" / "w.pth"))
    assert "TorchScript" in shell.refused("check", path, "--trust-code")


PAIR = CODE.replace("return SCALE *", "f =").replace("def make", "        return {}\ndef make")
OUTPUTS = {
    "tuple": ("f, f.norm(dim=1, keepdim=True)", "0 [2, 32], 1 [2, 1]", "0"),
    "dict": ("{'norm': f.norm(dim=1), 'feature': f}", "norm [2], feature [2, 32]", "feature"),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_several_outputs_are_named_and_chosen(kind: str, shell: Shell, people: Path, faces: np.ndarray) -> None:
    returned, listed, name = OUTPUTS[kind]
    code = PAIR.replace("return {}", f"return {returned}")
    told = shell.refused("check", write(shell.folder / "m", code), "--trust-code")
    assert listed in told
    path = write(shell.folder / "m", code, extra=f"output: {name}\n")
    assert shell.run(path, people, "--trust-code")["model"]["output"] == name
    model = load_model(path, trust_code=True)
    x = torch.from_numpy(faces.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    np.testing.assert_allclose(model.module()(x).detach().numpy(), model.embed(faces), atol=1e-4)


def test_axes_of_length_1_are_dropped_with_and_without_gradients(tmp_path: Path, faces: np.ndarray) -> None:
    model = load_model(write(tmp_path / "m", PAIR.replace("return {}", "return f[:, :, None, None]")), trust_code=True)
    assert model.embed(faces).shape == (9, 32)
    assert model.module()(torch.zeros(2, 3, 112, 112)).shape == (2, 32)


ATTACK = """robustness:
  attacks:
    max_pairs: 4
    cells:
      - {attack: pgd, goal: dodging, eps: EPS, steps: 2, restarts: 1}
"""
EXPLAIN = """explanation:
  methods: [{name: gradient}, {name: rise, options: {masks: 8}}]
  pairs: 4
  control_pairs: 2
  triplets: 0
"""
CUT = {
    "no_grad": CODE.replace("def forward(self, x):", "@torch.no_grad()\n    def forward(self, x):"),
    "inference_mode": CODE.replace("def forward(self, x):", "@torch.inference_mode()\n    def forward(self, x):"),
    "detach": CODE.replace("self.pool(x)", "self.pool(x.detach())"),
    "numpy": CODE.replace("self.pool(x)", "self.pool(torch.from_numpy(x.numpy()))"),
}


@pytest.mark.parametrize("cut", CUT)
def test_without_gradients_nothing_is_called_robust(cut: str, shell: Shell, people: Path) -> None:
    path = write(shell.folder / "m", CUT[cut])
    found = shell.run(path, people, "--trust-code", protocol=ATTACK.replace("EPS", '["8/255"]'))
    why = next(gap["why"] for gap in found["unmeasured"] if gap["what"] == "attack:pgd-linf:dodging")
    assert "cuts gradients off" in why or "fails when gradients are asked for" in why
    assert not any(e["metric"].startswith("robust") for e in found["estimates"])
    assert "Will not be measured: attack:pgd-linf:dodging" in shell.err
    assert shell("plan", path, shell.folder / "protocol.yaml", "--data", f"faces={people}", "--trust-code") == 0
    assert "attack:pgd-linf:dodging" in shell.out


def test_without_gradients_maps_by_gradient_are_unmeasured(shell: Shell, people: Path) -> None:
    path = write(shell.folder / "m", CUT["no_grad"])
    assert why_no_gradients(load_model(path, trust_code=True))
    found = shell.run(path, people, "--trust-code", protocol=EXPLAIN)
    assert any(
        gap["what"] == "saliency by gradient" and "cuts gradients off" in gap["why"] for gap in found["unmeasured"]
    )


@pytest.mark.parametrize(
    ("eps", "said"),
    [("[8]", '"8/255"'), ("[1]", '"1/255"'), ("[1.0]", '"1/255"'), ('["1"]', '"1/255"'), ("[1, 2]", '"2/255"')],
)
def test_budgets_in_grey_levels_are_named(eps: str, said: str, shell: Shell, people: Path) -> None:
    from tests.command_line import PROTOCOL

    path = write(shell.folder / "m")
    (shell.folder / "p.yaml").write_text(PROTOCOL + ATTACK.replace("EPS", eps), encoding="utf-8")
    told = shell.refused("run", path, shell.folder / "p.yaml", "--data", f"faces={people}", "--trust-code")
    assert said in told


def test_a_missing_need_is_told_before_the_work(shell: Shell, people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from facebench.sections.explanation import measure as section

    monkeypatch.setattr(section, "find_spec", lambda name: None)
    path = write(shell.folder / "m")
    (shell.folder / "p.yaml").write_text(
        json.dumps({
            "name": "p", "title": "p", "dataset": {"name": "faces"}, "groups": None,
            "explanation": {"methods": [{"name": "gradient"}], "pairs": 4, "control_pairs": 2, "triplets": 0},
        }),
        encoding="utf-8",
    )  # fmt: skip
    for command in ("plan", "run"):
        told = shell.refused(command, path, shell.folder / "p.yaml", "--data", f"faces={people}", "--trust-code")
        assert "captum" in told
        assert "pip install -c constraints.txt '.'" in told
        assert "Embedding" not in told
