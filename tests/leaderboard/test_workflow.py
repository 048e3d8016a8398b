"""The step before validation: what a pull request may add, and what it must not touch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / ".github" / "leaderboard_changes.py"
ENTRY = f"leaderboard/small/good/{'a' * 64}.json"


def git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e@example.org", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "head"
    (folder / "leaderboard" / "small").mkdir(parents=True)
    (folder / "leaderboard" / "small" / "board.json").write_text("{}", encoding="utf-8")
    git(tmp_path, "init", "-q", str(folder))
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "base")
    return folder


def check(folder: Path, tmp_path: Path, changes: dict[str, str]) -> tuple[int, list[str], str]:
    base = git(folder, "rev-parse", "HEAD")
    for path, text in changes.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "change")
    entries, summary = tmp_path / "entries", tmp_path / "summary.md"
    command = [sys.executable, str(SCRIPT), str(folder), base, str(tmp_path / "base" / "leaderboard")]
    done = subprocess.run([*command, str(entries), str(summary)], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 4), done.stderr
    listed = entries.read_text(encoding="utf-8").split() if entries.exists() else []
    return done.returncode, listed, summary.read_text(encoding="utf-8") if summary.exists() else ""


def test_added_entries_are_laid_over_the_base_and_listed(repository, tmp_path):
    beside = ENTRY.replace(".json", ".embeddings.safetensors.bz2")
    code, listed, _ = check(repository, tmp_path, {ENTRY: "{}", beside: "x"})
    assert code == 0
    assert listed == [str(tmp_path / "base" / ENTRY)]
    assert (tmp_path / "base" / beside).read_text(encoding="utf-8") == "x"


@pytest.mark.parametrize(
    "path",
    [
        "leaderboard/small/board.json",
        "leaderboard/small/images.json",
        "leaderboard/assets/board.js",
        "facebench/__init__.py",
        ".github/workflows/leaderboard.yml",
        "leaderboard/small/a b/" + "a" * 64 + ".json",
        "leaderboard/small/good/`x`.json",
    ],
)
def test_anything_else_is_refused_by_name(repository, tmp_path, path):
    code, listed, summary = check(repository, tmp_path, {ENTRY: "{}", path: "changed"})
    assert code == 4
    assert not listed
    assert "changes nothing else" in summary
    assert "`x`" not in summary


def test_a_changed_entry_and_a_link_are_refused(repository, tmp_path):
    assert check(repository, tmp_path, {ENTRY: "{}"})[0] == 0
    assert check(repository, tmp_path, {ENTRY: "[]"})[0] == 4
    link = repository / ENTRY.replace("a" * 64, "b" * 64)
    link.symlink_to("/etc/passwd")
    assert check(repository, tmp_path, {})[0] == 4


def test_the_workflow_that_runs_on_forks_has_no_rights_and_no_secrets():
    text = (ROOT / ".github" / "workflows" / "leaderboard.yml").read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert set(workflow[True]) == {"pull_request"}, "pull_request_target would hand a fork the base's rights"
    assert "secrets." not in text
    for step in workflow["jobs"]["validate"]["steps"]:
        assert "${{" not in step.get("run", ""), "what a fork chooses never becomes part of a script"


def test_the_workflow_that_comments_runs_nothing_of_the_pull_request():
    text = (ROOT / ".github" / "workflows" / "leaderboard-comment.yml").read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert set(workflow[True]) == {"workflow_run"}
    assert "actions/checkout" not in text
    assert workflow["permissions"] == {"actions": "read", "pull-requests": "write"}
