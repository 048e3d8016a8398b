"""What is shipped: the wheel's contents, the published schema, and documentation that leaves no key out."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import jsonschema
import pytest
from hatchling.builders.wheel import WheelBuilder

from facebench.schema import DatasetSpec, Estimate, Flag, GroupSpec, InputSpec, ModelFile, ProtocolSpec, Result, RunInfo
from facebench.schema.__main__ import result_schema

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ("protocols", "reports/templates", "leaderboard/assets")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return Path(built)


@pytest.fixture(scope="module")
def listing(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize("folder", SHIPPED)
def test_shipped_files_lie_inside_the_package(listing, folder):
    files = [path for path in (ROOT / folder).rglob("*") if path.is_file() and not path.name.startswith(".")]
    assert {f"facebench/_assets/{path.relative_to(ROOT)}" for path in files} <= listing


def test_the_wheel_holds_every_module_and_every_data_file(listing):
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "facebench").rglob("*") if path.is_file()}
    compiled = {name for name in files if name.endswith((".pyc", ".nbi", ".nbc", ".part"))}
    assert files - compiled <= listing
    assert "facebench/py.typed" in listing


def test_the_wheel_holds_nothing_else(listing):
    tops = {name.split("/")[0] for name in listing}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"facebench"}
    assert not [name for name in listing if name.endswith((".pyc", ".nbi", ".nbc", ".part"))]


@pytest.mark.slow
def test_the_wheel_finds_its_own_files_anywhere(wheel, tmp_path):
    """Unpacked elsewhere and run from another folder, it uses its own protocols and not the checkout's."""
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    script = f"""
import sys
sys.path.insert(0, {str(site)!r})
from facebench.files import asset_dir
print(asset_dir("protocols"))
print(" ".join(sorted(path.name for path in asset_dir("protocols").glob("*.yaml"))))
print(asset_dir("reports") / "templates")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    )
    protocols, names, templates = done.stdout.splitlines()
    assert Path(protocols).is_relative_to(site)
    assert names.split() == sorted(path.name for path in (ROOT / "protocols").glob("*.yaml"))
    assert sorted(p.name for p in Path(templates).iterdir()) == sorted(
        p.name for p in (ROOT / "reports" / "templates").iterdir()
    )


def test_the_published_schema_is_up_to_date():
    published = (ROOT / "docs" / "result.schema.json").read_text(encoding="utf-8")
    assert published == result_schema(), "run: python -m facebench.schema > docs/result.schema.json"
    jsonschema.Draft202012Validator.check_schema(json.loads(published))


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("result.md", {*Result.model_fields, *RunInfo.model_fields, *Estimate.model_fields, *Flag}),
        (
            "protocols.md",
            {*ProtocolSpec.model_fields, *GroupSpec.model_fields, *DatasetSpec.model_fields} - {"comparisons"},
        ),
        ("models.md", {*ModelFile.model_fields, *InputSpec.model_fields}),
    ],
)
def test_every_name_is_documented(page, names):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    documented = {part for code in re.findall(r"`([^`\n]+)`", text) for part in re.split(r"[^\w]+", code)}
    assert names <= documented, sorted(names - documented)


@pytest.mark.parametrize(
    "page",
    ["README.md", "CONTRIBUTING.md", *(p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").rglob("*.md"))],
)
def test_links_lead_somewhere(page):
    path = ROOT / page
    links = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8"))
    assert not [link for link in links if not (path.parent / link).exists()]


def test_the_top_level_holds_what_is_meant_to_be_there() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: what is meant to be there cannot be told from what was built there")
    found = {Path(name).parts[0] for name in listed.stdout.splitlines()}
    meant = {
        "facebench", "protocols", "reports", "tests", "leaderboard", "benchmarks", "docs", ".ci", ".github",
        "pyproject.toml", "constraints.txt", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "SECURITY.md",
        "CITATION.cff", "Makefile", "action.yml", "mkdocs.yml", ".gitignore", ".pre-commit-config.yaml",
    }  # fmt: skip
    assert found == meant
