"""What the documentation tells people to type works: every command and every Python block is run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from facebench.schema import ModelFile, Policy, ProtocolSpec
from facebench.schema.suite import SuiteFile
from tests.docs.blocks import ROOT, Block, blocks, pages
from tests.docs.conftest import run

LANGUAGES = {"bash", "python", "yaml", "csv", "toml", "text"}
SPECS = set(ProtocolSpec.model_fields)


def with_commands() -> list[str]:
    return [page for page in pages() if any(block.executed for block in blocks(page, "bash"))]


def test_every_block_says_what_it_is() -> None:
    wrong = [block.where for page in pages() for block in blocks(page) if block.language not in LANGUAGES]
    assert not wrong, f"name the language (text for output) of the blocks at {wrong}"
    fences = sum((ROOT / page).read_text(encoding="utf-8").count("```") for page in pages())
    assert fences == 2 * sum(len(blocks(page)) for page in pages())


def test_what_is_not_executed_is_reasoned_and_rare() -> None:
    left_out = [b for page in pages() for b in blocks(page) if not b.executed]
    assert all(len(block.notes["not executed"].split()) >= 3 for block in left_out)
    assert {(block.page, block.text.split()[0]) for block in left_out} == {
        ("README.md", "make"),  # an environment of its own, and this very test
        ("CONTRIBUTING.md", "make"),
        ("docs/quickstart.md", "pip"),
        ("docs/plugins.md", "from"),  # parts of a package that is not installed
        ("docs/plugins.md", "import"),
        ("docs/ci.md", "from"),  # quantises a real network
        ("docs/scale.md", "facebench"),  # a cluster, a GPU
        ("docs/zoo.md", "facebench"),  # trains for minutes
    }


@pytest.mark.slow
@pytest.mark.parametrize("page", with_commands())
def test_commands(page: str, workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for block in blocks(page, "bash"):
        if not block.executed:
            continue
        commands = block.commands()
        for position, words in enumerate(commands):
            assert words[0] == "facebench", f"{block.where}: only facebench commands can be run: {words}"
            last = position == len(commands) - 1
            wanted = int(block.notes.get("exit code", 0)) if last else 0
            assert run(words, monkeypatch) == wanted, f"{block.where}: {' '.join(words)}"


def steps(block: Block) -> list[str]:
    """Return the shell lines of a GitHub or GitLab snippet."""
    content = yaml.safe_load(block.text)
    if isinstance(content, list):
        return [line for step in content for line in step.get("run", "").splitlines()]
    jobs = [job for job in content.values() if isinstance(job, dict)]
    return [line for job in jobs for line in job.get("script", [])]


@pytest.mark.slow
def test_ci_snippets(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line.split() for block in blocks("docs/ci.md", "yaml") for line in steps(block)]
    commands = [words for words in lines if words[0] == "facebench"]
    assert {words[1] for words in commands} == {"run", "gate"}
    assert {words[0] for words in lines} == {"pip", "facebench"}
    for command in dict.fromkeys(" ".join(words) for words in commands):  # both snippets begin with the same run
        assert run(command.split(), monkeypatch) == 0, command


def test_the_snippet_for_github_gives_the_action_what_it_takes() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    used = [
        step["with"]
        for block in blocks("docs/ci.md", "yaml")
        if isinstance(content := yaml.safe_load(block.text), list)
        for step in content
        if "/facebench@" in step.get("uses", "")
    ]
    required = {name for name, about in action["inputs"].items() if about.get("required")}
    assert used
    assert all(required <= set(given) <= set(action["inputs"]) for given in used)
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in {*action["inputs"], *action["outputs"]})


@pytest.mark.slow
@pytest.mark.parametrize("block", [b for page in pages() for b in blocks(page, "python")], ids=lambda b: b.where)
def test_python(block: Block, workshop: Path) -> None:
    if not block.executed:
        pytest.skip(block.notes["not executed"])
    file = workshop / "test_block.py"
    file.write_text(block.text, encoding="utf-8")
    start = (
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        if "def test_" in block.text
        else [sys.executable]
    )
    done = subprocess.run([*start, str(file)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", [b for page in pages() for b in blocks(page, "yaml")], ids=lambda b: b.where)
def test_yaml(block: Block) -> None:
    content = yaml.safe_load(block.text)
    if isinstance(content, list) or "script" in str(content):
        return  # CI snippets, run above
    if "adapter" in content:
        ModelFile.parse(content, where=block.where)
    elif "rules" in content:
        Policy.parse(content, where=block.where)
    elif "suite" in content:
        SuiteFile.parse(content, where=block.where)
    else:
        assert set(content) <= SPECS, f"{block.where}: which file is this part of?"
        ProtocolSpec.parse({"name": "part", "title": "Part"} | content, where=block.where)
