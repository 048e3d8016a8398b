"""The commands as a shell or a CI job sees them: exit codes, files, the action's script, the pytest plug-in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from facebench.schema import Comparison, Verdict
from tests.command_line import Shell
from tests.comparison import factory
from tests.gate.junit_schema import violations

ROOT = Path(__file__).resolve().parents[2]
ENV = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture
def facebench(tmp_path, monkeypatch, capsys):
    return Shell(tmp_path, monkeypatch, capsys)


@pytest.fixture(scope="session")
def policies(tmp_path_factory):
    top = tmp_path_factory.mktemp("policies")
    wide = {"rules": [{"metric": "tar", "margin": 0.5}, {"metric": "tar", "group": "sex=*", "margin": 0.5}]}
    tight = {"rules": [{"metric": "tar", "margin": 0.0001}]}
    absent = {"rules": [{"metric": "robust_tar", "margin": 0.1}]}
    for name, content in {"wide": wide, "tight": tight, "absent": absent}.items():
        (top / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return top


@pytest.mark.slow
def test_every_exit_code(facebench, folders, policies, tmp_path):
    base = folders["base"]
    other = factory.write_result(tmp_path / "other", factory.vectors(), manifest="n" * 64)
    limited = factory.write_result(tmp_path / "limited", factory.vectors(), limit=96)
    cases = [
        (0, base, folders["noisy"], "wide", "Pass: noisy stays within every margin"),
        (1, base, folders["worse"], "tight", "Regression: worse is worse than the policy allows"),
        (2, base, folders["noisy"], "nowhere", "policy not found"),
        (3, base, folders["noisy"], "tight", "Cannot tell whether noisy stays within the margins"),
        (3, base, folders["noisy"], "absent", "Incomplete: noisy was not measured for every rule"),
        (3, limited, limited, "wide", "A limited run never passes"),
        (4, base, other, "wide", "protocol.manifest_sha256: mmm"),
    ]
    for code, first, second, policy, words in cases:
        done = facebench("gate", first, second, "--policy", policies / f"{policy}.yaml")
        assert (done, words in facebench.out + facebench.err) == (code, True), facebench.out + facebench.err


@pytest.mark.slow
def test_the_gate_writes_what_it_is_asked_for(facebench, folders, policies, tmp_path):
    files = {name: tmp_path / name for name in ("gate.xml", "summary.md", "verdict.json")}
    files["summary.md"].write_text("before\n")
    done = facebench(
        "gate", folders["base"], folders["worse"], "--policy", policies / "tight.yaml", "--json", "--annotations",
        "--junit", files["gate.xml"], "--markdown", files["summary.md"], "--verdict", files["verdict.json"],
    )  # fmt: skip
    assert done == 1
    verdict = Verdict.model_validate(json.loads(facebench.out))
    assert verdict == Verdict.model_validate(json.loads(files["verdict.json"].read_text()))
    assert violations(files["gate.xml"].read_text()) == []
    assert files["summary.md"].read_text().startswith("before\n## Regression: worse is worse")
    said = [line for line in facebench.err.splitlines() if not line.startswith("Comparing: ")]  # progress, when slow
    assert said[0].startswith("::error title=REGRESSION")


@pytest.mark.slow
def test_compare_writes_page_json_and_markdown(facebench, folders, tmp_path):
    done = facebench(
        "compare", *(folders[n] for n in ("base", "noisy", "worse")), "--out", tmp_path, "--markdown",
        tmp_path / "c.md",
    )  # fmt: skip
    assert done == 0, facebench.err
    assert "worse: It recognises worse than base, more than chance explains: by TAR at FMR 1e-1" in facebench.out
    found = Comparison.model_validate(json.loads((tmp_path / "comparison.json").read_text()))
    assert found.base == "base"
    page = (tmp_path / "comparison.html").read_text()
    assert "</html>" in page
    assert len(page.encode()) < 1_000_000
    assert "| TAR at FMR 1e-2 |" in (tmp_path / "c.md").read_text().replace("\\", "")
    assert facebench("compare", folders["base"], folders["noisy"], "--out", tmp_path, "--json") == 0
    assert json.loads(facebench.out)["models"][1]["label"] == "noisy"


@pytest.mark.slow
def test_the_action_runs(folders, policies, tmp_path):
    """The script of the composite action, with the files a runner provides, and an input that tries to be code."""
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    assert action["runs"]["using"] == "composite"
    step = next(step for step in action["runs"]["steps"] if step.get("id") == "gate")
    assert "${{" not in step["run"]
    tool = tmp_path / "bin"
    tool.mkdir()
    (tool / "python").symlink_to(sys.executable)
    runner = {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary"), "GITHUB_OUTPUT": str(tmp_path / "output")}
    env = {**ENV, **runner, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for candidate, policy, code in (
        (folders["noisy"], policies / "wide.yaml", 0),
        (folders["worse"], policies / "tight.yaml", 1),
        (folders["worse"], "$(touch hacked); `touch hacked`", 2),
    ):
        inputs = {"BASE": str(folders["base"]), "CANDIDATE": str(candidate), "POLICY": str(policy), "JUNIT": "gate.xml"}
        assert set(step["env"]) == set(inputs)
        done = subprocess.run(
            ["bash", "-e", "-c", step["run"]], capture_output=True, text=True, cwd=tmp_path, env={**env, **inputs},
            timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert f"exit-code={code}" in (tmp_path / "output").read_text().splitlines()
    assert not (tmp_path / "hacked").exists()
    assert (tmp_path / "summary").read_text().count("\n## ") + 1 == 2
    assert violations((tmp_path / "gate.xml").read_text()) == []
    assert Verdict.model_validate(json.loads((tmp_path / "facebench-verdict.json").read_text())).exit_code == 1


@pytest.mark.slow
def test_the_pytest_plug_in(folders, policies, tmp_path):
    (tmp_path / "test_model.py").write_text(
        f"""
def test_keeps_up(facebench_gate):
    assert facebench_gate({str(folders["base"])!r}, {str(folders["noisy"])!r}, {str(policies / "wide.yaml")!r}).passed

def test_falls_behind(facebench_gate):
    facebench_gate({str(folders["base"])!r}, {str(folders["worse"])!r}, policy={str(policies / "tight.yaml")!r})

def test_cannot_tell(facebench_gate):
    facebench_gate({str(folders["base"])!r}, {str(folders["noisy"])!r}, policy={str(policies / "tight.yaml")!r})
"""
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "facebench.cli.pytest_plugin", "-p", "no:cacheprovider", "-q",
         "--junit-xml", "out.xml", "test_model.py"],
        capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False,
        env={**ENV, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # it may be installed, and loads only once
    )  # fmt: skip
    assert "2 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "Regression: worse is worse than the policy allows" in done.stdout
    assert "Cannot tell whether noisy" in done.stdout
    assert "facebench_outcome" in (tmp_path / "out.xml").read_text()


def test_the_plug_in_is_announced_and_light():
    project = (ROOT / "pyproject.toml").read_text()
    assert 'facebench = "facebench.cli.pytest_plugin"' in project
    script = "import facebench.cli.pytest_plugin, sys; print(sorted({'torch', 'numpy', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=ENV)
    assert done.stdout.strip() == "[]"
