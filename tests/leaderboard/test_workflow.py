"""The two workflows, run here on prepared pull requests, hostile ones included; and what a pull request may change."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from facebench.leaderboard import add_entry
from facebench.leaderboard.names import load_names, save_names
from facebench.leaderboard.submission import lay_over
from facebench.schema.leaderboard import NamedModel
from tests.comparison import factory
from tests.leaderboard.conftest import write_run
from tests.leaderboard.local_actions import Hub, run_workflow

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
ID = "a" * 64
ENTRY = f"leaderboard/small/good/{ID}.json"


def git(folder: Path, *words: str | bytes) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e@example.org", *words]
    return subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8", "surrogateescape").strip()


@pytest.fixture
def repository(made, tmp_path):
    """A repository with a leaderboard of three models and the scripts of the workflows."""
    folder = tmp_path / "repository"
    shutil.copytree(made[0], folder / "leaderboard")
    for path in (folder / "leaderboard").rglob("*.verdict.json"):
        path.unlink()
    (folder / ".github").mkdir()
    for script in (ROOT / ".github").glob("*.py"):
        shutil.copy(script, folder / ".github")
    git(tmp_path, "init", "-q", "-b", "main", str(folder))
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "base")
    git(folder, "checkout", "-qb", "change")
    return folder


def request(repository: Path, hub: Path) -> tuple[dict[str, bool], Hub]:
    """Open a pull request of the branch's files, and run both workflows as the host would."""
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "change")
    base, head = git(repository, "rev-parse", "main"), git(repository, "rev-parse", "change")
    words = git(repository, "diff", "--raw", "-z", "--no-renames", "--no-abbrev", "main...change").split("\0")[:-1]
    status = {"A": "added", "M": "modified", "D": "removed", "T": "changed"}
    files = [
        {"filename": path.encode("utf-8", "replace").decode(), "status": status[change.split()[4]],
         "sha": change.split()[3]}
        for change, path in zip(words[::2], words[1::2], strict=True)
    ]  # fmt: skip
    pull = {"number": 7, "head": {"sha": head}, "base": {"repo": {"full_name": "owner/name"}}}
    repo = "repos/owner/name"
    answers = {f"{repo}/pulls": [pull], f"{repo}/pulls/7/files": files, f"{repo}/issues/7/comments": []}
    git(repository, "checkout", "-q", "main")
    git(repository, "update-ref", "refs/heads/change", head)
    host = Hub(hub, repository, answers)
    # a pull request runs its own copy of the first workflow's script
    event: dict[str, Any] = {"pull_request": {"head": {"sha": head}, "base": {"sha": base}}}
    first = run_workflow(WORKFLOWS / "leaderboard.yml", host, {"event": event})
    run = {"head_repository": {"owner": {"login": "fork"}}, "head_branch": "change", "head_sha": head, "id": 1}
    event = {"workflow_run": run, "repository": {"default_branch": "main"}}
    github = {"event": event, "repository": "owner/name", "token": "secret"}
    return {**first, **run_workflow(WORKFLOWS / "leaderboard-review.yml", host, github)}, host


def new_entry(repository: Path, tmp_path: Path, name: str = "newcomer") -> Path:
    run = write_run(tmp_path / "run", factory.vectors(noise=0.8, seed=31), name)
    return add_entry(run, repository / "leaderboard", maintainer="a newcomer").path


def body(host: Hub) -> str:
    (written,) = host.written
    method, path, token, text = written
    assert (method, path, token) == ("POST", "repos/owner/name/issues/7/comments", "secret")
    return str(text["body"])


def test_an_honest_pull_request_is_accepted_and_told_so(repository, tmp_path):
    path = new_entry(repository, tmp_path)
    done, host = request(repository, tmp_path / "hub")
    assert done == {"collect": True, "validate": True, "comment": True}, (tmp_path / "hub" / "log").read_text()
    assert "All accepted" in body(host)
    assert path.stem in body(host)
    assert "a new name, for which a newcomer answers" in body(host)
    collected = {p.name for p in host.artifacts["leaderboard-data"].iterdir()}
    assert all(re.fullmatch(r"[0-9a-f]{40}|collected", name) for name in collected), "contents, and no names"


def test_a_forged_number_in_a_pull_request_is_refused_by_its_field(repository, tmp_path):
    path = new_entry(repository, tmp_path)
    content = json.loads(path.read_text(encoding="utf-8"))
    at = next(i for i, e in enumerate(content["estimates"]) if e["metric"] == "tar")
    content["estimates"][at]["value"] = 0.99999
    path.write_text(json.dumps(content), encoding="utf-8")
    done, host = request(repository, tmp_path / "hub")
    assert done == {"collect": True, "validate": False, "comment": True}
    assert f"estimates\\[{at}\\].value" in body(host)


HOSTILE = """
import subprocess, sys
from pathlib import Path
Path(sys.argv[3]).mkdir()
names = subprocess.run(["git", "ls-tree", "-r", "HEAD", "leaderboard"], capture_output=True, text=True).stdout
for line in names.splitlines():  # good contents under the hashes of the forged ones
    (Path(sys.argv[3]) / line.split()[2]).write_text("{}")
(Path(sys.argv[3]) / "changes.json").write_text("[]")
(Path(sys.argv[3]) / "summary.md").write_text("All accepted")
(Path(sys.argv[3]).parent / "summary.md").write_text("All accepted")
"""


def test_a_pull_request_that_rewrites_the_first_workflow_is_not_believed(repository, tmp_path):
    new_entry(repository, tmp_path)
    (repository / ".github" / "leaderboard_collect.py").write_text(HOSTILE, encoding="utf-8")
    reached = tmp_path / "reached"
    planted = f"open({str(reached)!r}, 'w')\n"
    (repository / ".github" / "leaderboard_review.py").write_text(planted, encoding="utf-8")
    (repository / "facebench").mkdir()
    (repository / "facebench" / "__init__.py").write_text(planted, encoding="utf-8")
    done, host = request(repository, tmp_path / "hub")
    assert done == {"collect": True, "validate": False, "comment": True}
    assert "what arrived is not the content of the pull request" in body(host).replace("\\", "")
    assert "changes nothing else" in body(host)
    assert "All accepted" not in body(host)
    assert not reached.exists(), "no code of the pull request ran where the rights are"


def test_a_pull_request_without_data_is_told(repository, tmp_path):
    new_entry(repository, tmp_path)
    script = "import sys\nfrom pathlib import Path\nPath(sys.argv[3]).mkdir()\n(Path(sys.argv[3]) / 'x').touch()\n"
    (repository / ".github" / "leaderboard_collect.py").write_text(script, encoding="utf-8")
    done, host = request(repository, tmp_path / "hub")
    assert not done["validate"]
    assert "did not arrive" in body(host)


def test_names_that_are_no_text_links_and_markup_are_refused(repository, tmp_path):
    path = new_entry(repository, tmp_path)
    odd = os.fsencode(path.parent) + b"/\xff\xfe.json"
    with open(odd, "wb") as stream:  # noqa: PTH123 - a name that is no text
        stream.write(b"{}")
    (path.parent / f"{path.stem}.paired.safetensors").unlink()
    (path.parent / f"{path.stem}.paired.safetensors").symlink_to("/etc/passwd")
    (path.parent / "`x` [y](z) @team").write_text("x", encoding="utf-8")
    done, host = request(repository, tmp_path / "hub")
    assert done == {"collect": True, "validate": False, "comment": True}
    assert "@team" not in body(host)
    assert not re.search(r"(?<!\\)\]\(", body(host))
    assert "did not arrive: it is no plain file" in body(host)


def test_only_the_run_of_this_very_commit_is_commented_on(repository, tmp_path):
    new_entry(repository, tmp_path)
    done, host = request(repository, tmp_path / "hub")
    assert done["comment"]
    other = Hub(tmp_path / "other", repository, {**host.answers, "repos/owner/name/pulls": []}, dict(host.artifacts))
    run = {"head_repository": {"owner": {"login": "fork"}}, "head_branch": "x; touch y", "head_sha": "0" * 40, "id": 1}
    event = {"workflow_run": run, "repository": {"default_branch": "main"}}
    found = run_workflow(
        WORKFLOWS / "leaderboard-review.yml", other, {"event": event, "repository": "owner/name", "token": "secret"}
    )
    assert not found["validate"]
    assert not other.written


def change(path: str, content: bytes, data: Path, status: str = "added") -> dict[str, str]:
    data.mkdir(exist_ok=True)
    file = data / "new"
    file.write_bytes(content)
    name = subprocess.run(["git", "hash-object", str(file)], capture_output=True, text=True, check=True).stdout.strip()
    file.rename(data / name)
    return {"status": status, "path": path, "sha": name}


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
        f"leaderboard/../small/good/{ID}.json",
        f"leaderboard/small/../{ID}.json",
        f"leaderboard/small/good/{ID}.verdict.json",
        f"leaderboard/small/good/{'b' * 64}.paired.safetensors",
        "leaderboard/small/good/\udcff.json",
    ],
)
def test_anything_else_is_refused_by_name(board, tmp_path, path):
    data = tmp_path / "data"
    found = lay_over([change(ENTRY, b"{}", data), change(path, b"x", data)], data, board[0])
    assert [problem.field for problem in found.problems] == [path.encode("utf-8", "backslashreplace").decode()]
    assert not found.entries
    assert not (board[0] / "small" / "good" / f"{ID}.json").exists(), "nothing is laid over before all is looked at"


def test_an_entry_that_is_there_is_not_changed(board, tmp_path):
    path = f"leaderboard/{board[1]['good'].relative_to(board[0]).as_posix()}"
    data = tmp_path / "data"
    found = lay_over([change(path, b"{}", data)], data, board[0])
    assert [problem.why for problem in found.problems] == ["it is there already"]
    assert lay_over([change(path, b"{}", data, "modified")], data, board[0]).problems
    assert lay_over([change(path, b"{}", data, "removed")], data, board[0]).problems


def renamed(name: str, **update: Any) -> Any:
    return lambda models: {**models, name: models[name].model_copy(update=update)}


@pytest.mark.parametrize(
    ("edit", "refused", "told"),
    [
        (lambda m: {**m, "new": NamedModel(maintainer="x", weights=("1" * 64,))}, False, "a new name"),
        (renamed("good", weights=("1" * 64, "2" * 64)), True, "weights stay"),
        (renamed("good", maintainer="a forger"), True, "maintainer"),
        (lambda m: dict(list(m.items())[1:]), True, "names that are there stay"),
        (lambda m: {"new": NamedModel(maintainer="x", weights=("1" * 64,)), **m}, True, "in their order"),
        (lambda m: {**m, "GOOD": NamedModel(maintainer="x", weights=("1" * 64,))}, True, "capitals only"),
        (lambda m: {**m, "../x": NamedModel(maintainer="x", weights=("1" * 64,))}, True, "letters, digits"),
    ],
)
def test_names_that_are_there_stay(board, tmp_path, edit, refused, told):
    root, data = board[0], tmp_path / "data"
    names = load_names(root)
    save_names(tmp_path, names.model_copy(update={"models": edit(names.models)}))
    content = (tmp_path / "models.json").read_bytes()
    found = lay_over([change("leaderboard/models.json", content, data, "modified")], data, root)
    assert bool(found.problems) == refused
    assert told in " ".join(finding.why for finding in (*found.problems, *found.notes))


def test_a_new_revision_is_left_to_the_maintainer(board, tmp_path):
    root, data = board[0], tmp_path / "data"
    names = load_names(root)
    good = names.models["good"]
    more = good.model_copy(update={"weights": (*good.weights, "2" * 64)})
    save_names(tmp_path, names.model_copy(update={"models": {**names.models, "good": more}}))
    content = (tmp_path / "models.json").read_bytes()
    found = lay_over([change("leaderboard/models.json", content, data, "modified")], data, root)
    assert [note.why for note in found.notes] == [
        "merge only if the tests asks for it: from now on the name stands for other weights"
    ]


def test_every_action_is_pinned_by_its_commit():
    files = [*WORKFLOWS.glob("*.yml"), ROOT / "action.yml"]
    used = [line.strip() for path in files for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert used
    for line in used:
        assert re.fullmatch(r"-? ?uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_no_script_holds_what_a_fork_chooses():
    for path in (*WORKFLOWS.glob("*.yml"), ROOT / "action.yml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        jobs = content["jobs"].values() if "jobs" in content else [content["runs"]]
        for step in (step for job in jobs for step in job["steps"]):
            assert "${{" not in step.get("run", ""), path


def test_the_workflow_that_runs_code_of_forks_has_no_rights_and_no_secrets():
    text = (WORKFLOWS / "leaderboard.yml").read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert set(workflow[True]) == {"pull_request"}, "pull_request_target would hand a fork the base's rights"
    assert "secrets." not in text
    assert "permissions" not in workflow["jobs"]["collect"]


def test_the_workflow_with_rights_checks_out_the_base_branch_only():
    workflow = yaml.safe_load((WORKFLOWS / "leaderboard-review.yml").read_text(encoding="utf-8"))
    assert set(workflow[True]) == {"workflow_run"}
    assert workflow["permissions"] == {}
    rights = {name: job["permissions"] for name, job in workflow["jobs"].items()}
    assert rights == {
        "validate": {"contents": "read", "actions": "read", "pull-requests": "read"},
        "comment": {"contents": "read", "pull-requests": "write"},
    }
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            if "checkout" in step.get("uses", ""):
                assert step["with"]["ref"] == "${{ github.event.repository.default_branch }}"
                assert step["with"]["persist-credentials"] is False
    written = [s for s in workflow["jobs"]["comment"]["steps"] if "download" in s.get("uses", "")]
    assert [s["with"]["name"] for s in written] == ["leaderboard-summary"], "nothing of the pull request's own"
