"""Every kind that plugs in: each entry is described and keeps its contract, and a plug-in of each is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facebench.errors import UnknownNameError
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
    for row in entries(kind):
        assert "error" not in row, row
        assert len(row["about"]) > 10, row
        assert row["options"]["type"] == "object", row
        json.dumps(row, allow_nan=kind == "metrics")


@pytest.mark.parametrize("kind", KINDS)
def test_every_built_in_entry_keeps_its_contract(kind: str) -> None:
    names = [name for name in registry_of(kind).names() if not name.startswith(EXPENSIVE)]
    broken = {name: told for name in names if (told := check(kind, name))}
    assert not broken


TOY = '''
import numpy as np
from facebench.data.format import Format
from facebench.metrics.catalogue import Counted, Direction, Kind, MetricDef, Topic
from facebench.probes.saliency import Saliency, declares

TOY_METRIC = MetricDef(
    name="toy_rate", label="toy rate", words="A toy.", topic=Topic.VERIFICATION, kind=Kind.RATE,
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

toy_format = Format("toy.txt", lambda tree: "toy.txt" in tree.top(), lambda tree, name, pairs: 1 / 0)
greedy = Format("anything", lambda tree: True, lambda tree, name, pairs: None)
'''
POINTS = {
    "facebench.metrics=toy_rate": "TOY_METRIC", "facebench.saliency=centre": "centre",
    "facebench.saliency=undeclared": "undeclared", "facebench.saliency=dreams": "dreams",
    "facebench.comparators=half": "Product", "facebench.models=toy-model": "load",
    "facebench.readers=toy": "toy_format", "facebench.readers=greedy": "greedy", "facebench.rerankers=lost": "Lost",
}  # fmt: skip


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
    for kind, name, code in (("metrics", "toy_rate", 0), ("comparators", "half", 0), ("readers", "greedy", 1)):
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
