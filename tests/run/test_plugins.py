"""Every kind that plugs in: each entry is described and keeps its contract, and a plug-in of each is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from facebench.cli import application
from facebench.errors import ModelError, UnknownNameError
from facebench.models.load import models
from facebench.run.plugins import KINDS, check, entries, registry_of
from tests.toys import facebench, install

ROOT = Path(__file__).resolve().parents[2]
EXPENSIVE = ("phantom-",)  # reference models are checked in tests/models


def test_every_kind_says_where_plugins_go_and_where_it_is_told() -> None:
    groups = [registry.group for registry in KINDS.values()]
    assert len(set(groups)) == len(groups)
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    for kind, registry in KINDS.items():
        assert registry.group.startswith("facebench."), kind
        assert (ROOT / "docs" / registry.page).is_file(), kind
        assert registry.group in page, f"docs/plugins.md does not tell how {kind} are added"
    with pytest.raises(UnknownNameError, match="Did you mean 'readers'"):
        registry_of("reader")


@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_is_described(kind: str) -> None:
    for row in (row for row in entries(kind) if row["origin"]):  # other tests register models of their own
        assert "error" not in row, row
        assert len(row["about"]) > 5, row
        assert row["options"]["type"] == "object", row
        json.dumps(row, allow_nan=kind == "metrics")


@pytest.mark.parametrize("kind", KINDS)
def test_every_built_in_entry_keeps_its_contract(kind: str) -> None:
    names = [row["name"] for row in entries(kind) if row["origin"] and not row["name"].startswith(EXPENSIVE)]
    broken = {name: told for name in names if (told := check(kind, name))}
    assert not broken


TOY = '''
import numpy as np
import torch
from facebench.data.format import Format
from facebench.metrics import catalogue
from facebench.metrics.catalogue import Counted, Direction, MetricDef, Topic
from facebench.probes.face import Kind, to_pixels
from facebench.schema.attacks import Attack, Knowledge, Known, Norm
from facebench.probes.saliency import Saliency, declares

TOY_METRIC = MetricDef(
    name="toy_rate", label="toy rate", words="A toy.", topic=Topic.VERIFICATION, kind=catalogue.Kind.RATE,
    direction=Direction.LOWER, bounds=(0.0, 1.0), counted=Counted.GENUINE,
)

@declares(uses="embeddings", random=False)
def centre(subject, *, width: float = 0.3):
    """Map a disc in the middle of the face."""
    h, w = subject.probe.shape[:2]
    y, x = np.mgrid[:h, :w]
    return Saliency.of(np.exp(-((y / h - .5) ** 2 + (x / w - .5) ** 2) / width), "centre")

def undeclared(subject):
    """Map nothing."""

@declares(uses="embeddings", random=False)
def dreams(subject):
    """Map something else every time."""
    return Saliency.of(np.random.default_rng().random(subject.probe.shape[:2]), "dreams")

class Product:
    """The dot product, halved."""
    def matrix(self, left, right):
        return left @ right.T / 2
    def rowwise(self, left, right):
        return (left * right).sum(axis=1) / 2

def load(context):
    """Always fails."""
    raise RuntimeError("the toy has no model")

def dust(face):
    """Put grey dust on a face."""
    covered = face.rng.random(face.pixels.shape[:2]) < face.pick((0.02, 0.2))
    values = face.values.copy()
    values[covered] = 0.5
    return to_pixels(values)

DUST = Kind(dust, version=1, levels=(1, 2))
BAD = Kind(lambda face: face.pixels[:10], levels=())

def sign(head, faces, labels, *, norm, eps, steps, seeds, restart):
    """Follow the sign of the gradient of the margin."""
    found = faces
    for _ in range(steps):
        found = found.detach().requires_grad_()
        margin = head.margin(found)
        slope = torch.autograd.grad(torch.where(labels == 0, -margin, margin).sum(), found)[0]
        found = (found + eps / steps * slope.sign()).clamp(faces - eps, faces + eps).clamp(0, 1)
    return found.detach()

SIGN = Attack(Known(knowledge=(Knowledge.WHITE_BOX,), norms=(Norm.LINF,), steps=4), sign)
GREEDY = Attack(SIGN.traits, lambda head, faces, labels, *, eps, **other: (faces + 2 * eps).clamp(0, 1))
toy_format = Format("toy.txt", lambda tree: "toy.txt" in tree.top(), lambda tree, name, pairs: 1 / 0)
greedy = Format("anything", lambda tree: True, lambda tree, name, pairs: None)
'''
POINTS = {
    "facebench.metrics=toy_rate": "TOY_METRIC", "facebench.saliency=centre": "centre",
    "facebench.saliency=undeclared": "undeclared", "facebench.saliency=dreams": "dreams",
    "facebench.comparators=half": "Product", "facebench.models=toy-model": "load",
    "facebench.readers=toy": "toy_format", "facebench.readers=greedy": "greedy", "facebench.rerankers=lost": "Lost",
    "facebench.conditions=corruption.dust": "DUST", "facebench.conditions=geometry.bad": "BAD",
    "facebench.attacks=sign": "SIGN", "facebench.attacks=greedy": "GREEDY",
}  # fmt: skip


def test_a_factory_must_return_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def unloadable(context: object) -> None:
        raise ModelError("weights do not fit")

    monkeypatch.setitem(models._targets, "nothing", lambda context: None)
    monkeypatch.setitem(models._targets, "unloadable", unloadable)
    assert "returned NoneType" in str(check("adapters", "nothing"))
    assert check("adapters", "unloadable") == "weights do not fit"


def test_a_default_that_json_has_no_word_for_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    def kept(context: object, *, folder: Path = Path("kept")) -> None:
        """Keep a folder."""

    monkeypatch.setitem(models._targets, "kept", kept)
    done = CliRunner().invoke(application(), ["list", "adapters", "kept"])
    assert done.exit_code == 0, done.exception
    assert "kept" in done.output
    done = CliRunner().invoke(application(), ["list", "adapters", "kept", "--json"])
    assert done.exit_code == 0, done.exception


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("installed"), TOY, POINTS)


def test_a_plugin_of_each_kind_is_listed_with_its_options_and_origin(toys: Path, tmp_path: Path) -> None:
    done = facebench(toys, "list", "saliency", "centre", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert row["origin"] == "toy-plugin"
    assert row["options"]["properties"] == {"width": {"type": "number", "default": 0.3}}
    done = facebench(toys, "list", "rerankers", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "cannot be loaded: AttributeError" in done.stdout
    assert "deepface-emd" in done.stdout


def test_contract_tests_find_what_is_wrong(toys: Path, tmp_path: Path) -> None:
    done = facebench(toys, "list", "saliency", "--check", "--json", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    told = {row["name"]: row["broken"] for row in json.loads(done.stdout)}
    assert told.keys() == {"centre", "undeclared", "dreams"}
    assert told["centre"] is None
    assert "@declares" in told["undeclared"]
    assert "differ" in told["dreams"]
    for kind, name, code in (
        ("conditions", "corruption:dust", 0),
        ("conditions", "geometry:bad", 1),
        ("attacks", "sign", 0),
        ("attacks", "greedy", 1),
        ("metrics", "toy_rate", 0),
        ("comparators", "half", 0),
        ("readers", "greedy", 1),
    ):
        assert facebench(toys, "list", kind, name, "--check", cwd=tmp_path).returncode == code, name


def test_an_error_in_a_plugin_is_told_in_words(toys: Path, tmp_path: Path) -> None:
    done = facebench(toys, "check", "toy-model", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert (
        "model 'toy-model' (toy:load of toy-plugin) cannot be built: RuntimeError: the toy has no model" in done.stderr
    )
    file = Path(done.stderr.rpartition("the traceback is in ")[2].strip())
    assert "raise RuntimeError" in file.read_text(encoding="utf-8")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "toy.txt").write_text("x")
    done = facebench(toys, "data", "check", str(tmp_path / "data"), cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


PROTOCOL = """
name: toy
title: A condition, an attack and a saliency method of a plug-in
dataset: {name: faces, path: "builtin:phantom-smoke-v1"}
groups: null
fmr_targets: [1.0e-1]
primary_fmr_target: 1.0e-1
uncertainty: {replicates: 100}
robustness:
  conditions: ["corruption:dust"]
  attacks:
    max_pairs: 4
    check_pairs: 2
    cells: [{attack: sign, goal: dodging, eps: ["8/255"]}]
explanation: {methods: [{name: centre}], pairs: 2, triplets: 0, control_pairs: 2}
"""


@pytest.mark.slow
def test_a_protocol_asks_for_what_plugins_bring(toys: Path, tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text(PROTOCOL, encoding="utf-8")
    done = facebench(toys, "run", "phantom-softmax", "toy.yaml", "--limit", "32", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = {e["condition"] for e in json.loads((tmp_path / "out" / "result.json").read_text())["estimates"]}
    assert {"corruption:dust:1", "corruption:dust:2", "attack:sign-linf:8/255:dodging"} <= found
    assert any(condition.startswith("saliency:centre") for condition in found)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "dust" in page
    done = facebench(toys, "rescore", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for bad, told in (
        ("corruption:dust", "condition 'geometry:bad' returned (10,"), ("sign", "attack 'greedy' changed a face by"),
    ):  # fmt: skip
        name = {"corruption:dust": "geometry:bad", "sign": "greedy"}[bad]
        (tmp_path / "bad.yaml").write_text(PROTOCOL.replace(bad, name), encoding="utf-8")
        done = facebench(toys, "run", "phantom-softmax", "bad.yaml", "--limit", "32", "--out", name[:3], cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert told in done.stderr
        assert "Traceback" not in done.stderr


def test_a_family_alone_asks_for_what_is_built_in(toys: Path, tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text(PROTOCOL.replace("corruption:dust", "corruption"), encoding="utf-8")
    done = facebench(toys, "plan", "phantom-softmax", "toy.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "dust" not in done.stdout
