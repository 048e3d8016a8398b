"""A section from a plug-in: asked for under `extensions`, run, measured again, reported, compared."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from facebench.errors import InputError, PluginError, UnknownNameError
from facebench.measure.saved import load_result
from facebench.run.findings import findings
from facebench.run.report import render_report
from facebench.schema import ProtocolSpec
from facebench.sections import SECTIONS, sections_of
from facebench.sections.contract import SectionResult
from facebench.sections.section import Section
from tests.toys import ROOT, facebench, install

SECTION = '''
from facebench.schema import Strict
from facebench.sections.section import Section
from facebench.metrics.catalogue import Counted, Direction, Kind, MetricDef, Topic


class Options(Strict):
    """What it is asked."""

    limit: int = 20
    fail: str = ""


MIRRORED = Section(
    "mirrored", package="toy", line="Every face beside its mirror image.", options=Options, condition_prefix="mirror:",
)
RATE = MetricDef(
    name="mirror_fnmr", label="mirror FNMR", words="Share of faces that do not match their own mirror image.",
    topic=Topic.ALTERED, kind=Kind.RATE, direction=Direction.LOWER, bounds=(0.0, 1.0), counted=Counted.GENUINE,
    intervals=("wilson-identity-fixed-threshold", "rule-of-three", "naive-wilson"),
)
'''
MEASURE = '''
import numpy as np
from facebench.measure.rates import genuine_rate, rate_estimate
from facebench.schema import Strict
from facebench.sections.contract import SectionResult
from toy import MIRRORED


class Told(Strict):
    """What it tells."""

    n_faces: int


def run(context):
    asked = MIRRORED.asked(context.spec)
    if asked.fail:
        raise KeyError(asked.fail)
    rows = np.arange(min(asked.limit, len(context.dataset)))
    mirrored = context.embed(np.ascontiguousarray(context.faces(rows)[:, :, ::-1]))
    return _measured(context.spec, context.images, context.embedded.vectors, context.clean, mirrored)


def remeasure(saved):
    return _measured(saved.spec, saved.images, saved.vectors, saved.clean, saved.tensors["mirrored"])


def _measured(spec, images, vectors, clean, mirrored):
    own = vectors[: len(mirrored)]
    scores = (own * mirrored).sum(1) / np.linalg.norm(own, axis=1) / np.linalg.norm(mirrored, axis=1)
    at = clean.at(spec.primary)
    rate = genuine_rate(scores < at.threshold, images.identity[: len(mirrored)])
    found = rate_estimate(
        "mirror_fnmr", rate, spec.uncertainty.confidence, condition="mirror:all", n_genuine=rate.n,
        fmr_target=at.fmr_target, threshold=at.threshold,
    )
    return SectionResult(estimates=(found,), details=Told(n_faces=len(mirrored)), tensors={"mirrored": mirrored})
'''
REPORT = """
from facebench.report import format as fmt, tables
from facebench.report.parts import Block, Section
from facebench.report.statement import Statement


def sections(reading):
    rows = [
        [tables.text("own mirror image"), tables.value(e, fmt.number), tables.notes(e)]
        for e in reading.result.estimates if e.metric == "mirror_fnmr"
    ]
    if not rows:
        return []
    n = reading.result.extensions["mirrored"]["n_faces"]
    table = tables.table("Faces and their mirror images", ["Pairs", "#FNMR", "~Notes"], rows)
    return [Section("mirrored", "Mirror images", f"{n} faces were mirrored.", (Block(tables=(table,)),))]
"""
PROTOCOL = """
name: toy-protocol
title: Mirror images
dataset: {name: faces, path: "builtin:phantom-smoke-v1"}
groups: null
fmr_targets: [1.0e-2]
primary_fmr_target: 1.0e-2
uncertainty: {replicates: 100}
extensions: {mirrored: {limit: 30}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    install(folder, "", {"facebench.sections=mirrored": "MIRRORED", "facebench.metrics=mirror_fnmr": "RATE"})
    (folder / "toy.py").unlink()
    package = folder / "toy"
    package.mkdir()
    for name, code in (("__init__", SECTION), ("measure", MEASURE), ("report", REPORT)):
        (package / f"{name}.py").write_text(code, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def work(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models run under a protocol that asks for the section."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "toy.yaml").write_text(PROTOCOL, encoding="utf-8")
    for model in ("phantom-eigenfaces", "phantom-lbp"):
        done = facebench(place, "run", model, "toy.yaml", "--limit", "60", "--out", model, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def test_it_runs_and_tells_its_details(work: Path) -> None:
    result = json.loads((work / "phantom-eigenfaces" / "result.json").read_text(encoding="utf-8"))
    assert result["extensions"] == {"mirrored": {"n_faces": 30}}
    (found,) = (e for e in result["estimates"] if e["metric"] == "mirror_fnmr")
    assert found["n_genuine"] == 30
    assert found["ci_high"] is not None
    assert (work / "phantom-eigenfaces" / "mirrored.safetensors").is_file()


def test_it_is_measured_again_reported_and_compared(place: Path, work: Path) -> None:
    done = facebench(place, "rescore", "phantom-eigenfaces", cwd=work)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "identical to the bytes" in done.stdout
    done = facebench(place, "report", "phantom-eigenfaces", cwd=work)
    assert done.returncode == 0, done.stderr
    page = (work / "phantom-eigenfaces" / "report.html").read_text(encoding="utf-8")
    assert "30 faces were mirrored." in page
    assert "own mirror image" in page
    done = facebench(place, "compare", "phantom-eigenfaces", "phantom-lbp", "--json", cwd=work)
    assert done.returncode == 0, done.stderr
    assert "mirror_fnmr" in done.stdout


def test_plan_and_list_know_it(place: Path, work: Path) -> None:
    done = facebench(place, "list", "sections", "mirrored", "--check", cwd=work)
    assert done.returncode == 0, done.stdout + done.stderr
    done = facebench(place, "plan", "phantom-lbp", "toy.yaml", cwd=work)
    assert done.returncode == 0, done.stderr
    assert "mirrored" in done.stdout


def test_without_the_plugin_every_command_says_what_is_missing(work: Path) -> None:
    empty = work / "nothing"
    empty.mkdir(exist_ok=True)
    done = facebench(empty, "run", "phantom-lbp", "toy.yaml", "--out", "other", cwd=work)
    assert done.returncode == 2
    assert "unknown section 'mirrored' in protocol toy-protocol, key 'extensions'" in done.stderr
    for command in ("rescore", "report"):
        done = facebench(empty, command, "phantom-lbp", cwd=work)
        assert done.returncode == 2, command
        assert "unknown metric 'mirror_fnmr'" in done.stderr
        assert "Traceback" not in done.stderr


def test_what_it_raises_is_told_in_words(place: Path, work: Path) -> None:
    (work / "bad.yaml").write_text(PROTOCOL.replace("limit: 30", "fail: a key that is not there"), encoding="utf-8")
    done = facebench(place, "run", "phantom-lbp", "bad.yaml", "--limit", "60", "--out", "bad", cwd=work)
    assert done.returncode == 2
    assert "section 'mirrored' (toy:MIRRORED of toy-plugin) failed: KeyError: 'a key that is not there'" in done.stderr
    assert "Traceback" not in done.stderr
    (work / "bad.yaml").write_text(PROTOCOL.replace("limit: 30", "limmit: 30"), encoding="utf-8")
    done = facebench(place, "run", "phantom-lbp", "bad.yaml", "--out", "bad", cwd=work)
    assert done.returncode == 2
    assert "protocol toy-protocol, extensions.mirrored: unknown key 'limmit'. Did you mean 'limit'?" in done.stderr


def test_built_in_sections_are_no_extensions() -> None:
    asked = {"name": "x", "title": "x", "extensions": {"ood": {}}}
    with pytest.raises(InputError, match="ood is no extension"):
        list(sections_of(ProtocolSpec.parse(asked, where="here")))
    with pytest.raises(UnknownNameError, match="nowhere"):
        list(sections_of(ProtocolSpec.parse({**asked, "extensions": {"nowhere": {}}}, where="here")))


def test_a_broken_section_stops_no_result_that_did_not_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("broken", "no_such_module:thing", "facebench.sections")
    monkeypatch.setattr(SECTIONS, "_plugins", {"broken": broken})
    result = load_result(ROOT / "tests" / "frozen" / "v2" / "phantom-softmax")
    assert "</html>" in render_report(result)
    asked = result.model_copy(update={"extensions": {"broken": {}, "not_installed": {}}})
    with pytest.raises(PluginError, match="section 'broken'"):
        render_report(asked)


def test_a_section_without_options_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SECTIONS._targets, "bare", Section("bare", package="toy", line="Nothing."))
    asked = {"name": "x", "title": "x", "extensions": {"bare": {}}}
    with pytest.raises(PluginError, match=r"section 'bare' .*`options`"):
        list(sections_of(ProtocolSpec.parse(asked, where="here")))


def test_a_section_without_details_is_named_in_the_result() -> None:
    clean: Any = SimpleNamespace(estimates=(), curves=(), unmeasured=(), task=None)
    found = findings(clean, {"covariates": SectionResult(), "bare": SectionResult()})
    assert found["extensions"] == {"bare": {}}
