"""Runs the jobs of a GitHub workflow here: the steps' own scripts; the few actions they use are functions."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
GH = """
import json, os, sys
from pathlib import Path
hub = Path(os.environ["LOCAL_HUB"])
path, *options = sys.argv[2:]
if "--method" in options:
    with (hub / "written.jsonl").open("a") as stream:
        stream.write(json.dumps([options[1], path, os.environ.get("GH_TOKEN"), json.load(sys.stdin)]) + "\\n")
    print("{}")
else:
    answers = json.loads((hub / "answers.json").read_text())
    print(json.dumps(answers.get(path.partition("?")[0], [])))
"""


@dataclass
class Hub:
    """A repository at its host: what the API answers, the artifacts of its runs, and what was written to it."""

    folder: Path
    repository: Path
    answers: dict[str, Any]
    artifacts: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tools = self.folder / "tools"
        tools.mkdir(parents=True)
        (self.folder / "answers.json").write_text(json.dumps(self.answers), encoding="utf-8")
        (self.folder / "gh.py").write_text(GH, encoding="utf-8")
        python = f'[ "$1 $2" = "-m pip" ] && exit 0\nexec "{sys.executable}" "$@"\n'
        scripts = {
            "gh": f'exec "{sys.executable}" "{self.folder}/gh.py" "$@"\n', "python": python, "python3": python,
            "facebench": f'exec "{sys.executable}" -m facebench "$@"\n',
        }  # fmt: skip
        for name, script in scripts.items():
            (tools / name).write_text(f"#!/bin/sh\n{script}", encoding="utf-8")
            (tools / name).chmod(0o755)

    @property
    def written(self) -> list[list[Any]]:
        """Method, path, token and body of everything that was written."""
        path = self.folder / "written.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run_workflow(path: Path, hub: Hub, github: dict[str, Any]) -> dict[str, bool]:
    """Run the jobs of a workflow in their order; return whether each succeeded."""
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    results: dict[str, bool] = {}
    context: dict[str, Any] = {"github": github, "needs": {}, "steps": {}}
    for name, job in workflow["jobs"].items():
        place = hub.folder / f"{path.stem}-{name}"
        place.mkdir()
        context["steps"] = {}
        results[name] = _run_job(job, place, hub, context)
        outputs = {key: _filled(value, context) for key, value in job.get("outputs", {}).items()}
        context["needs"][name] = {"outputs": outputs}
    return results


def _run_job(job: dict[str, Any], place: Path, hub: Hub, context: dict[str, Any]) -> bool:
    fine = True
    for step in job["steps"]:
        if not fine and step.get("if") != "always()":
            continue
        given = {key: _filled(str(value), context) for key, value in step.get("with", {}).items()}
        if "uses" in step:
            done = ACTIONS[step["uses"].partition("@")[0]](place, hub, given)
        else:
            done = _run_script(step, place, hub, context)
        fine = fine and (done or bool(step.get("continue-on-error")))
    return fine


def _run_script(step: dict[str, Any], place: Path, hub: Hub, context: dict[str, Any]) -> bool:
    output = hub.folder / "output"
    output.write_text("", encoding="utf-8")
    environment = {
        "PATH": f"{hub.folder / 'tools'}:{os.environ['PATH']}", "HOME": str(hub.folder), "LANG": "C.UTF-8",
        "LOCAL_HUB": str(hub.folder), "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(hub.folder / "step.md"),
        "FACEBENCH_CACHE": str(hub.folder / "cache"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
        **{key: _filled(value, context) for key, value in step.get("env", {}).items()},
    }  # fmt: skip
    command = ["bash", "-e", "-o", "pipefail", "-c", step["run"]]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    with (hub.folder / "log").open("a", encoding="utf-8") as log:
        log.write(done.stdout + done.stderr)
    pairs = [line.partition("=") for line in output.read_text(encoding="utf-8").splitlines()]
    context["steps"][step.get("id")] = {"outputs": {key: value for key, _, value in pairs}}
    return done.returncode == 0


def _filled(text: str, context: dict[str, Any]) -> str:
    def value(found: re.Match[str]) -> str:
        at: Any = context
        for key in found[1].split("."):
            at = at.get(key, "") if isinstance(at, dict) else ""
        return str(at)

    return re.sub(r"\$\{\{ ([\w.-]+) \}\}", value, text)


def _checkout(place: Path, hub: Hub, given: dict[str, str]) -> bool:
    subprocess.run(["git", "clone", "-q", str(hub.repository), str(place)], check=True)
    subprocess.run(["git", "-C", str(place), "checkout", "-q", given["ref"]], check=True)
    return True


def _upload(place: Path, hub: Hub, given: dict[str, str]) -> bool:
    source = place / given["path"]
    if not source.exists():
        return False
    target = hub.folder / "artifacts" / given["name"]
    target.mkdir(parents=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, symlinks=True)
    else:
        shutil.copy(source, target)
    hub.artifacts[given["name"]] = target
    return True


def _download(place: Path, hub: Hub, given: dict[str, str]) -> bool:
    found = hub.artifacts.get(given["name"])
    if found is None:
        return False
    shutil.copytree(found, place / given["path"], dirs_exist_ok=True, symlinks=True)
    return True


ACTIONS = {
    "actions/checkout": _checkout,
    "actions/setup-python": lambda *_: True,
    "actions/upload-artifact": _upload,
    "actions/download-artifact": _download,
}
